"""May attention weights be believed? Interventions, stability and known factors, as numbers with intervals.

A weight explains a decision only if (1) it is needed: with the same weights for all images, or another image's, the
detector ranks worse; (2) it says how much a scale matters: taking out a branch with more weight moves the logit more;
(3) it is stable: what does not change the verdict on an image (JPEG 90, a shift) does not change its weights; and
(4) where the truth is known (UpsampleBench), it follows it.
"""

import re
from dataclasses import asdict

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from analysis.attention import FEWEST, by_generator, correlation, rank_correlations, separation, weights_of
from analysis.bootstrap import bootstrap_mean, mean_tables
from analysis.clusters import cluster_of
from analysis.comparison import tables_of
from analysis.interventions import KINDS, REPLACED, decide, effects, other_weights, without_branch
from analysis.metrics import binary_metrics
from analysis.runs import Results, split_generators
from analysis.scores import score_frame
from analysis.summary import outside_mean, rows_inside_mean

OWN = 'own'
FACTOR = re.compile(r'_x(\d+)$')


def counted_sets(rows, logits):
    """[GeneratorScores] of the generators that are in the mean.

    Args:
        rows: of the score file; logits: {condition: (draws, n)}.
    """
    results = [
        Results(name, (), tuple(score_frame(rows, row, None, ()) for row in drawn)) for name, drawn in logits.items()
    ]
    return [test for test in split_generators(results) if not outside_mean(test.table) and len(set(test.labels)) == 2]


def replaced_weights(sets, conditions, seeds, options):
    """{condition: {'ap', 'accuracy': interval, 'ap_change', 'accuracy_change': against the own weights, or None}}

    A change is paired in everything: the same checkpoint, generator and images with and without the intervention.

    Args:
        conditions: OWN first; each has `seeds` checkpoints, with any number of draws of each.
    """
    tables, shared = tables_of(sets, conditions, options['seed'])
    options = {**options, 'shared_images': shared, 'clusters': [cluster_of(test.generator) for test in sets]}
    found = {name: {} for name in conditions}
    for metric in ('ap', 'accuracy'):
        means = [table.reshape(*table.shape[:2], seeds, -1).mean(3) for table in tables[metric]]  # over the draws
        for name, table in zip(conditions, means, strict=True):
            change = None if name == OWN else bootstrap_mean(table - means[0], bounds=(-1.0, 1.0), **options)
            found[name][metric] = asdict(bootstrap_mean(table, **options))
            found[name][f'{metric}_change'] = change and asdict(change)
    return found


def rank_agreement(weights, support):
    """(n,) Spearman's correlation over the scales of weights (n, S) with support (n, S); 0 where one is constant."""
    return np.nan_to_num(rank_correlations(weights, support))


def top_agreement(weights, effect):
    """(how often the scale with most weight also moves the logit most, how often it would by chance)."""
    first, second = weights.argmax(1), np.abs(effect).argmax(1)
    shares = [np.bincount(each, minlength=weights.shape[1]) / len(each) for each in (first, second)]
    return float(np.mean(first == second)), float(shares[0] @ shares[1])


def weights_against_effects(groups, weights, own, effect, options):
    """Does weight go with effect? For one kind of intervention, over all seeds.

    Args:
        groups: (n,) generator numbers; weights: (R, n, S); own: (R, n) logits; effect: (R, n, S) from `effects`.
    Returns:
        {'rank': interval of the mean rank agreement of weights with support (the effect in favour of the decision that
        was taken), 'top', 'top_by_chance': means over seeds, 'support': mean for each scale}
    """
    support = np.sign(own)[..., None] * effect
    ranks = np.stack([rank_agreement(*pair) for pair in zip(weights, support, strict=True)])
    table = mean_tables([ranks[:, groups == g] for g in np.unique(groups)], seed=options['seed'])
    tops = np.array([top_agreement(*pair) for pair in zip(weights, effect, strict=True)]).mean(0)
    return {
        'rank': asdict(bootstrap_mean(table, bounds=(-1.0, 1.0), **options)),
        'top': float(tops[0]),
        'top_by_chance': float(tops[1]),
        'support': support.mean((0, 1)).tolist(),
    }


def weight_change(weights, other):
    """{'distance': mean Jensen-Shannon distance in bits of weights (n, S) from others, 'same_top': share of images}"""
    return {
        'distance': float(np.mean(jensenshannon(weights, other, base=2, axis=1))),
        'same_top': float(np.mean(weights.argmax(1) == other.argmax(1))),
    }


def stability(weights, perturbed, groups, labels, seed=0):
    """How much weights change when an image does, against how much they differ between images.

    Args:
        weights: (R, n, S) for each seed; perturbed: {condition: (R, n, S)}; groups, labels: (n,).
    Returns:
        {condition: `weight_change`}, 'another image' being one of the same generator and class, 'another seed' (with
        two seeds or more) the same image in the next checkpoint.
    """
    places, rng = np.arange(len(groups)), np.random.default_rng(seed)
    for key in np.unique(2 * groups + labels):
        own = rng.permutation(np.flatnonzero(2 * groups + labels == key))
        places[own] = np.roll(own, 1)  # never itself, unless it is alone
    others = {**perturbed, 'another image': weights[:, places]}
    if len(weights) > 1:
        others['another seed'] = np.roll(weights, 1, axis=0)
    found = {}
    for name, values in others.items():
        changes = [weight_change(*pair) for pair in zip(weights, values, strict=True)]
        found[name] = {key: float(np.mean([change[key] for change in changes])) for key in changes[0]}
    return found


def factor_of(entry):
    """The up-sampling factor of an UpsampleBench decoder by its name, or None."""
    if not re.match(r'U\d_', entry['table']):
        return None
    found = FACTOR.search(entry['generator'])
    return int(found[1]) if found else 1 if entry['generator'].startswith('factor1') else None


def positive_control(entries):
    """Does coarseness follow the known factor? `correlation` of shift with log2(factor), and the mean per factor."""
    known = [(factor_of(e), e['shift']) for e in entries if factor_of(e) and e['shift'] is not None]
    factors = sorted({factor for factor, _ in known})
    by_factor = {str(f): float(np.mean([shift for factor, shift in known if factor == f])) for f in factors}
    enough = len(factors) > 2
    return {
        'by_factor': by_factor,
        'correlation': correlation(*map(list, zip(*known, strict=True))) if enough and len(known) >= FEWEST else None,
    }


def family_shift(entries, family, alpha=0.05):
    """Mean change of coarseness (fakes minus reals) over unrelated generators of a family, with a t interval.

    Returns:
        {'mean', 'low', 'high', 'units', 'tables'}; the interval is None with fewer than three units; None without any.
    """
    units, tables = {}, {}
    for entry in entries:
        if entry['family'] == family and entry['shift'] is not None and not outside_mean(entry['table']):
            units.setdefault(cluster_of(entry['generator']), []).append(entry['shift'])
            tables[entry['table']] = None
    if not units:
        return None
    values = np.array([np.mean(shifts) for shifts in units.values()])
    found = {'mean': float(values.mean()), 'low': None, 'high': None, 'units': len(values), 'tables': list(tables)}
    if len(values) > 2:
        half = stats.t.ppf(1 - alpha / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        found |= {'low': found['mean'] - float(half), 'high': found['mean'] + float(half)}
    return found


def mean_entries(frames):
    """`by_generator` of each seed's frame, averaged: numbers that depend on the seed are means over seeds."""
    seeds = [by_generator(frame) for frame in frames]
    merged = []
    for same in zip(*seeds, strict=True):
        entry = {**same[0], 'shifts': [e['shift'] for e in same]}
        for key in ('shift', 'accuracy', 'ap'):
            entry[key] = None if same[0][key] is None else float(np.mean([e[key] for e in same]))
        for name in ('real', 'fake'):
            if entry[name]:
                scales = entry[name]['mean']
                entry[name] = entry[name] | {
                    'mean': {s: float(np.mean([e[name]['mean'][s] for e in same])) for s in scales}
                }
        merged.append(entry)
    return merged


def separations(frames):
    """{'real', 'fake': {'share': mean over seeds, 'p': the largest of the seeds'} or None}"""
    found = {}
    for label, name in enumerate(('real', 'fake')):
        each = []
        for frame in frames:
            chosen = frame[(frame['label'] == label) & rows_inside_mean(frame)]
            each.append(separation(weights_of(chosen), (chosen['table'] + '/' + chosen['generator']).tolist()))
        share = None if None in each else float(np.mean([one['share'] for one in each]))
        found[name] = None if share is None else {'share': share, 'p': max(one['p'] for one in each)}
    return found


def contributions(sets, scales):
    """Per generator: AP and accuracy with all scales and without each one (dropped), means over seeds.

    Returns:
        [{'table', 'generator', 'all': {'ap', 'accuracy'}, 'without': {scale: the same}}]
    """

    def means(test, name):
        found = [binary_metrics(test.labels, row) for row in test.logits[name]]
        return {key: float(np.mean([each[key] for each in found])) for key in ('ap', 'accuracy')}

    return [
        {
            'table': test.table,
            'generator': test.generator,
            'all': means(test, OWN),
            'without': {f'{scale:g}': means(test, f'drop_{scale:g}') for scale in scales},
        }
        for test in sets
    ]


def interventions(detectors, features, groups, scales, seed=0):
    """{condition: (draws, n) logits} of all checkpoints: OWN, REPLACED, and KIND_SCALE for every kind and scale."""
    found = {}
    for number, (detector, each) in enumerate(zip(detectors, features, strict=True)):
        conditions = {OWN: decide(detector, each)[0][None]}
        for kind in REPLACED:
            conditions[kind] = other_weights(detector, each, kind, groups, seed + number)
        for kind in KINDS:
            for place, scale in enumerate(scales):
                conditions[f'{kind}_{scale:g}'] = without_branch(detector, each, kind, place)[None]
        for name, logits in conditions.items():
            found.setdefault(name, []).append(logits)
    return {name: np.concatenate(logits) for name, logits in found.items()}


def study(detectors, features, perturbed, rows, seed=0, resamples=10_000):
    """Everything that faithfulness.py reports, as one dict for JSON.

    Args:
        detectors: R checkpoints (seeds) of one design, on the CPU; features: R arrays (n, S, 128) of the same n images.
        perturbed: {condition: R arrays (n, S)}, weights on changed images; rows: n rows for the score file.
    """
    scales = detectors[0].npr_scales
    generators = {pair: number for number, pair in enumerate(dict.fromkeys(row[:2] for row in rows))}
    groups = np.array([generators[row[:2]] for row in rows])
    labels = np.array([row[2] for row in rows])
    decided = [decide(*pair) for pair in zip(detectors, features, strict=True)]
    own, weights = (np.stack(each) for each in zip(*decided, strict=True))
    logits = interventions(detectors, features, groups, scales, seed)
    options = {'resamples': resamples, 'seed': seed}
    sets = counted_sets(rows, logits)
    clusters = [cluster_of(generator) for _, generator in generators]
    against = {}
    for kind in KINDS:
        effect = np.stack([effects(*pair, kind) for pair in zip(detectors, features, strict=True)])
        against[kind] = weights_against_effects(groups, weights, own, effect, {**options, 'clusters': clusters})
    frames = [score_frame(rows, *pair, scales) for pair in zip(own, weights, strict=True)]
    entries = mean_entries(frames)
    return {
        'scales': list(scales),
        'seeds': len(detectors),
        'images': len(rows),
        'mean_weights': weights.mean((0, 1)).tolist(),
        'weights_replaced': replaced_weights(sets, list(logits), len(detectors), options) if sets else None,
        'weights_against_effects': against,
        'stability': stability(weights, {k: np.stack(v) for k, v in perturbed.items()}, groups, labels, seed),
        'positive_control': positive_control(entries),
        'families': {family: family_shift(entries, family) for family in ('gan', 'diffusion')},
        'separation_of_generators': separations(frames),
        'contributions': contributions(sets, scales),
        'generators': entries,
    }
