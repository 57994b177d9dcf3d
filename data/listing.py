"""Finding images: `0_real` and `1_fake` folders at any class depth, and the generators that hold them."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from data.images import IMAGE_SUFFIXES, is_image
from data.samples import Samples
from data.tables import EXTRA, TABLES, TRAINING_FOLDER, known_anywhere, match_generator, match_table, plain
from util.errors import UserError

LABELS = {'0_real': 0, '1_fake': 1}


@dataclass(frozen=True)
class GeneratorFolder:
    """A folder of one generator's test images; `table` is the public table, or the name of the folder above it."""

    table: str
    name: str
    folder: Path


def subfolders(folder):
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def _has_labels(folder):
    return any((folder / name).is_dir() for name in LABELS)


def walk(folder):
    """os.walk that follows links (data sets are often linked, and several generators may share linked reals), but not
    in a circle, and enters no hidden folder."""
    inside = {}  # folders that are still to come: the real paths of those above
    for place, names, files in os.walk(folder, followlinks=True):
        parent, real = Path(place), os.path.realpath(place)
        above = inside.pop(parent, frozenset())
        if real in above:
            names.clear()
            continue
        names[:] = [name for name in names if not name.startswith('.')]
        inside |= dict.fromkeys((parent / name for name in names), above | {real})
        yield parent, names, files


def _has_labels_below(folder):
    return any(name in LABELS for _, names, _ in walk(folder) for name in names)


def _layout_error(folder, problem):
    found = ', '.join(sorted(entry.name for entry in folder.iterdir())[:8]) or 'nothing'
    return UserError(
        f'{folder}: {problem}\n'
        f'  found there: {found}\n'
        f'  expected:    {folder}/0_real/*.png and {folder}/1_fake/*.png, or {folder}/<class>/0_real/*.png ...\n'
        f'  readable:    {" ".join(IMAGE_SUFFIXES)}'
    )


def check_folder(folder):
    folder = Path(folder)
    if not folder.is_dir():
        above = folder.parent
        while not above.is_dir():
            above = above.parent
        found = ', '.join(sorted(entry.name for entry in above.iterdir())[:8]) or 'nothing'
        raise UserError(f'{folder}: no such folder; {above} holds: {found}')
    return folder


def _demand_both(root, parts):
    """A class without real (or fake) images would let a detector learn the class instead."""
    labels = {}
    for folder, label in parts:
        labels.setdefault(folder.parent, set()).add(label)
    everywhere = set().union(*labels.values())
    for folder in [root] if len(everywhere) < 2 else sorted(labels):
        for name, label in LABELS.items():
            if label not in labels.get(folder, everywhere):
                raise _layout_error(folder, f'no images under {name}/ or */{name}/')


def fingerprint(dataroot, samples):
    """Hash of paths (relative to `dataroot` where they are below it) and labels: tells whether a run sees the same list
    of images."""
    above = f'{Path(dataroot).as_posix()}/'
    lines = ''.join(f'{sample.path.as_posix().removeprefix(above)} {sample.label}\n' for sample in samples)
    return hashlib.sha256(lines.encode(errors='surrogateescape')).hexdigest()[:16]  # names need not be UTF-8


def _below_label(folder, root):
    return any(name in LABELS for name in folder.relative_to(root).parts)


def list_samples(folder, classes=None, both=True):
    """Images below `folder`, sorted by path.

    Args:
        folder: holds `0_real` and `1_fake`, or folders that do, at any depth.
        classes: names of class folders directly below `folder` to use, or None for all.
        both: demand real and fake images in each class.
    Returns:
        Samples.
    Raises:
        UserError: missing folder or class, no label folders, a label without images, images in subfolders of a label.
    """
    folder = check_folder(folder)
    for name in classes or ():
        if not (folder / name).is_dir():
            known = ', '.join(sub.name for sub in subfolders(folder)) or 'none'
            raise UserError(f'{folder}: no class folder {name!r} (--classes); found: {known}')
    parts = {}  # {folder of one label: sorted names of its images}
    for root in [folder / name for name in classes] if classes else [folder]:
        found = {parent: sorted(filter(is_image, files)) for parent, _, files in walk(root)}
        found = {parent: names for parent, names in found.items() if names}
        if deeper := [parent for parent in found if parent.name not in LABELS and _below_label(parent, root)]:
            count = sum(len(found[parent]) for parent in deeper)
            raise UserError(
                f'{deeper[0]}: images below a label folder must lie in it, not deeper ({count} do); move them'
            )
        found = {parent: names for parent, names in found.items() if parent.name in LABELS}
        if not found:
            raise _layout_error(root, 'no images under 0_real/ or */0_real/, 1_fake/ or */1_fake/')
        if both:
            _demand_both(root, [(parent, LABELS[parent.name]) for parent in found])
        parts |= found
    ordered = sorted(parts, key=lambda parent: f'{parent.as_posix()}/')
    return Samples.join(Samples.in_folder(parent, parts[parent], LABELS[parent.name]) for parent in ordered)


def list_split(folder, classes, pairs):
    """Images of a split, to train or to validate on: real and fake ones.

    Args:
        folder, classes: as for `list_samples`.
        pairs: a class may have one kind only, because pairs (data.pairs) balance the kinds themselves.
    Returns:
        Samples.
    Raises:
        UserError: as `list_samples`; a split of one kind.
    """
    samples = list_samples(folder, classes, both=not pairs)
    for name, label in LABELS.items():
        if label not in samples.labels:
            raise _layout_error(Path(folder), f'no images under {name}/ or */{name}/; a split needs real and fake ones')
    return samples


def public_table(folder):
    """The public table that a (resolved) folder is by its name, or None; `test` may stand below the name."""
    training = plain(folder.parent.name) == plain(TRAINING_FOLDER)
    above = TABLES[0] if training else match_table(folder.parent.name)
    return match_table(folder.name) or (above if folder.name == 'test' else None)


def _generator(folder, name, parent):
    """GeneratorFolder if a folder of this name below `parent` (resolved) is one generator, else None."""
    table = public_table(parent)
    known = table and match_generator(table, name)
    holds_generators = table and any(match_generator(table, sub.name) for sub in subfolders(folder))
    if known or (table and not holds_generators):
        if not _has_labels_below(folder):
            return None
        return GeneratorFolder(*((table.name, known.name) if known else (table.name + EXTRA, name)), folder)
    if _has_labels(folder) or (known_anywhere(name) and _has_labels_below(folder)):
        return GeneratorFolder(parent.name, name, folder)
    return None


def _descend(folder):
    """Generators below a folder that is none itself; training images only where there is nothing else."""
    resolved = folder.resolve()
    found, aside = [], []
    beside_test = (folder / 'test').is_dir()
    for sub in subfolders(folder):
        if beside_test and sub.name.partition('_')[0] in ('train', 'val'):  # with train_wide, val_wide
            aside.append(sub)
            continue
        generator = _generator(sub, sub.name, resolved)
        if generator:
            found.append(generator)
        elif plain(sub.name) == plain(TRAINING_FOLDER):
            aside.append(sub)
        elif _has_labels_below(sub):
            found += _descend(sub)
    return found or [generator for sub in aside for generator in _descend(sub)]


def _own_names_first(generators):
    """Of two folders side by side that stand for one public generator, the one with its very name keeps it."""

    def own(g):
        return plain(g.folder.name) == plain(g.name) or not match_table(g.table)

    named = {(g.folder.parent, g.name) for g in generators if own(g)}
    return [
        g if own(g) or (g.folder.parent, g.name) not in named else replace(g, table=g.table + EXTRA, name=g.folder.name)
        for g in generators
    ]


def _printing_order(generator):
    table = match_table(generator.table.removesuffix(EXTRA))
    if not table:
        return len(TABLES) + 1, 0
    names = [known.name for known in table.generators]
    return table.number, names.index(generator.name) if generator.name in names else len(names)


def find_generators(dataroot, needed=True):
    """The generators at or below `dataroot`: one, a table of them, or several tables.

    A folder is one generator when it holds `0_real` or `1_fake` itself, or when its name is that of a
    generator of the public tables (their class folders belong together; aliases and case do not matter).
    Public tables come first, as the paper prints them, under the paper's names; the others follow, sorted.
    Training images (`train` and `val` beside `test`, ForenSynths_train_val) count only where there is nothing else.

    Raises:
        UserError: one generator in two places; no label folders anywhere below, unless `needed` is False.
    """
    dataroot = check_folder(dataroot)
    resolved = dataroot.resolve()
    # A table is no generator, even if another data set of that name is below it.
    alone = None if public_table(resolved) else _generator(dataroot, resolved.name, resolved.parent)
    if alone:
        return (alone,)
    found = sorted(_own_names_first(_descend(dataroot)), key=_printing_order)
    if needed and not found:
        raise _layout_error(dataroot, 'no 0_real or 1_fake folder in it or below it')
    places = {}
    for generator in found:
        before = places.setdefault((generator.table, generator.name), generator.folder)
        if before != generator.folder:
            raise UserError(
                f'{dataroot}: {generator.table}/{generator.name} is there twice:\n  {before}\n  {generator.folder}\n'
                '  rename one of them, or give one table as --dataroot'
            )
    return tuple(found)
