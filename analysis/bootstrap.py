"""Hierarchical bootstrap of a mean over generators: resample seeds, then generators, then images.

How far would the mean move with other seeds, other generators, other images? Each resample draws

- seeds with replacement, one draw for all generators (a trained detector is tested on all of them), and for each
  detector its own draw: seed 3 of one architecture has nothing in common with seed 3 of another;
- generators with replacement, whole clusters of related ones at a time, the same draw for all detectors;
- images of each generator, real and fake apart, the same draw for all seeds and detectors. Real images that several
  generators borrow are drawn once for all of them. Where all generators share their photographs (UpsampleBench),
  photographs are drawn instead, one draw for all generators.

The image level is precomputed: `metric_tables` evaluates each metric on a few hundred resamples of each generator's
images, exactly (ties too), and a resample of the whole picks one of them at random for each generator. With 400 of
them the image part of the variance is known to sqrt(2/400) = 7%, and it is the smallest part. An image drawn twice
ties with itself, which lifts AP; so the resamples of each generator and seed are shifted back to the value observed.

A level with n units resampled n times is too narrow by (n - 1)/n in variance and ignores that n is small: with five
seeds a plain percentile interval covers about 85% instead of 95%. So the percentiles are stretched around the
estimate by t/z * sqrt(unbiased variance / its bootstrap counterpart), with Satterthwaite's degrees of freedom over
the levels (the idea of Hesterberg's expanded percentiles, The American Statistician 2015, section 5.3, for several
levels, and by scaling, because two seeds have no percentiles to expand to).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from util.errors import UserError

IMAGE_RESAMPLES = 400
BOOTSTRAPPED = ('accuracy', 'ap', 'auc')
CHUNK = 2_000_000  # numbers gathered at once


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; `levels` are those that were resampled (a level with one unit cannot be)."""

    estimate: float
    low: float
    high: float
    standard_error: float
    levels: tuple


def metric_tables(labels, logits, photographs=None, reals=None, resamples=IMAGE_RESAMPLES, seed=0):
    """Metrics of every generator and seed, on the images as they are and on resamples of them.

    Args:
        labels: G arrays (n_g,) of 0 and 1, both present.
        logits: for each detector G arrays (S, n_g); S may differ between detectors.
        photographs: None (images of each class are resampled within their generator) or G arrays (n_g,) of integers
            0..P-1: the photograph that an image shows, shared by generators.
        reals: None or G values, equal where generators have the same real images in the same order.
    Returns:
        {metric: [array (1 + resamples, G, S) for each detector]}, [0] the images as they are.
    Raises:
        UserError: a generator with one class.
    """
    tables = {metric: [[] for _ in logits] for metric in BOOTSTRAPPED}
    shared, lent = None, {}
    if photographs is not None:
        count = 1 + max(int(ids.max()) for ids in photographs)
        shared = np.random.default_rng([seed, 0]).multinomial(count, np.full(count, 1 / count), resamples).T
    for g, truth in enumerate(labels):
        truth = np.asarray(truth)
        if len(np.unique(truth)) < 2:
            raise UserError(f'bootstrap: generator {g} has images of one class only, so AP is undefined')
        if shared is None:
            weights = _draw_images(truth, resamples, np.random.default_rng([seed, 1, g]))
            if reals is not None:
                weights[truth == 0] = lent.setdefault(reals[g], weights[truth == 0])
        else:
            weights = shared[photographs[g]]
            lost = (weights[truth == 0].sum(0) == 0) | (weights[truth == 1].sum(0) == 0)
            weights[:, lost] = 1  # a draw without one class has no AP; with a dozen photographs it does not happen
        weights = np.concatenate([np.ones((len(truth), 1)), weights], axis=1)
        for d, of_detector in enumerate(logits):
            per_seed = [weighted_metrics(truth, row, weights) for row in np.asarray(of_detector[g], float)]
            for metric in BOOTSTRAPPED:
                tables[metric][d].append(np.stack([found[metric] for found in per_seed], axis=1))
    stacked = {metric: [np.stack(table, axis=1) for table in found] for metric, found in tables.items()}
    for table in (table for found in stacked.values() for table in found):
        table[1:] += table[0] - table[1:].mean(axis=0)
    return stacked


def _draw_images(truth, resamples, rng):
    """(n, resamples) how often each image is drawn, with as many real and as many fake images as there are."""
    weights = np.empty((len(truth), resamples))
    for label in (0, 1):
        places = np.flatnonzero(truth == label)
        weights[places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), resamples).T
    return weights


def weighted_metrics(labels, logits, weights):
    """Accuracy, AP and AUC when image i counts weights[i] times; equals scikit-learn's with sample_weight.

    Args:
        labels, logits: (n,); weights: (n, R), each column with weight in both classes.
    Returns:
        {metric: (R,)}
    """
    fake, correct = labels == 1, (logits > 0) == (labels == 1)
    order = [
        places[np.argsort(-logits[places], kind='stable')] for places in (np.flatnonzero(~fake), np.flatnonzero(fake))
    ]
    real_weights, fake_weights = weights[order[0]], weights[order[1]]
    cumulated = [
        np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(w, axis=0)]) for w in (real_weights, fake_weights)
    ]
    reals, fakes = (sums[-1] for sums in cumulated)
    descending = [-logits[places] for places in order]
    # For each fake, the weight of fakes and reals at or above its logit, and of reals strictly above it.
    fakes_above = cumulated[1][np.searchsorted(descending[1], descending[1], 'right')]
    reals_above = cumulated[0][np.searchsorted(descending[0], descending[1], 'right')]
    reals_over = cumulated[0][np.searchsorted(descending[0], descending[1], 'left')]
    # A fake that was not drawn has weight 0, whatever its precision; the floor avoids 0 / 0 there.
    precision = fakes_above / np.maximum(fakes_above + reals_above, 1e-300)
    passed = np.einsum('ij,ij->j', fake_weights, reals_above) + np.einsum('ij,ij->j', fake_weights, reals_over)
    return {
        'accuracy': correct.astype(float) @ weights / (fakes + reals),
        'ap': np.einsum('ij,ij->j', fake_weights, precision) / fakes,
        'auc': 1 - passed / (2 * fakes * reals),
    }


def mean_tables(values, photographs, resamples=IMAGE_RESAMPLES, seed=0):
    """Like one of `metric_tables`, of the mean of any number per image; one draw of photographs for all generators.

    Args:
        values: G arrays (S, n_g); photographs: G arrays (n_g,) of integers 0..P-1, equal for images of one photograph.
    Returns:
        (1 + resamples, G, S); intervals of it need shared_images=True.
    """
    count = 1 + max(int(ids.max()) for ids in photographs)
    drawn = np.random.default_rng([seed, 3]).multinomial(count, np.full(count, 1 / count), resamples)
    tables = []
    for each, ids in zip(values, photographs, strict=True):
        often = drawn[:, ids].astype(float)
        often[often.sum(1) == 0] = 1  # not one of its images was drawn; does not happen with a dozen
        tables.append(np.concatenate([each.mean(1)[None], often @ each.T / often.sum(1, keepdims=True)]))
    return np.stack(tables, axis=1)


def bootstrap_mean(table, bounds=(0.0, 1.0), **options):
    """Interval of one detector's mean over generators and seeds; options as `bootstrap_difference`.

    Args:
        table: (1 + R, G, S) from `metric_tables` or `mean_tables`; bounds: that the mean cannot pass.
    """
    return _interval([table], bounds, **options)


def bootstrap_difference(table, baseline, **options):
    """Interval of detector minus baseline, paired in generators and images, independent in seeds.

    Args:
        table, baseline: (1 + R, G, S) and (1 + R, G, S') from one call of `metric_tables`.
        clusters: G names; generators of one name are drawn together (default: each alone).
        shared_images: one image resample for all generators (when some share photographs).
        resamples: of the whole; seed: of the draws; alpha: 1 - nominal coverage.
        stretch: False gives plain percentiles.
    Returns:
        Interval. With one generator (or cluster) the generator level is left out, with one seed the seed level.
    """
    return _interval([table, baseline], (-1.0, 1.0), **options)


def _interval(tables, bounds, clusters=None, shared_images=False, resamples=10_000, seed=0, alpha=0.05, stretch=True):
    generators = tables[0].shape[1]
    names = list(range(generators)) if clusters is None else list(clusters)
    if not generators or len(names) != generators or any(table.shape[:2] != tables[0].shape[:2] for table in tables):
        raise UserError(f'bootstrap: tables {[table.shape for table in tables]} and {len(names)} clusters do not match')
    clusters = [[g for g in range(generators) if names[g] == name] for name in dict.fromkeys(names)]
    observed = [table[0] for table in tables]
    estimate = _contrast([table.mean() for table in observed])
    drawn = _replicates(tables, clusters, shared_images, resamples, np.random.default_rng([seed, 2]))
    quantiles = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    factor, levels = _small_sample_factor(tables, clusters, shared_images, alpha)
    low, high = np.clip(estimate + (factor if stretch else 1) * (quantiles - estimate), *bounds)
    # Rounding must not leave the estimate outside where nothing varies.
    low, high = min(float(low), estimate), max(float(high), estimate)
    return Interval(estimate, low, high, float(drawn.std()), levels)


def _contrast(values):
    """The first value, or the first minus the second."""
    return float(values[0]) if len(values) == 1 else float(values[0] - values[1])


def _replicates(tables, clusters, shared_images, resamples, rng):
    """(resamples,) resampled contrasts of means over generators and seeds."""
    width = max(len(members) for members in clusters)
    members = np.array([cluster + [-1] * (width - len(cluster)) for cluster in clusters])
    drawn = []
    seeds = max(table.shape[2] for table in tables)
    size = max(1, CHUNK // (members.size * seeds))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        picked = rng.integers(len(clusters), size=(count, len(clusters)))
        chosen = members[picked].reshape(count, -1)
        images = rng.integers(1, len(tables[0]), size=(count, 1) if shared_images else chosen.shape)
        present = (chosen >= 0)[..., None]
        means = []
        for table in tables:
            n = table.shape[2]
            often = rng.multinomial(n, np.full(n, 1 / n), count)[:, None, :]  # how often each seed is drawn
            values = table[images, chosen] * present * often
            means.append(values.sum((1, 2)) / (n * present.sum((1, 2))))
        drawn.append(means[0] - means[1] if len(means) == 2 else means[0])
    return np.concatenate(drawn)


def _small_sample_factor(tables, clusters, shared_images, alpha):
    """(factor that stretches the percentiles, names of the levels that vary); see the head of this file."""
    observed = [table[0] for table in tables]
    parts = []  # (level, variance of the mean, units)
    for values in observed:
        if values.shape[1] > 1:
            parts.append(('seed', np.var(values.mean(0), ddof=1) / values.shape[1], values.shape[1]))
    per_generator = _contrast_arrays([values.mean(1) for values in observed])
    if len(clusters) > 1:
        shifts = [np.sum(per_generator[members] - per_generator.mean()) for members in clusters]
        spread = np.sum(np.square(shifts)) / len(per_generator) ** 2
        parts.append(('generator', spread * len(clusters) / (len(clusters) - 1), len(clusters)))
    images = _contrast_arrays([table[1:].mean(2) for table in tables])
    variance = np.var(images.mean(1)) if shared_images else np.var(images, axis=0).sum() / images.shape[1] ** 2
    parts.append(('image', variance, np.inf))
    levels = tuple(dict.fromkeys(level for level, *_ in parts))
    total = sum(variance for _, variance, _ in parts)
    if total <= 1e-24:
        return 1.0, levels
    narrow = sum(variance * (1 if units == np.inf else (units - 1) / units) for _, variance, units in parts)
    freedom = total**2 / max(sum(variance**2 / (units - 1) for _, variance, units in parts), 1e-300)
    t = stats.t.ppf(1 - alpha / 2, min(freedom, 1e6))
    return float(t / stats.norm.ppf(1 - alpha / 2) * np.sqrt(total / narrow)), levels


def _contrast_arrays(arrays):
    return arrays[0] if len(arrays) == 1 else arrays[0] - arrays[1]
