"""Lists of images as columns: a million take about 40 MB, and processes that load images share those pages."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One image file and its label (0 = real, 1 = fake)."""

    path: Path
    label: int
    transform: object = None  # its own ScoreTransform, where one run scores tables with different pixels


class Samples(Sequence):
    """An unchangeable list of `Sample`, which are made when asked for; built by `of`, `in_folder` and `+`.

    Objects would take ten times the memory, and their reference counts would make every loading process copy them.

    Attributes:
        folders: different folders, str; labels: (n,) int8.
    """

    def __init__(self, folders, folder_of, names, ends, labels, transforms=(None,), transform_of=None):
        self.folders, self._folder_of = folders, folder_of
        self._names, self._ends = names, ends  # the file names in one bytes object, and where each of them ends
        self.labels = labels
        self._transforms = transforms
        self._transform_of = np.zeros(len(labels), np.int32) if transform_of is None else transform_of

    @classmethod
    def in_folder(cls, folder, names, label):
        """Files of one folder and one label."""
        encoded = [os.fsencode(name) for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        count = len(encoded)
        return cls([str(folder)], np.zeros(count, np.int32), b''.join(encoded), ends, np.full(count, label, np.int8))

    @classmethod
    def of(cls, samples):
        """From `Sample` objects without transforms."""
        samples = list(samples)
        folders = {folder: i for i, folder in enumerate(dict.fromkeys(str(s.path.parent) for s in samples))}
        names = [os.fsencode(sample.path.name) for sample in samples]
        return cls(
            list(folders),
            np.array([folders[str(sample.path.parent)] for sample in samples], np.int32),
            b''.join(names),
            np.cumsum([len(name) for name in names], dtype=np.int64),
            np.array([sample.label for sample in samples], np.int8),
        )

    @classmethod
    def join(cls, parts):
        """Several lists one after the other; transforms are left behind."""
        parts = list(parts)
        folders = {folder: i for i, folder in enumerate(dict.fromkeys(f for part in parts for f in part.folders))}
        places = [
            np.array([folders[f] for f in part.folders], np.int32)[part._folder_of] for part in parts if len(part)
        ]
        starts = np.cumsum([0, *(len(part._names) for part in parts)])
        return cls(
            list(folders),
            np.concatenate([np.empty(0, np.int32), *places]),
            b''.join(part._names for part in parts),
            np.concatenate(
                [np.empty(0, np.int64), *(part._ends + start for part, start in zip(parts, starts, strict=False))]
            ),
            np.concatenate([np.empty(0, np.int8), *(part.labels for part in parts)]),
        )

    def with_transforms(self, transforms, choice):
        """The same files, the i-th with transforms[choice[i]]."""
        columns = self.folders, self._folder_of, self._names, self._ends, self.labels
        return Samples(*columns, tuple(transforms), np.asarray(choice, np.int32))

    def __add__(self, other):
        return self.join([self, other])

    def __len__(self):
        return len(self.labels)

    def place(self, index):
        """(number of the folder, file name) of a sample."""
        start = self._ends[index - 1] if index else 0
        return int(self._folder_of[index]), os.fsdecode(self._names[start : self._ends[index]])

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        index = int(index) % len(self)
        folder, name = self.place(index)
        transform = self._transforms[self._transform_of[index]]
        return Sample(Path(self.folders[folder], name), int(self.labels[index]), transform)


def choose_evenly(labels, groups, count, seed):
    """Positions of `count` images: real and fake in turns, at random, from all groups alike as far as they last.

    Args:
        labels: (n,) 0 or 1; groups: (n,) integers, as the generator of each image.
    """
    rng, turns = np.random.default_rng(seed), []
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        queues = [rng.permutation(own[groups[own] == group]) for group in np.unique(groups[own])]
        longest = max(map(len, queues), default=0)
        turns.append([int(queue[i]) for i in range(longest) for queue in queues if i < len(queue)])
    halves = count // 2, count - count // 2
    share = [max(half, count - len(other)) for half, other in zip(halves, reversed(turns), strict=True)]
    real, fake = (turn[:n] for turn, n in zip(turns, share, strict=True))
    both = min(len(real), len(fake))
    return [each for pair in zip(real, fake, strict=False) for each in pair] + real[both:] + fake[both:]
