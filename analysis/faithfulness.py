"""May attention weights be believed? Interventions, stability and known factors, as numbers with intervals.

A weight explains a decision only if (1) it is needed: with the same weights for all images, or another image's, the
detector ranks worse; (2) taking out a branch with more weight moves the decision more, a weak condition, because an
effect contains its weight; (3) it is stable: JPEG 90 or a shift that leaves the verdict on an image as it was hardly
changes its weights; and (4) where the truth is known (UpsampleBench), it follows it.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from analysis.attention import js_distance, rank_correlations
from analysis.attention_shifts import family_shift, mean_entries, positive_control, separations
from analysis.bootstrap import bootstrap_mean, mean_tables
from analysis.clusters import cluster_of
from analysis.comparison import tables_of
from analysis.interventions import (
    DRAWS,
    KINDS,
    REPLACED,
    branch_logits,
    decide,
    effects,
    effects_of_weights,
    other_weights,
    shuffled_within,
    without_branch,
)
from analysis.metrics import binary_metrics
from analysis.runs import Results, photograph_names, split_generators
from analysis.scores import score_frame
from analysis.summary import outside_mean

OWN = 'own'
FEWEST_IMAGES = 10  # of each class, for a generator to count


def counted_sets(rows, logits):
    """[GeneratorScores] of the generators that are in the mean and have FEWEST_IMAGES of each class.

    Args:
        rows: of the score file; logits: {condition: (draws, n)}.
    """
    results = [
        Results(name, (), tuple(score_frame(rows, row, None, ()) for row in drawn)) for name, drawn in logits.items()
    ]
    return [
        test
        for test in split_generators(results)
        if not outside_mean(test.table) and np.bincount(test.labels, minlength=2).min() >= FEWEST_IMAGES
    ]


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


def first_agreement(weights, effect):
    """(n,) bool: whether the scale with most weight also moves the logit most."""
    return weights.argmax(1) == np.abs(effect).argmax(1)


def weights_against_effects(decided, groups, photographs, options):
    """Does weight go with effect, and how much would it with weights of other images of the same generator?

    Args:
        decided: for each seed (branch logits (n, S), bias of the classifier, weights (n, S)).
        groups, photographs: (n,) integers.
    Returns:
        {kind: {'rank': interval of the mean rank agreement of weights with support, which is the effect in favour of
        the decision; 'first': share of images whose heaviest scale has most effect; 'rank_of_others' and
        'first_of_others': the same of detectors that have the weights of other images}}
    """
    rng, found = np.random.default_rng(options['seed']), {}
    places = [shuffled_within(groups, rng) for _ in range(DRAWS)]
    numbers = np.unique(groups)
    ids = [photographs[groups == g] for g in numbers]
    for kind in KINDS:
        own = [agreements(branches, bias, weights, kind) for branches, bias, weights in decided]
        others = [
            agreements(branches, bias, weights[order], kind) for branches, bias, weights in decided for order in places
        ]
        ranks = np.stack([rank for rank, _ in own])
        table = mean_tables([ranks[:, groups == g] for g in numbers], ids, seed=options['seed'])
        found[kind] = {
            'rank': asdict(bootstrap_mean(table, bounds=(-1.0, 1.0), shared_images=True, **options)),
            'first': float(np.mean([first for _, first in own])),
            'rank_of_others': float(np.mean([rank for rank, _ in others])),
            'first_of_others': float(np.mean([first for _, first in others])),
        }
    return found


def agreements(branches, bias, weights, kind):
    """(rank agreement of weights with support (n,), first agreement (n,)) of a detector that had these weights."""
    effect = effects_of_weights(branches, bias, weights, kind)
    logit = (weights * branches).sum(1)
    return rank_agreement(weights, np.sign(logit)[:, None] * effect), first_agreement(weights, effect)


def stability(own, weights, perturbed, groups, labels, seed=0):
    """How much weights change when an image does, against how much they differ between images.

    Args:
        own, weights: logits (R, n) and weights (R, n, S); perturbed: {condition: (logits, weights) of these shapes}.
        groups, labels: (n,).
    Returns:
        {condition: {'distance': mean Jensen-Shannon distance in bits over images whose verdict stayed, 'same_first':
        share of those with the same heaviest scale, 'verdict_changed': share of all images}}, None where no image
        counts; 'another image' is one of the same generator and class, 'another seed' the same image in the next one.
    """
    places = shuffled_within(2 * groups + labels, np.random.default_rng(seed))
    everything = np.ones(own.shape, bool)
    compared = {name: (values, (logits > 0) == (own > 0)) for name, (logits, values) in perturbed.items()}
    compared['another image'] = weights[:, places], everything & (places != np.arange(len(places)))
    if len(weights) > 1:
        compared['another seed'] = np.roll(weights, 1, axis=0), everything
    found = {}
    for name, (values, counts) in compared.items():
        distance, same = js_distance(weights, values)[counts], (weights.argmax(2) == values.argmax(2))[counts]
        changed = None if name.startswith('another') else float(1 - counts.mean())
        found[name] = {
            'distance': float(distance.mean()) if len(distance) else None,
            'same_first': float(same.mean()) if len(same) else None,
            'verdict_changed': changed,
        }
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


def photographs_of(rows):
    """(n,) integers, equal for images of one photograph: by file name where it tells, else by path (lent reals)."""
    paths = [row[3] for row in rows]
    return pd.factorize(pd.Series(photograph_names(paths) or paths))[0]


def study(detectors, features, perturbed, rows, seed=0, resamples=10_000):
    """Everything that faithfulness.py reports, as one dict for JSON.

    Args:
        detectors: R checkpoints (seeds) of one design, on the CPU; features: R arrays (n, S, F) of the same n images.
        perturbed: {condition: R pairs of logits (n,) and weights (n, S)} on changed images; rows: n rows for the score
            file.
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
    inside = np.isin(groups, [generators[test.table, test.generator] for test in sets])
    support = {}
    for kind in KINDS:
        effect = np.stack([effects(*pair, kind) for pair in zip(detectors, features, strict=True)])
        support[kind] = (np.sign(own)[..., None] * effect).mean((0, 1)).tolist()
    against = None
    if sets:
        parts = [branch_logits(*pair) for pair in zip(detectors, features, strict=True)]
        parts = [(each[inside], bias, w[inside]) for (each, bias), w in zip(parts, weights, strict=True)]
        clusters = [cluster_of(test.generator) for test in sets]
        photographs = photographs_of([row for row, counts in zip(rows, inside, strict=True) if counts])
        against = weights_against_effects(parts, groups[inside], photographs, {**options, 'clusters': clusters})
    frames = [score_frame(rows, *pair, scales) for pair in zip(own, weights, strict=True)]
    entries = mean_entries(frames)
    moved = {name: tuple(np.stack(part) for part in zip(*pairs, strict=True)) for name, pairs in perturbed.items()}
    return {
        'scales': list(scales),
        'seeds': len(detectors),
        'images': len(rows),
        'counted': [f'{test.table}/{test.generator}' for test in sets],
        'mean_weights': weights.mean((0, 1)).tolist(),
        'support': support,
        'weights_replaced': replaced_weights(sets, list(logits), len(detectors), options) if sets else None,
        'weights_against_effects': against,
        'stability': stability(own, weights, moved, groups, labels, seed),
        'positive_control': positive_control(entries),
        'families': {family: family_shift(entries, family) for family in ('gan', 'diffusion')},
        'separation_of_generators': separations(frames),
        'contributions': contributions(sets, scales),
        'generators': entries,
    }
