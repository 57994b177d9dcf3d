"""What one test run scores: samples of all generators, borrowed real images, rows for the score file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import IMAGE_SUFFIXES, is_image
from data.listing import LABELS, check_folder, find_generators, list_samples, public_table, walk
from data.samples import Samples
from data.tables import TABLES, family_of
from util.errors import UserError


class Rows(Sequence):
    """What the score file says of each sample: (table, generator, label, path relative to the data root, family).

    Args:
        samples: Samples of one generator after the other; generators: their (table, generator, family).
        ends: where each generator ends; dataroot: of the paths, which start with .. for borrowed images.
    """

    def __init__(self, samples, generators, ends, dataroot):
        self.samples, self.generators, self.ends = samples, generators, np.asarray(ends)
        self.folders = [Path(os.path.relpath(folder, dataroot)).as_posix() for folder in samples.folders]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        table, generator, family = self.generators[np.searchsorted(self.ends, index, 'right')]
        folder, name = self.samples.place(index)
        return table, generator, int(self.samples.labels[index]), f'{self.folders[folder]}/{name}', family

    def generator_numbers(self):
        """(n,) number of each sample's generator."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))

    def tables(self):
        """(n,) number of each sample's table among `names`, and `names`, the different tables in order."""
        names = list(dict.fromkeys(table for table, *_ in self.generators))
        numbers = [names.index(table) for table, *_ in self.generators]
        return np.array(numbers)[self.generator_numbers()], names


@dataclass(frozen=True)
class Collection:
    """`samples` and `rows` belong together; see Rows.

    borrowed: names ('table/generator') of generators whose real images were lent; not_found: sentences.
    """

    generators: tuple
    samples: Samples
    rows: Rows
    borrowed: list
    not_found: list

    @property
    def tables(self):
        return list(dict.fromkeys(generator.table for generator in self.generators))

    def demand_both_classes(self):
        """Raises UserError unless some generator has real and fake images."""
        numbers, labels = self.rows.generator_numbers(), self.samples.labels
        if not np.intersect1d(numbers[labels == 0], numbers[labels == 1]).size:
            raise UserError('no generator with real and fake images; both are needed (--reals DIR lends real ones)')

    def with_pixels(self, transforms):
        """The samples, each with the transform of its table; `transforms`: {table: ScoreTransform}."""
        choice, names = self.rows.tables()
        return self.samples.with_transforms([transforms[name] for name in names], choice)


def list_reals(folder):
    """Real images to lend: those under 0_real, or all images if there is no such folder below.

    Raises:
        UserError: no folder, or no images.
    """
    folder = check_folder(folder)
    found = {'0_real': {}, 'other': {}}
    for parent, _, files in walk(folder):
        if '1_fake' not in (parent.name, parent.parent.name) and any(map(is_image, files)):
            found['0_real' if parent.name == '0_real' else 'other'][parent] = sorted(filter(is_image, files))
    parts = found['0_real'] or found['other']
    if not parts:
        raise UserError(
            f'{folder}: no real images to lend (--reals)\n'
            f'  expected: {folder}/0_real/*.png, or images at any depth\n'
            f'  readable: {" ".join(IMAGE_SUFFIXES)}'
        )
    ordered = sorted(parts, key=lambda parent: f'{parent.as_posix()}/')
    return Samples.join(Samples.in_folder(parent, parts[parent], LABELS['0_real']) for parent in ordered)


def tables_root(dataroot, generators):
    """The folder that holds (or should hold) the folders of the public tables."""
    dataroot = Path(dataroot)
    if public_table(dataroot.resolve()):
        return dataroot.resolve().parent
    for generator in generators:
        for above in generator.folder.parents:
            if public_table(above.resolve()) and above.name != 'test':
                return above.parent
    below = dataroot / 'Generalization_Test'
    return below if below.is_dir() else dataroot


def not_found(dataroot, generators):
    """A sentence for each public table that lacks generators, if `dataroot` is one or the folder of several."""
    dataroot = Path(dataroot)
    if any(generator.folder == dataroot for generator in generators):
        return []
    have = {(generator.table, generator.name) for generator in generators}
    some = {table for table, _ in have} & {table.name for table in TABLES}
    root = tables_root(dataroot, generators)
    sentences = []
    for table in TABLES:
        missing = [known.name for known in table.generators if (table.name, known.name) not in have]
        if table.name in some and missing:
            sentences.append(f'table {table.number}, {table.name}: not found: {", ".join(missing)}')
        elif some and missing and not public_table(dataroot.resolve()):
            place = root / table.folder
            why = f'{place} is there, but without 0_real and 1_fake' if place.is_dir() else f'expected {place}'
            sentences.append(f'table {table.number}, {table.name}: not found ({why})')
    return sentences


def collect(dataroot, classes=None, reals=None):
    """Everything to score at or below `dataroot`.

    Args:
        classes: class folders of a single generator, or None for all.
        reals: folder that lends its real images to generators without any, or None. They are scored again for
            each borrower: tables may differ in their pixels.
    Returns:
        Collection.
    Raises:
        UserError: nothing found; classes for several generators; no real images to lend.
    """
    dataroot = Path(dataroot)
    generators = find_generators(dataroot)
    if classes and len(generators) > 1:
        raise UserError(f'--classes needs one generator, {dataroot} holds {len(generators)}')
    lent = list_reals(reals) if reals else None
    parts, borrowed = [], []
    for generator in generators:
        found = list_samples(generator.folder, classes, both=False)
        if lent and found.labels.all():
            borrowed.append(f'{generator.table}/{generator.name}')
            found = lent + found
        parts.append(found)
    samples = Samples.join(parts)
    facts = [(found.table, found.name, family_of(found.table, found.name)) for found in generators]
    rows = Rows(samples, facts, np.cumsum([len(part) for part in parts]), dataroot)
    return Collection(generators, samples, rows, borrowed, not_found(dataroot, generators))


def describe(dataroot, found, reals=None):
    """Lines that say what the folder was taken for, what it lacks, and who borrows real images."""
    generators = found.generators
    if len(generators) == 1:
        what = f'one generator, {generators[0].name}'
    else:
        what = f'{len(generators)} generators in {", ".join(found.tables)}'
    lines = [f'{dataroot}: {what}; {len(found.samples)} images', *found.not_found]
    if found.not_found:
        lines.append('  (python -m data.tables --dataroot DIR says more, and where to obtain the data)')
    if found.borrowed:
        lines.append(f'real images of {reals} lent to: {", ".join(found.borrowed)}')
    elif reals:
        lines.append(f'--reals {reals}: not needed, every generator has real images')
    return lines
