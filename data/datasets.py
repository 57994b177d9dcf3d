"""Samples to batches: deterministic order, resumable in the middle of an epoch, the same for any worker count."""

import os
import signal
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from data.images import BadImage, load_rgb

GROUP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
LARGE, MOST = 2**18, 2**24  # pixels of an image that is not a crop, and of a batch of such; 3 GB of memory


class ImageDataset(Dataset):
    """Images of a list of samples. Keys are (index, draw): `draw` seeds the random choices for that image, and None
    takes the seed from the name of its file, so that they do not depend on what else is in the list.

    An item is (index, label, tensor), or (index, label, BadImage) for a file that cannot be used. `packed`: their
    decoded pixels (data.packed.PackedImages), or None to decode the files.
    """

    def __init__(self, samples, transform, packed=None):
        self.samples, self.transform, self.packed = samples, transform, packed

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, key):
        index, draw = key
        sample = self.samples[index]
        try:
            # What could not be decoded then may be readable now.
            kept = self.packed is not None and index not in self.packed.failures
            image = Image.fromarray(self.packed[index]) if kept else load_rgb(sample.path)
            draw = zlib.crc32(os.fsencode(sample.path.name)) if draw is None else draw
            transform = sample.transform or self.transform
            return index, sample.label, transform(image, np.random.default_rng(draw))
        except BadImage as error:
            return index, sample.label, error
        except (OSError, ValueError) as error:  # of a transform
            return index, sample.label, BadImage(f'{sample.path}: {error}')


@dataclass
class Batch:
    """images (N, 3, H, W) uint8 (None if all N failed), labels (N,) long, indices into the samples, failures, and those
    of them whose images can be read, but differ in size from the others."""

    images: torch.Tensor | None
    labels: torch.Tensor
    indices: list
    failures: list
    misfits: list

    def pin_memory(self):  # the loader looks for this method
        if self.images is not None:
            self.images, self.labels = self.images.pin_memory(), self.labels.pin_memory()
        return self


def collate(items, samples):
    """`Batch` of items of an ImageDataset of these samples."""
    good = [item for item in items if not isinstance(item[2], BadImage)]
    failures = [str(item[2]) for item in items if isinstance(item[2], BadImage)]
    # Only whole images in training can differ in size: scoring groups them. The majority stays.
    sizes = {}
    for item in good:
        sizes.setdefault(item[2].shape, []).append(item)
    good, *others = sorted(sizes.values(), key=len, reverse=True) or [[]]
    misfits = [_misfit(samples, item, good[0]) for group in others for item in group]
    return Batch(
        images=torch.stack([item[2] for item in good]) if good else None,
        labels=torch.tensor([item[1] for item in good]),
        indices=[item[0] for item in good],
        failures=failures + misfits,
        misfits=misfits,
    )


def _misfit(samples, item, usual):
    """What is wrong with an item of another size than the usual one of its batch."""
    size, expected = (f'{image.shape[2]} x {image.shape[1]} pixels' for _, _, image in (item, usual))
    return (
        f'{samples[item[0]].path}: {size}, others of its batch {expected}; '
        'leave out --no_crop, or both --no_resize and --resize_prob'
    )


class TrainBatches:
    """Batch sampler: each epoch a new order that depends on (seed, epoch) alone.

    Args:
        labels: label of each sample.
        batch_size: images in a global batch, shared among `world` processes.
        seed: of order and augmentation.
        balanced: draw with replacement, so that real and fake are equally likely.
        rank, world: this process among all.
    `position(epoch, start)` chooses the epoch and the first batch of the next iteration.
    """

    def __init__(self, labels, batch_size, seed, balanced=False, rank=0, world=1):
        self.labels = np.asarray(labels)
        self.batch_size, self.seed, self.balanced = batch_size, seed, balanced
        self.rank, self.world = rank, world
        self.epoch, self.start = 0, 0

    def position(self, epoch, start=0):
        self.epoch, self.start = epoch, start

    def __len__(self):
        return -(-len(self.labels) // self.batch_size) - self.start

    def order(self, rng):
        """(indices, seeds) of an epoch, one of each for every place; repeats of an image get different seeds."""
        count = len(self.labels)
        if self.balanced:
            weights = 1 / np.bincount(self.labels, minlength=2)[self.labels]
            order = rng.choice(count, count, p=weights / weights.sum())
        else:
            order = rng.permutation(count)
        return order, rng.integers(0, 2**63, count)

    def __iter__(self):
        order, draws = self.order(np.random.default_rng([self.seed, self.epoch]))
        for first in range(self.start * self.batch_size, len(order), self.batch_size):
            places = np.arange(first, min(first + self.batch_size, len(order)))
            # Every process needs the same number of images: the last batch is filled up from its own start.
            places = np.resize(places, -(-len(places) // self.world) * self.world)[self.rank :: self.world]
            yield [(int(order[place]), int(draws[place])) for place in places]


class ScoreBatches:
    """Batch sampler in order; images of one tensor size go together, and batches are dealt to processes.

    A batch holds the same images however many processes share the work, so scores do not depend on it. Of images larger
    than LARGE pixels it holds fewer, so that together they have at most MOST: whole photographs would not fit.

    Args:
        sizes: (n, 2) tensor size (height, width) of each sample, zeros where unknown (an unreadable file).
        finished: numbers of batches to leave out.
    Attributes:
        batches: arrays of indices; numbers: the place of each in the whole pass.
    """

    def __init__(self, sizes, batch_size, rank=0, world=1, finished=()):
        # Unknown sizes come first, so that a bad file stops the pass before hours of scoring.
        kinds, group, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(group.reshape(-1), kind='stable').astype(np.int32)
        ends = np.cumsum(counts)
        areas = kinds.astype(np.int64).prod(1)
        most = np.where(areas > LARGE, np.clip(MOST // np.maximum(areas, 1), 1, batch_size), batch_size)
        firsts = [np.arange(end - count, end, size) for end, count, size in zip(ends, counts, most, strict=True)]
        lasts = [np.minimum(first + size, end) for first, end, size in zip(firsts, ends, most, strict=True)]
        places = list(zip(np.concatenate(firsts), np.concatenate(lasts), strict=True)) if len(ends) else []
        self.numbers = [number for number in range(len(places)) if number not in finished][rank::world]
        self.batches = [order[slice(*places[number])] for number in self.numbers]

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            yield [(int(index), None) for index in batch]


def tensor_sizes(samples, transform, progress=False):
    """(n, 2) int32: size (height, width) that each sample will have after a ScoreTransform, from the file headers.

    Zeros where a header cannot be read: the loader names the file and the reason when it comes to it.
    """
    sizes = np.zeros((len(samples), 2), np.int32)
    with tqdm(samples, desc='reading headers', unit='image', disable=not progress, leave=False) as bar:
        for size, sample in zip(sizes, bar, strict=True):
            own = sample.transform or transform
            if own.load_size:
                size[:] = own.size(0, 0)
                continue
            try:
                with Image.open(sample.path) as image:
                    size[:] = own.size(*image.size)
            except Exception:
                continue
    return sizes


def _start_worker(_):
    """Ctrl-C, `timeout` and schedulers signal a whole process group; the main process decides what follows."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigtimedwait'):  # not on macOS
        while signal.sigtimedwait(GROUP_SIGNALS, 0):  # those that came between the fork and here
            pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


class ProcessLoader(DataLoader):
    """A DataLoader whose workers start with the group's signals blocked, so that none dies before it is ready."""

    def __iter__(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ThreadedLoader:
    """Loads each batch with threads of this process, and only when asked: for a CPU.

    There the network wants every core itself, and threads that wait for each other at the end of each of its layers
    suffer more from loading at the same time than loading before each batch costs (docs/decisions.md).
    """

    def __init__(self, dataset, batches, threads):
        self.dataset, self.batches, self.threads = dataset, batches, threads

    def __iter__(self):
        if not self.threads:
            yield from (collate([self.dataset[key] for key in keys], self.dataset.samples) for keys in self.batches)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            for keys in self.batches:
                yield collate(list(pool.map(self.dataset.__getitem__, keys)), self.dataset.samples)


def make_loader(samples, transform, batches, workers, device, packed=None):
    """Loader that yields `Batch`es: `workers` threads if the network runs on the CPU, else as many processes."""
    dataset = ImageDataset(samples, transform, packed)
    if device.type == 'cpu':
        return ThreadedLoader(dataset, batches, workers)
    return ProcessLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=partial(collate, samples=samples),
        pin_memory=True,
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # an own one: a loader must not advance the random state that is saved
    )
