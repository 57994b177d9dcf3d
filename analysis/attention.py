"""What attention weights of a score file say about scales, generators and families.

Coarseness of an image's weights is the mean octave of the scales, sum of w_s log2(1/s): a scale of 0.25 counts 2, one
of 0.5 counts 1. Weights are compared between images by their square roots (Hellinger's distance), between generators by
the Jensen-Shannon distance in bits, which is between 0 and 1.
"""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import rel_entr
from sklearn.metrics import silhouette_score

from analysis.clusters import cluster_of
from analysis.metrics import binary_metrics
from analysis.scores import ATTENTION, FAMILY, attention_scales
from analysis.summary import counted, outside_mean, rows_inside_mean

PERMUTATIONS = 10_000
FEWEST = 4  # generators for a correlation over generators
CLASSES = ('real', 'fake')


def weights_of(frame):
    """(n, S) attention weights of a score file's rows."""
    return frame[[f'{ATTENTION}{scale:g}' for scale in attention_scales(frame)]].to_numpy(float)


def entropies(weights):
    """(n,) entropy of each row in nats: 0 when one scale has all the weight, log(S) when all have the same."""
    return -np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-300)), 0).sum(1)


def coarseness(weights, scales):
    """(n,) mean octave of each row; see the head of this file."""
    return weights @ np.log2(1 / np.asarray(scales, float))


def describe(weights, scales):
    """Statistics of the weights (n, S) of some images: a dict of floats, 'mean' and 'std' for each scale."""
    deviation = weights.std(0, ddof=1) if len(weights) > 1 else np.zeros(len(scales))
    names = [f'{scale:g}' for scale in scales]
    octaves, entropy = coarseness(weights, scales), entropies(weights)
    return {
        'images': len(weights),
        'mean': dict(zip(names, weights.mean(0).tolist(), strict=True)),
        'std': dict(zip(names, deviation.tolist(), strict=True)),
        'entropy': float(entropy.mean()),
        'entropy_std': float(entropy.std(ddof=1)) if len(weights) > 1 else 0.0,
        'coarseness': float(octaves.mean()),
        'coarseness_error': float(octaves.std(ddof=1) / np.sqrt(len(weights))) if len(weights) > 1 else 0.0,
    }


def by_generator(frame):
    """One dict for each generator of a score file, in its order.

    Returns:
        [{'table', 'generator', 'family', 'real': `describe` or None, 'fake': the same, 'shift': coarseness of fakes
        minus reals in octaves or None, 'accuracy', 'ap': of all its images, or None}]
    """
    scales, entries = attention_scales(frame), []
    for (table, generator), rows in frame.groupby(['table', 'generator'], sort=False):
        family = str(rows[FAMILY].iloc[0]) if FAMILY in rows else ''
        entry = {'table': table, 'generator': generator, 'family': family}
        for label, name in enumerate(CLASSES):
            weights = weights_of(rows[rows['label'] == label])
            entry[name] = describe(weights, scales) if len(weights) else None
        both = entry['real'] and entry['fake']
        entry['shift'] = entry['fake']['coarseness'] - entry['real']['coarseness'] if both else None
        metrics = binary_metrics(rows['label'].to_numpy(), rows['logit'].to_numpy())
        entries.append(entry | {key: metrics[key] for key in ('accuracy', 'ap')})
    return entries


def mean_of(entries):
    """One entry like those of `by_generator`: every number the mean over some of them, the rest of the first."""

    def average(values):
        if isinstance(values[0], dict):
            return {key: average([value[key] for value in values]) for key in values[0]}
        if isinstance(values[0], int | float):
            return float(np.mean(values))
        return values[0]

    return average(entries)


def means_of(entries, name='fake'):
    """DataFrame of mean weights, rows 'table/generator', columns scales, of the generators that have such images."""
    rows = {f'{e["table"]}/{e["generator"]}': e[name]['mean'] for e in entries if e[name]}
    return pd.DataFrame.from_dict(rows, orient='index')


def js_distance(first, second):
    """(...) Jensen-Shannon distance in bits of weights (..., S); 0 also where rounding would make it imaginary."""
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle) + rel_entr(second, middle)).sum(-1) / (2 * np.log(2))
    return np.sqrt(np.clip(divergence, 0, 1))


def distances(means):
    """(G, G) Jensen-Shannon distances between rows of mean weights (G, S)."""
    means = np.asarray(means, float)
    return js_distance(means[:, None], means[None])


def explained_share(values, groups):
    """Share of the variance of (n, d) values that their groups explain, in [0, 1] (PERMANOVA's R squared)."""
    total = np.square(values - values.mean(0)).sum()
    if total < 1e-12:
        return 0.0
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    counts = np.bincount(groups)
    between = (np.square(sums).sum(1) / np.maximum(counts, 1)).sum() - np.square(values.sum(0)).sum() / len(values)
    return float(np.clip(between / total, 0, 1))


def separation(weights, groups, permutations=999, seed=0):
    """Do groups of images differ in their weights? Anderson's PERMANOVA (Austral Ecology 2001) in Hellinger's distance.

    Args:
        weights: (n, S); groups: n names.
    Returns:
        {'share': of the variance explained by group, 'p': permuting images among groups, 'groups', 'images'}, or None
        with fewer than two groups.
    """
    names, codes = np.unique(np.asarray(groups, str), return_inverse=True)
    if len(names) < 2 or len(codes) < 4:
        return None
    values, rng = np.sqrt(weights), np.random.default_rng(seed)
    share = explained_share(values, codes)
    drawn = np.array([explained_share(values, rng.permutation(codes)) for _ in range(permutations)])
    p = (1 + np.sum(drawn >= share - 1e-12)) / (1 + permutations)
    return {'share': share, 'p': float(p), 'groups': len(names), 'images': len(codes)}


def family_consistency(entries, name='fake', permutations=PERMUTATIONS, seed=0):
    """Are generators of one family alike in their mean weights, and families apart?

    Related generators (analysis.clusters) count once, and controls and decoders that were trained on do not count.

    Returns:
        dict: 'families' {family: units}, 'within' and 'between' (mean Jensen-Shannon distance), 'silhouette' in
        [-1, 1], 'p' (of between minus within, permuting families among units); or None unless there are two
        families, one of them with two units.
    """
    units = {}
    for entry in entries:
        if entry[name] and entry['family'] and not outside_mean(entry['table']):
            key = (entry['family'], cluster_of(entry['generator']))
            units.setdefault(key, []).append(list(entry[name]['mean'].values()))
    families = np.array([family for family, _ in units])
    counts = {str(family): int(count) for family, count in zip(*np.unique(families, return_counts=True), strict=True)}
    if len(counts) < 2 or max(counts.values()) < 2:
        return None
    found = distances([np.mean(rows, axis=0) for rows in units.values()])
    pairs = np.triu_indices(len(families), 1)

    def contrast(labels):
        same = labels[pairs[0]] == labels[pairs[1]]
        return found[pairs][~same].mean() - found[pairs][same].mean()

    rng, observed = np.random.default_rng(seed), contrast(families)
    drawn = np.array([contrast(rng.permutation(families)) for _ in range(permutations)])
    same = families[pairs[0]] == families[pairs[1]]
    return {
        'families': counts,
        'within': float(found[pairs][same].mean()),
        'between': float(found[pairs][~same].mean()),
        'silhouette': float(silhouette_score(found, families, metric='precomputed')),
        'p': float((1 + np.sum(drawn >= observed - 1e-12)) / (1 + permutations)),
    }


def rank_correlations(x, y):
    """Spearman's correlation of each row of x (R, n) with that of y; NaN where one of them is constant."""
    ranks = [stats.rankdata(each, axis=1) for each in (x, y)]
    first, second = (each - each.mean(1, keepdims=True) for each in ranks)
    norms = np.sqrt(np.square(first).sum(1) * np.square(second).sum(1))
    return np.where(norms > 0, (first * second).sum(1) / np.maximum(norms, 1e-300), np.nan)


def correlation(x, y, resamples=2000, seed=0):
    """Spearman's correlation over generators with a 95% bootstrap interval (percentiles) and a permutation p.

    Returns:
        {'rho', 'low', 'high', 'p', 'generators'}, or None with fewer than FEWEST or where one of them is constant.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < FEWEST or np.ptp(x) < 1e-9 or np.ptp(y) < 1e-9:
        return None

    rng = np.random.default_rng(seed)
    places = rng.integers(len(x), size=(resamples, len(x)))
    drawn = rank_correlations(x[places], y[places])
    permuted = rank_correlations(np.tile(x, (resamples, 1)), rng.permuted(np.tile(y, (resamples, 1)), axis=1))
    observed = rank_correlations(x[None], y[None])[0]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    p = (1 + np.sum(np.abs(permuted) >= abs(observed) - 1e-12)) / (1 + resamples)
    return {'rho': float(observed), 'low': float(low), 'high': float(high), 'p': float(p), 'generators': len(x)}


def accuracy_correlations(entries):
    """Does attention on a scale go with accuracy over generators? {scale or 'coarseness': {'accuracy', 'ap'}}.

    Weights are those of fakes. Related generators are averaged and count once; generators without both classes,
    controls and decoders trained on are left out.
    """
    clusters = {}
    for entry in entries:
        if counted(entry):
            clusters.setdefault(cluster_of(entry['generator']), []).append(entry)
    chosen = [mean_of(members) for members in clusters.values()]
    measures = {
        scale: [e['fake']['mean'][scale] for e in chosen] for scale in (chosen[0]['fake']['mean'] if chosen else ())
    }
    measures['coarseness'] = [e['fake']['coarseness'] for e in chosen]
    return {
        name: {metric: correlation(values, [e[metric] for e in chosen]) for metric in ('accuracy', 'ap')}
        for name, values in measures.items()
    }


def analyse(frame):
    """Everything `visualize_attention.py` reports of a score file with weights, as one dict for JSON."""
    entries = by_generator(frame)
    names = frame['table'] + '/' + frame['generator']
    counted = rows_inside_mean(frame)
    images = {}
    for label, name in enumerate(CLASSES):
        chosen = (frame['label'] == label) & counted
        images[name] = separation(weights_of(frame[chosen]), names[chosen])
    return {
        'scales': attention_scales(frame),
        'generators': entries,
        'separation_of_generators': images,
        'families': {name: family_consistency(entries, name) for name in CLASSES},
        'correlation_with': accuracy_correlations(entries),
    }
