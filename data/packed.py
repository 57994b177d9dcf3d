"""Images that are decoded once: later epochs read their pixels from a memory-mapped file, as they would be decoded."""

import hashlib
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import PIL
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from data.images import BadImage, load_rgb
from util.errors import UserError
from util.files import read_json, write_json

VERSION = 1  # of what is kept and how; another one makes all caches anew
SPARE = 2**30  # bytes of the disk that are left free


class PackedImages:
    """Pixels of a list of samples, opened from a folder that `pack` wrote; any number of processes may read it.

    Attributes:
        failures: {index: message} of files that could not be decoded.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            index = np.load(self.folder / 'index.npz')
            self.offsets, self.sizes, self.checksums = index['offsets'], index['sizes'], index['checksums']
        except (EOFError, KeyError, ValueError, BadZipFile) as error:
            raise self.damaged('index') from error
        self.failures = {int(key): text for key, text in read_json(self.folder / 'failures.json').items()}
        self.pixels = np.memmap(self.folder / 'pixels.bin', np.uint8, 'r')
        self.verified = np.zeros(len(self.sizes), bool)

    def damaged(self, part):
        return UserError(f'{self.folder}: the cache of decoded images is damaged ({part}); remove this folder')

    def __reduce__(self):  # a loading process opens the file itself
        return PackedImages, (self.folder,)

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        """(H, W, 3) uint8, not writable; its checksum is compared the first time that a process reads it.

        Raises:
            BadImage: the file could not be decoded when the cache was made.
            UserError: the pixels are not those that were written.
        """
        if index in self.failures:
            raise BadImage(self.failures[index])
        pixels = self.pixels[self.offsets[index] : self.offsets[index + 1]]
        if not self.verified[index]:
            if zlib.crc32(pixels) != self.checksums[index]:
                raise self.damaged(f'image {index}')
            self.verified[index] = True
        return pixels.reshape(*self.sizes[index], 3)


def identity(samples, load_size):
    """(name of the source, name of its state): the second changes whenever a file does."""
    source, state = hashlib.sha256(f'{VERSION} {load_size}'.encode()), hashlib.sha256(PIL.__version__.encode())
    for folder in samples.folders:
        source.update(f'{Path(folder).resolve()}\0'.encode(errors='surrogateescape'))
    for number, sample in enumerate(samples):
        try:
            facts = sample.path.stat()
            changed = f'{facts.st_size}\0{facts.st_mtime_ns}'
        except OSError:  # a broken link; the loader names it
            changed = ''
        folder, name = samples.place(number)
        state.update(f'{folder}\0{name}\0{changed}\0'.encode(errors='surrogateescape'))
    return source.hexdigest()[:16], state.hexdigest()[:16]


def image_size(sample, load_size):
    """(height, width) that a file will have in the cache, from its header; zeros where that cannot be read."""
    if load_size:
        return load_size, load_size
    try:
        with Image.open(sample.path) as image:
            return image.height, image.width
    except Exception:  # the loader will name the file and the reason
        return 0, 0


def decode(sample, load_size):
    """(H, W, 3) uint8: the pixels of an image as a transform of that `load_size` would have them before its crop."""
    image = load_rgb(sample.path)
    if load_size:
        image = image.resize((load_size, load_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def pack(samples, load_size, folder, threads):
    """The cache of these samples: opened if it is there, else made, while other processes wait.

    Caches of earlier states of the same folders are removed first. A process that is killed leaves nothing that is
    taken for a cache.

    Args:
        samples: data.samples.Samples; load_size: side to which images are resized, or None for native pixels.
        folder: where caches are kept; threads: that decode.
    Returns:
        PackedImages, or None where the disk has too little room or refuses to be written, which is said.
    """
    source, state = identity(samples, load_size)
    folder = Path(folder)
    place = folder / f'{source}-{state}'
    try:
        if is_complete(place):  # perhaps on a disk that only others may write
            return PackedImages(place)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f'{source}.lock'):
            for old in (*folder.glob(f'{source}-*'), *folder.glob(f'.{source}-*')):
                if old != place:
                    shutil.rmtree(old, ignore_errors=True)
            return PackedImages(place) if is_complete(place) or write(samples, load_size, place, threads) else None
    except OSError as error:  # a full disk, a quota, a folder of somebody else
        print(f'no cache of decoded images: {error}; choose another place with --cache_dir')
        return None


def is_complete(place):
    return (place / 'index.npz').is_file()


def write(samples, load_size, place, threads):
    """Decode all samples into a folder; False where the disk has too little room for them."""
    with ThreadPoolExecutor(threads) as pool:
        sizes = np.zeros((len(samples), 2), np.int32)

        def measure(index):
            sizes[index] = image_size(samples[index], load_size)

        for_each(pool, measure, len(samples), 'reading headers')
        offsets = np.concatenate([[0], np.cumsum(3 * sizes.prod(1, dtype=np.int64))])
        needed, free = int(offsets[-1]), shutil.disk_usage(place.parent).free
        if needed + SPARE > free:
            print(
                f'no cache of decoded images: it would take {needed / 2**30:.1f} GiB, {place.parent} has '
                f'{free / 2**30:.1f} GiB free; choose another place with --cache_dir'
            )
            return False
        print(f'decoding {len(samples):,} images once, {needed / 2**20:,.0f} MiB: {place} (--no_cache: not at all)')
        fresh = place.with_name(f'.{place.name}.new')
        fresh.mkdir()
        try:
            fill(samples, load_size, fresh, sizes, offsets, pool)
            fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return True


def fill(samples, load_size, folder, sizes, offsets, pool):
    """Write pixels, then failures, then the index, into an empty folder."""
    needed, checksums, failures = int(offsets[-1]), np.zeros(len(samples), np.uint32), {}
    with (folder / 'pixels.bin').open('wb') as file:
        if hasattr(os, 'posix_fallocate'):  # a disk that fills up later would kill the process
            os.posix_fallocate(file.fileno(), 0, max(needed, 1))  # an empty file cannot be mapped
        else:
            file.truncate(max(needed, 1))
    pixels = np.memmap(folder / 'pixels.bin', np.uint8, 'r+')

    def keep(index):
        try:
            decoded = decode(samples[index], load_size)
        except BadImage as error:
            failures[str(index)] = str(error)
            return
        if decoded.shape[:2] != tuple(sizes[index]):
            failures[str(index)] = f'{samples[index].path}: changed while it was read'
            return
        checksums[index] = zlib.crc32(np.ascontiguousarray(decoded))
        pixels[offsets[index] : offsets[index + 1]] = decoded.reshape(-1)

    for_each(pool, keep, len(samples), 'decoding')
    pixels.flush()
    write_json(folder / 'failures.json', failures)
    np.savez(folder / 'index.npz', offsets=offsets, sizes=sizes, checksums=checksums)


def for_each(pool, work, count, description):
    """Call work(0) ... work(count - 1) in a pool of threads, part by part: a million waiting calls would take 1 GB."""
    with tqdm(total=count, desc=description, unit='image', leave=False) as bar:
        for start in range(0, count, 1024):
            part = range(start, min(start + 1024, count))
            for _ in pool.map(work, part):
                bar.update()
