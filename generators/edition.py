"""UpsampleBench: an edition is a folder of real tiles and, for each, what generators and controls make of it.

Real tiles are written first; then each part of each generator is made by a process of its own from these files, so
that memory does not grow with the number of photographs.
"""

import multiprocessing
import os
import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from data.images import BadImage
from generators import controls
from generators.decoders import decode_tile, load_decoder
from generators.photos import REDUCTION, Scene, bundled_photos, folder_photos, tiles
from generators.tables import HEADLINE, NARROW, TABLES, TRAINING, members
from generators.tally import Tally, compare
from util.errors import UserError
from util.files import write_json

SPLITS = ('train', 'val', 'test')
SHARES = {'val': 0.1, 'test': 0.35}  # of the photographs; the rest is for training
TILES_PER_PICTURE = 4  # at most, so that no picture dominates; a scene is rendered large enough for four
SHORTCUT_LIMIT = 0.65
CHUNK = 40  # images that one process makes at a time
REALS = '.reals'  # folder of real tiles while an edition is built; its files are linked from all others


@dataclass(frozen=True)
class Tile:
    """(size, size, 3) uint8 pixels; `name` starts with photo_ or scene_; `number` counts within `group`."""

    name: str
    group: str
    number: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Job:
    """A part of a folder: fakes of some real tiles. `first` is the place of the first one in its split."""

    folder: Path
    member: object  # generators.tables.Member
    split: str
    reals: tuple  # paths
    first: int
    seed: int
    sigma: float | None = None  # of the blur, for that control


def cut_tiles(photo, size, seed):
    """Tiles of a photograph or scene: (list of Tile, None), or ([], why not)."""
    rng = np.random.default_rng([seed, *photo.name.encode()])
    try:
        cut = tiles(photo.pixels(), size, rng, TILES_PER_PICTURE)
    except BadImage as error:
        return [], str(error)
    if not len(cut):
        return [], f'{photo.path}: too small for a tile of {size} px after the reduction'
    return [Tile(f'{photo.origin}_{photo.name}_{k:02d}', photo.group, k, pixels) for k, pixels in enumerate(cut)], None


def split_photos(photos, seed):
    """Deal photographs to the splits, whole groups at a time; returns {split: [Photo]}."""
    groups = {}
    for photo in photos:
        groups.setdefault(photo.group, []).append(photo)
    order = np.random.default_rng(seed).permutation(sorted(groups))
    val, test = (max(1, round(SHARES[split] * len(order))) for split in ('val', 'test'))
    parts = {'test': order[:test], 'val': order[test : test + val], 'train': order[test + val :]}
    return {split: [photo for group in parts[split] for photo in groups[group]] for split in SPLITS}


def in_order(found, want):
    """The first `want` tiles: photographs before scenes, the first of every picture before any second one."""
    return sorted(found, key=lambda tile: (tile.name.startswith('scene'), tile.number))[:want]


def real_tiles(pool, photos, counts, size, seed, fill_with_scenes):
    """Yield (split, list of at most counts[split] Tile, sentences about photographs that were left out).

    Photographs come first, then rendered scenes if `fill_with_scenes`. Never more than a few times counts[split] tiles
    are in memory.

    Raises:
        UserError: too few tiles for a split.
    """
    next_scene = 0
    for split, pending in split_photos(photos, seed).items():
        found, want, left_out, chosen = [], counts[split], [], len(pending)
        while True:
            with tqdm(total=len(pending), desc=f'{split}: pictures', unit='picture', leave=False) as bar:
                for start in range(0, len(pending), want):  # map would read all photographs ahead
                    part = pending[start : start + want]
                    for cut, problem in pool.map(cut_tiles, part, [size] * len(part), [seed] * len(part), chunksize=4):
                        found += cut
                        left_out += [problem] if problem else []
                        bar.update()
                    found = in_order(found, want)
            if len(found) >= want or not fill_with_scenes:
                break
            missing = -(-(want - len(found)) // TILES_PER_PICTURE)
            side = max(512, 4 * size)
            pending = [Scene(seed * 100_000 + next_scene + i, side) for i in range(missing)]
            next_scene += missing
        if len({tile.group for tile in found}) < (2 if split == 'test' else 1):  # the audit compares photographs
            raise UserError(
                f'too few photographs for the {split} split (their sides are reduced by {REDUCTION} first): '
                f'{len(found)} tiles of {size} px among {chosen} '
                'photographs (the test split needs two photographs); give more or larger ones, or a smaller --size'
            )
        yield split, found, left_out


def one_thread():
    """In a new process: results must not depend on the number of threads, and processes fill the cores."""
    torch.set_num_threads(1)


def run_job(job):
    """Make the images of a job; returns (job, tally of reals, tally of fakes, mean squared differences).

    Tallies and differences are of test images only.
    """
    decoder = load_decoder(job.member.design, seed=job.member.seed) if job.member.design else None
    testing = job.split == 'test'
    real_tally, fake_tally, errors = Tally(), Tally(), []
    for place, path in enumerate(job.reals, start=job.first):
        real = np.asarray(Image.open(path))
        if decoder is not None:
            fake = decode_tile(decoder, real, [job.seed, SPLITS.index(job.split), place])
        else:
            fake = control(job.member.name, real, job.sigma)
        target = job.folder / '0_real' / path.name
        aligned = fake.shape == real.shape
        if aligned:
            link(path, target)
        else:  # the control of another size: its reals are cut to it
            top, left = ((a - b) // 2 for a, b in zip(real.shape[:2], fake.shape[:2], strict=True))
            real = real[top : top + fake.shape[0], left : left + fake.shape[1]]
            Image.fromarray(real).save(target)
        Image.fromarray(fake).save(job.folder / '1_fake' / path.name)
        if testing:
            real_tally.add(real)
            fake_tally.add(fake)
            errors += [np.mean((real.astype(np.float32) - fake) ** 2)] if aligned else []
    return job, real_tally, fake_tally, errors


def control(name, pixels, sigma):
    if name == 'low_passed':
        return controls.low_passed(pixels, sigma)
    if name.startswith('jpeg'):
        return controls.compressed(pixels, int(name.removeprefix('jpeg')))
    return controls.resized(pixels)


def link(source, target):
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def jobs_of(folder, member, split, reals, seed, sigma=None):
    for label in ('0_real', '1_fake'):
        (folder / label).mkdir(parents=True, exist_ok=True)
    return [
        Job(folder, member, split, tuple(reals[i : i + CHUNK]), i, seed, sigma) for i in range(0, len(reals), CHUNK)
    ]


def build(out, photos_folder, counts, size, seed, workers):
    """Fill a folder with an edition; edition.json is written last.

    Args:
        out: Path that does not exist yet.
        photos_folder: folder of photographs, or None for the bundled ones filled up with rendered scenes.
        counts: {'train': n, 'val': n, 'test': n}, tiles in each split at most.
        size: side of a tile in pixels, a multiple of 8.
        seed: of splits, crops, scenes and the generators' noise.
        workers: processes.
    Returns:
        (card, tallies): the edition's card and {generator: (Tally of reals, Tally of fakes)}.
    """
    for design, number in {(m.design, m.seed) for found in (*TABLES.values(), *TRAINING.values()) for m in found}:
        if design:
            load_decoder(design, seed=number)  # missing weights stop the build before anything is made
    photos = folder_photos(photos_folder) if photos_folder else bundled_photos()
    reals, groups, left_out = {}, {}, []
    context = multiprocessing.get_context('spawn')  # a fork would inherit torch's threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as pool:
        for split, found, problems in real_tiles(pool, photos, counts, size, seed, not photos_folder):
            folder = out / REALS / split
            folder.mkdir(parents=True)
            for tile in found:
                Image.fromarray(tile.pixels).save(folder / f'{tile.name}.png')
            reals[split] = [folder / f'{tile.name}.png' for tile in found]
            groups[split] = [tile.group for tile in found]
            left_out += problems
        parts = run(pool, training_jobs(out, reals, seed), 'training images')
        tested = [(table, m) for table, m in members() if m.name != 'low_passed']
        jobs = [job for table, m in tested for job in test_jobs(out, table, m, reals, seed)]
        parts = run(pool, jobs, 'test images')
        tallies, audits = audit(parts, tested, groups['test'])
        # The blur of its control is that of the blurriest generator of the headline tables.
        ratio = min(audits[m.name]['energy_ratio'] for table, m in tested if table in HEADLINE)
        shown = [np.asarray(Image.open(path)) for path in reals['test'][:CHUNK]]
        sigma = controls.matching_sigma(shown, min(ratio, 0.99))
        blurred = [(table, m) for table, m in members() if m.name == 'low_passed']
        jobs = [job for table, m in blurred for job in test_jobs(out, table, m, reals, seed, sigma)]
        more = audit(run(pool, jobs, 'low-passed'), blurred, groups['test'])
    tallies, audits = tallies | more[0], audits | more[1]
    shutil.rmtree(out / REALS)
    card = {
        'name': 'UpsampleBench, second edition',
        'photos': 'a folder' if photos_folder else 'bundled with scikit-image and scikit-learn, and rendered scenes',
        'size': size,
        'seed': seed,
        'tiles': {split: Counter(path.name.partition('_')[0] for path in reals[split]) for split in SPLITS},
        'photos_left_out': left_out,
        'training_decoder': NARROW[0].design,
        'training': {
            f'train{suffix}': [f'{m.design}, seed {m.seed}' for m in found] for suffix, found in TRAINING.items()
        },
        'tables': {table: [m.name for m in found] for table, found in TABLES.items()},
        'low_pass_sigma': sigma,
        'shortcut_limit': SHORTCUT_LIMIT,
        'audit': {m.name: audits[m.name] for _, m in members()},
    }
    write_json(out / 'edition.json', card)
    return card, tallies


def training_jobs(out, reals, seed):
    """Narrow: every real tile and its fake. Wide: as many, dealt to the decoders in turn."""
    jobs = []
    for split in ('train', 'val'):
        for suffix, decoders in TRAINING.items():
            for place, member in enumerate(decoders):
                chosen = reals[split][place :: len(decoders)]
                jobs += jobs_of(out / f'{split}{suffix}' / member.name, member, split, chosen, seed)
    return jobs


def test_jobs(out, table, member, reals, seed, sigma=None):
    return jobs_of(out / 'test' / table / member.name, member, 'test', reals['test'], seed, sigma)


def run(pool, jobs, description):
    """The results of all jobs, in their order."""
    parts = []
    total = sum(len(job.reals) for job in jobs)
    with tqdm(total=total, desc=description, unit='image', leave=False) as bar:
        for part in pool.map(run_job, jobs):
            bar.update(len(part[0].reals))
            parts.append(part)
    return parts


def audit(parts, tested, groups):
    """({generator: (Tally of reals, of fakes)}, {generator: facts}) of what `run` returned."""
    tallies, audits = {}, {}
    for _, member in tested:
        real, fake, errors = Tally(), Tally(), []
        for job, real_part, fake_part, squares in parts:
            if job.member == member:
                real += real_part
                fake += fake_part
                errors += squares
        tallies[member.name] = real, fake
        audits[member.name] = compare(real, fake, groups, errors or None, member.period)
    return tallies, audits
