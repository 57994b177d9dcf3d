"""How often the bootstrap's 95% intervals cover a known truth: python -m benchmarks.coverage [--experiments N]"""

import numpy as np
from sklearn.metrics import average_precision_score

from analysis.bootstrap import bootstrap_difference, metric_tables
from options.base_options import StrictParser, positive

SEED = 6
# (generators, seeds of both detectors, standard deviations of the effects)
SETTINGS = (
    (10, (5, 5), {'of_seed': 0.05, 'of_generator': 0.01}),  # seeds dominate
    (5, (5, 5), {'of_seed': 0.01, 'of_generator': 0.05}),  # few generators dominate
    (12, (5, 3), {'of_seed': 0.03, 'of_generator': 0.05, 'of_image': 0.02}),
    (10, (2, 2), {'of_seed': 0.05, 'of_generator': 0.02}),
    (8, (1, 1), {'of_generator': 0.04}),  # one seed: its effect cannot be seen, so there is none here
    (1, (5, 5), {'of_seed': 0.03, 'of_image': 0.03}),  # within one generator
    (4, (5, 5), {'of_seed': 0.03, 'of_generator': 0.05, 'of_image': 0.01}),
    (40, (5, 5), {'of_seed': 0.03, 'of_generator': 0.05, 'of_image': 0.01}),
)


def effects(rng, generators, seeds, of_generator=0.0, of_seed=0.0, of_image=0.0, shared=0.0, resamples=40):
    """Tables (1 + resamples, G, S) of two detectors that do not differ, from normal effects of known size.

    Args:
        seeds: of each detector; shared: standard deviation of what both find hard on a generator.
    """
    tables = []
    both = rng.normal(0, shared, (generators, 1)) if shared else 0
    for n in seeds:
        values = both + rng.normal(0, of_generator, (generators, 1)) + rng.normal(0, of_seed, (1, n))
        table = values + rng.normal(0, of_image, (generators, 1))
        noise = rng.normal(0, of_image, (resamples, generators, 1))
        tables.append(np.concatenate([table[None], table + noise]))
    return tables


def experiments(generators, seeds, spread, count, stretch=True):
    """Intervals of `count` experiments whose true difference is 0."""
    rng = np.random.default_rng(SEED)
    return [
        bootstrap_difference(*effects(rng, generators, seeds, shared=0.2, **spread), resamples=400, stretch=stretch)
        for _ in range(count)
    ]


def coverage(intervals, truth=0.0):
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def ap_within_a_generator(images, count):
    """(coverage of the AP difference of two detectors, bias of AP) with `images` real and as many fake images."""
    rng = np.random.default_rng(SEED)

    def draw(n):
        labels, shared = np.repeat([0, 1], n), rng.normal(size=2 * n)
        return labels, [gap * labels + 0.7 * shared + 0.7 * rng.normal(size=2 * n) for gap in (0.5, 1.0)]

    labels, logits = draw(500_000)
    truth = [average_precision_score(labels, each) for each in logits]
    intervals, bias = [], []
    for _ in range(count):
        labels, logits = draw(images)
        tables = metric_tables([labels], [[each[None]] for each in logits], resamples=200)['ap']
        intervals.append(bootstrap_difference(*reversed(tables), resamples=1000))
        bias.append(tables[0][0].item() - truth[0])
    return coverage(intervals, truth[1] - truth[0]), float(np.mean(bias))


def main(args):
    print('generators  seeds   plain  stretched  effects')
    for generators, seeds, spread in SETTINGS:
        plain, stretched = (
            100 * coverage(experiments(generators, seeds, spread, args.experiments, stretch))
            for stretch in (False, True)
        )
        print(f'{generators:10}  {seeds}  {plain:5.1f}  {stretched:9.1f}  {spread}', flush=True)
    for images in (30, 100):
        covered, bias = ap_within_a_generator(images, args.experiments)
        print(f'AP, {images} + {images} images: {100 * covered:.1f}% covered, bias of AP {100 * bias:+.1f} points')


if __name__ == '__main__':
    parser = StrictParser(prog='python -m benchmarks.coverage', description=__doc__.split(':')[0])
    parser.add_argument('--experiments', type=positive, default=1000, help='for each line')
    main(parser.parse_args())
