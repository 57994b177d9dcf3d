"""Training in pairs: a fake, and a real image that differs from it as little as the data allow."""

from pathlib import Path

import numpy as np

from data.datasets import TrainBatches
from util.errors import UserError

OWN = 0.5  # probability of a real image from the fake's own source, where it has some but none of the fake's name


class PairBatches(TrainBatches):
    """Batch sampler of pairs (fake, real), drawn with replacement; an epoch has as many images as the list
    (one less if that is odd).

    A source is a folder that holds 0_real, 1_fake or both. Sources of fakes are equally likely, whatever their
    sizes, and so are the fakes of one. The real image is that of the same file name in the fake's source, seen through
    the same crop and augmentation; else one of that source or (half the time, or where it has none) of any source.

    Args:
        samples: data.samples.Samples; batch_size: even; seed, rank, world: as for TrainBatches.
    Raises:
        UserError: images of one class only.
    """

    def __init__(self, samples, batch_size, seed, rank=0, world=1):
        super().__init__(samples.labels[: len(samples) // 2 * 2], batch_size, seed, rank=rank, world=world)
        self.reals, self.fakes, self.partners = {}, {}, {}
        kinds = {0: self.reals, 1: self.fakes}
        named = {}
        for index, label in enumerate(samples.labels):
            number, name = samples.place(index)
            source = str(Path(samples.folders[number]).parent)
            kinds[int(label)].setdefault(source, []).append(index)
            named.setdefault((source, name), {})[int(label)] = index
        self.partners = {both[1]: both[0] for both in named.values() if len(both) == 2}
        if not self.reals or not self.fakes:
            raise UserError('--pairs needs real and fake images')

    def order(self, rng):
        count = len(self.labels) // 2
        chosen, draws = np.empty(2 * count, np.int64), np.empty(2 * count, np.int64)
        sources, origins = list(self.fakes), list(self.reals)
        for pair in range(count):
            source = sources[rng.integers(len(sources))]
            fake = self.fakes[source][rng.integers(len(self.fakes[source]))]
            draw = rng.integers(0, 2**63, 2)
            real = self.partners.get(fake)
            if real is not None:
                draw[1] = draw[0]
            else:
                own = source in self.reals and rng.random() < OWN
                origin = source if own else origins[rng.integers(len(origins))]
                real = self.reals[origin][rng.integers(len(self.reals[origin]))]
            chosen[2 * pair : 2 * pair + 2], draws[2 * pair : 2 * pair + 2] = (fake, real), draw
        # In each batch all fakes first, so that whoever gets every n-th image (a process, a part) gets both classes.
        places = np.arange(2 * count)
        batches = [places[first : first + self.batch_size] for first in range(0, len(places), self.batch_size)]
        order = np.concatenate([part for batch in batches for part in (batch[::2], batch[1::2])])
        return chosen[order], draws[order]
