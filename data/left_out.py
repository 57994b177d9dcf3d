"""Leaving one generator out: what each training may see, and how far one number alone gets."""

import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from data.images import is_image, load_rgb
from data.listing import LABELS, check_folder, public_table, subfolders, walk
from data.perturbations import Perturbation
from data.pixel_facts import colour_grid, smoothness
from data.transforms import ScoreTransform
from util.errors import UserError
from util.files import make_folder, shortest_tails, whole_folder

VALIDATION = 8  # one image (or photograph) in so many: the last ones by name, so that series stay together


@dataclass(frozen=True)
class Sources:
    """Where images come from.

    images: {source: {label: [Path], sorted by name}}. tested: the generators that are left out, one after the other.
    lender: the source whose real images those without any are compared with, or None. made: the sources of fakes that
    were made for training.
    """

    images: dict
    tested: tuple
    lender: str | None
    made: tuple = ()

    def compared_with(self, generator):
        """The source of the real images that a generator is compared with."""
        return generator if self.images[generator][0] else self.lender


def images_of(folder):
    """{0: [Path], 1: [Path]} of a source, sorted: those in 0_real and 1_fake, its own or of class folders below it."""
    found = {label: [] for label in LABELS.values()}
    for place, _, names in walk(folder):
        if place.name in LABELS:
            found[LABELS[place.name]] += [place / name for name in names if is_image(name)]
    return {label: sorted(paths) for label, paths in found.items()}


def add(images, found):
    if both := sorted(images.keys() & found.keys()):
        raise UserError(f'two sources are called {", ".join(both)}; rename a folder')
    images |= found


def read_sources(dataroot, lender=None, photographs=None, made=()):
    """Sources below `dataroot`, with those of a folder of photographs and of folders of made fakes.

    Raises:
        UserError: no such lender, a generator without fakes or without any real images to compare it with, nothing in
            a folder, a public table in the place of a generator, or two sources of one name.
    """
    folders = subfolders(check_folder(dataroot))
    if tables := [folder.name for folder in folders if public_table(folder.resolve())]:
        raise UserError(f'{dataroot}: holds tables of generators ({", ".join(tables)}); give one table as --dataroot')
    found = {folder.name: images_of(folder) for folder in folders}
    images = {name: kinds for name, kinds in found.items() if kinds[0] or kinds[1]}
    if lender and not images.get(lender, {}).get(0):
        raise UserError(f'--reals {lender}: no such folder with 0_real in {dataroot}: {", ".join(images)}')
    tested = tuple(name for name, kinds in images.items() if kinds[1])
    lacking = [name for name in tested if not images[name][0]]
    if lacking and not lender:
        raise UserError(f'{dataroot}: no real images for {", ".join(lacking)}; say whose to lend with --reals')
    if len(tested) < 2:
        raise UserError(f'{dataroot}: found {len(tested)} generators with 1_fake; leaving one out takes two')
    if photographs:
        photos = sorted(place / name for place, _, names in walk(photographs) for name in names if is_image(name))
        if not photos:
            raise UserError(f'{photographs}: no images in it or below it')
        add(images, {'photographs': {0: photos, 1: []}})
    names = []
    for more in map(Path, made):
        folders = subfolders(check_folder(more))
        found = {f'{more.name}_{folder.name}': images_of(folder) for folder in folders if (folder / '1_fake').is_dir()}
        if not any(kinds[1] for kinds in found.values()):
            raise UserError(f'{more}: no folders with 1_fake in it, or nothing in those')
        add(images, found)
        names += found
    return Sources(images, tested, lender, tuple(names))


def photograph(path):
    """What files that generators.redo made of one photograph have in common: the name up to the first underscore."""
    return path.stem.partition('_')[0]


def training_set(sources, left_out):
    """{(split, source, label): [Path]} without a generator and without the reals it is compared with.

    left_out: of sources.tested, or None to see everything. Of made fakes and what they were made of, validation gets
    the same photographs in all sources.

    Raises:
        UserError: fewer than VALIDATION photographs in the made sources.
    """
    own = None if left_out is None else sources.compared_with(left_out)
    every = {photograph(path) for name in sources.made for kind in sources.images[name].values() for path in kind}
    if sources.made and len(every) < VALIDATION:
        raise UserError(
            f'{", ".join(sources.made)}: found {len(every)} photographs by their names up to the first underscore; '
            f'at least {VALIDATION} are needed, of which one is for validation'
        )
    held = set(sorted(every)[len(every) - len(every) // VALIDATION :])
    chosen = {}
    for name, kinds in sources.images.items():
        for label, paths in kinds.items():
            if paths and not (name == left_out or (label == 0 and name == own)):
                later = {path for path in paths if photograph(path) in held}
                if name not in sources.made:
                    later = set(paths[len(paths) - len(paths) // VALIDATION :])
                chosen['train', name, label] = [path for path in paths if path not in later]
                chosen['val', name, label] = [path for path in paths if path in later]
    return chosen


def fingerprint(chosen):
    """Hash of a training set: names and bytes of its images."""
    digest = hashlib.sha256()
    for key, paths in sorted(chosen.items()):
        for path in paths:
            digest.update(repr((key, path.name, zlib.crc32(path.read_bytes()))).encode())
    return digest.hexdigest()[:16]


def counts(chosen):
    """{source: training images of both classes} of a training set."""
    found = Counter()
    for (split, name, _), paths in chosen.items():
        if split == 'train':
            found[name] += len(paths)
    return dict(found)


def validation_reals(chosen):
    """Number of different real images (by their bytes) for validation: generators.redo writes a piece of its
    photograph beside each fake."""
    found = [paths for (split, _, label), paths in chosen.items() if (split, label) == ('val', 0)]
    return len({hashlib.sha256(path.read_bytes()).digest() for paths in found for path in paths})


def link(chosen, folder):
    """Make `folder` of a training set, out of links to the images: all of it or, after a kill, none.

    Names stay, by which train.py --pairs knows a fake's own photograph; where one comes twice in a source, folders are
    put before it, alike for both classes.
    """
    groups = {}
    for (split, name, label), paths in chosen.items():
        groups.setdefault((split, name), {})[label] = paths
    kinds = {label: name for name, label in LABELS.items()}
    with whole_folder(folder) as unfinished:
        for (split, name), both in groups.items():
            parts = [
                [tuple(part for part in path.parts if part != kinds[label]) for path in paths]
                for label, paths in both.items()
            ]
            for (label, paths), names in zip(both.items(), shortest_tails(*parts), strict=True):
                place = make_folder(unfinished / split / name / kinds[label])
                for path, short in zip(paths, names, strict=True):
                    (place / short).symlink_to(path.resolve())


NUMBERS = {'smoothness': smoothness, 'no_grid': lambda pixels: -colour_grid(pixels)}  # each taken as the score


def numbers_alone(sources, conditions, side):
    """AUC of each of NUMBERS (data.pixel_facts) as the score, without any training.

    Args:
        conditions: 'as_is' or 'jpeg_QUALITY'; side: pixels of the centre crop.
    Returns:
        {number: {condition: {generator: AUC, below 0.5 where fakes have less of it}}}.
    """
    found = {number: {condition: {} for condition in conditions} for number in NUMBERS}
    for name in tqdm(sources.tested, desc='what one number tells', unit='generator'):
        both = [sources.images[sources.compared_with(name)][0], sources.images[name][1]]
        labels = np.repeat([0, 1], [len(paths) for paths in both])
        for condition in conditions:
            perturbation = None if condition == 'as_is' else Perturbation('jpeg', int(condition.removeprefix('jpeg_')))
            seen = ScoreTransform(None, side, perturbation)
            images = [np.asarray(seen.pixels(load_rgb(path))) for path in (*both[0], *both[1])]
            for number, measure in NUMBERS.items():
                found[number][condition][name] = float(roc_auc_score(labels, [measure(image) for image in images]))
    return found
