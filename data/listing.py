"""Finding images: `0_real` and `1_fake` folders at any class depth, and the generators that hold them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from data.images import IMAGE_SUFFIXES
from data.tables import GENERATOR_NAMES
from util.errors import UserError

LABELS = {'0_real': 0, '1_fake': 1}


@dataclass(frozen=True)
class Sample:
    """One image file and its label (0 = real, 1 = fake)."""

    path: Path
    label: int


@dataclass(frozen=True)
class GeneratorFolder:
    """A folder of one generator's test images; `table` is the folder above it."""

    table: str
    name: str
    folder: Path


def _subfolders(folder):
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def _has_labels(folder):
    return any((folder / name).is_dir() for name in LABELS)


def _walk(folder):
    """os.walk that follows links (data sets are often linked), but enters no folder twice."""
    seen = set()
    for parent, names, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        yield Path(parent), names, files


def _has_labels_below(folder):
    return any(name in LABELS for _, names, _ in _walk(folder) for name in names)


def _layout_error(folder, problem):
    found = ', '.join(sorted(entry.name for entry in folder.iterdir())[:8]) or 'nothing'
    return UserError(
        f'{folder}: {problem}\n'
        f'  found there: {found}\n'
        f'  expected:    {folder}/0_real/*.png and {folder}/1_fake/*.png, or {folder}/<class>/0_real/*.png ...\n'
        f'  readable:    {" ".join(sorted(IMAGE_SUFFIXES))}'
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


def _demand_both(root, samples):
    """A class without real (or fake) images would let a detector learn the class instead."""
    labels = {}
    for sample in samples:
        labels.setdefault(sample.path.parent.parent, set()).add(sample.label)
    for folder in [root] if len({label for found in labels.values() for label in found}) < 2 else sorted(labels):
        for name, label in LABELS.items():
            if label not in labels.get(folder, {sample.label for sample in samples}):
                raise _layout_error(folder, f'no images under {name}/ or */{name}/')


def fingerprint(dataroot, samples):
    """Hash of paths (relative to `dataroot`) and labels: tells whether a run sees the same list of images."""
    lines = ''.join(f'{sample.path.relative_to(dataroot).as_posix()} {sample.label}\n' for sample in samples)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def list_samples(folder, classes=None, both=True):
    """Images below `folder`, sorted by path.

    Args:
        folder: holds `0_real` and `1_fake`, or folders that do, at any depth.
        classes: names of class folders directly below `folder` to use, or None for all.
        both: demand real and fake images in each class.
    Returns:
        tuple of Sample.
    Raises:
        UserError: missing folder or class, no label folders, or a label without images.
    """
    folder = check_folder(folder)
    for name in classes or ():
        if not (folder / name).is_dir():
            known = ', '.join(sub.name for sub in _subfolders(folder)) or 'none'
            raise UserError(f'{folder}: no class folder {name!r} (--classes); found: {known}')
    samples = []
    for root in [folder / name for name in classes] if classes else [folder]:
        found = [
            Sample(parent / file, LABELS[parent.name])
            for parent, _, files in _walk(root)
            if parent.name in LABELS
            for file in files
            if Path(file).suffix.lower() in IMAGE_SUFFIXES and not file.startswith('.')
        ]
        if not found:
            raise _layout_error(root, 'no images under 0_real/ or */0_real/, 1_fake/ or */1_fake/')
        if both:
            _demand_both(root, found)
        samples += found
    return tuple(sorted(samples, key=lambda sample: sample.path.as_posix()))


def find_generators(dataroot):
    """The generators at or below `dataroot`, sorted: one, a table of them, or several tables.

    A folder is one generator when it holds `0_real` or `1_fake` itself, or when its name is that of a
    generator of the public tables (their class folders belong together).

    Raises:
        UserError: no label folders anywhere below.
    """
    dataroot = check_folder(dataroot)
    resolved = dataroot.resolve()
    if _has_labels(dataroot) or (resolved.name in GENERATOR_NAMES and _has_labels_below(dataroot)):
        return (GeneratorFolder(resolved.parent.name, resolved.name, dataroot),)
    found = []
    for sub in _subfolders(dataroot):
        if _has_labels(sub) or (sub.name in GENERATOR_NAMES and _has_labels_below(sub)):
            found.append(GeneratorFolder(resolved.name, sub.name, sub))
        elif _has_labels_below(sub):
            found += find_generators(sub)
    if not found:
        raise _layout_error(dataroot, 'no 0_real or 1_fake folder in it or below it')
    return tuple(found)
