"""What one test run scores: samples of all generators, borrowed real images, rows for the score file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from data.images import IMAGE_SUFFIXES
from data.listing import LABELS, Sample, check_folder, find_generators, list_samples, public_table, walk
from data.tables import TABLES, family_of
from util.errors import UserError


@dataclass(frozen=True)
class Collection:
    """`samples` and `rows` (table, generator, label, path relative to the data root, family) belong together.

    borrowed: names ('table/generator') of generators whose real images were lent; not_found: sentences.
    """

    generators: tuple
    samples: list
    rows: list
    borrowed: list
    not_found: list

    @property
    def tables(self):
        return list(dict.fromkeys(generator.table for generator in self.generators))

    def with_pixels(self, transforms):
        """The samples, each with the transform of its table; `transforms`: {table: ScoreTransform}."""
        return [replace(s, transform=transforms[row[0]]) for s, row in zip(self.samples, self.rows, strict=True)]


def list_reals(folder):
    """Real images to lend: those under 0_real, or all images if there is no such folder below.

    Raises:
        UserError: no folder, or no images.
    """
    folder = check_folder(folder)
    found = {'0_real': [], 'other': []}
    for parent, _, files in walk(folder):
        if '1_fake' not in (parent.name, parent.parent.name):
            paths = [parent / f for f in files if Path(f).suffix.lower() in IMAGE_SUFFIXES and not f.startswith('.')]
            found['0_real' if parent.name == '0_real' else 'other'] += paths
    paths = found['0_real'] or found['other']
    if not paths:
        raise UserError(
            f'{folder}: no real images to lend (--reals)\n'
            f'  expected: {folder}/0_real/*.png, or images at any depth\n'
            f'  readable: {" ".join(sorted(IMAGE_SUFFIXES))}'
        )
    return [Sample(path, LABELS['0_real']) for path in sorted(paths, key=lambda path: path.as_posix())]


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
            sentences.append(f'table {table.number}, {table.name}: not found (expected {root / table.folder})')
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
    lent = list_reals(reals) if reals else []
    samples, rows, borrowed = [], [], []
    for generator in generators:
        found = list(list_samples(generator.folder, classes, both=False))
        if lent and all(sample.label for sample in found):
            borrowed.append(f'{generator.table}/{generator.name}')
            found = lent + found
        family = family_of(generator.table, generator.name)
        samples += found
        rows += [
            (generator.table, generator.name, sample.label, _relative(sample.path, dataroot), family)
            for sample in found
        ]
    return Collection(generators, samples, rows, borrowed, not_found(dataroot, generators))


def _relative(path, dataroot):
    """Borrowed images lie elsewhere: their paths start with .. and say where."""
    return Path(os.path.relpath(path, dataroot)).as_posix()


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
