"""Numbers of a comparison: means over seeds and generators, tests of every detector against the baseline."""

from dataclasses import asdict

import numpy as np

from analysis.bootstrap import bootstrap_difference, bootstrap_mean, metric_tables
from analysis.clusters import cluster_of
from analysis.statistics import delong, friedman_nemenyi, holm, mcnemar, paired_tests
from analysis.summary import ERRORS, counted

METRICS = (
    'accuracy', 'ap', 'auc', 'real_accuracy', 'fake_accuracy', 'balanced_accuracy', 'oracle_accuracy', 'ece',
)  # fmt: skip
TESTED = ('ap', 'accuracy')
# Declared before any result was seen: what every detector is tested for against the baseline, as one Holm family.
HYPOTHESES = (('ap', None), ('accuracy', None), ('ap', 'diffusion'))


def over_seeds(summaries):
    """Average the summaries (analysis.summary.summarise) of one detector's seeds.

    Returns:
        dict: 'seeds' (count), 'generators' (metrics averaged, 'std' of each over seeds or None with one seed), and
        over the generators that `counted` accepts: 'mean' (with 'std' over seeds), 'mean_by_images',
        'std_over_generators', 'minimum' (None without such generators), 'tables' {table: like 'mean'}.
    """
    generators = []
    for entries in zip(*(summary['generators'] for summary in summaries), strict=True):
        entry = {key: entries[0].get(key) for key in ('table', 'generator', 'family', 'real_images', 'fake_images')}
        generators.append({**entry, **_mean_and_std(entries)})
    chosen = [entry for entry in generators if counted(entry)]
    result = {'seeds': len(summaries), 'generators': generators, 'mean_over': len(chosen), 'mean': None}
    if not chosen:
        return {**result, 'mean_by_images': None, 'std_over_generators': None, 'minimum': None, 'tables': {}}
    images = [entry['real_images'] + entry['fake_images'] for entry in chosen]
    values = {key: np.array([entry[key] for entry in chosen]) for key in METRICS}
    alone = len(chosen) == 1
    return {
        **result,
        'mean': _mean_over_generators(summaries, counted),
        'tables': {
            table: _mean_over_generators(summaries, lambda e, table=table: counted(e) and e['table'] == table)
            for table in dict.fromkeys(entry['table'] for entry in chosen)
        },
        'mean_by_images': {key: float(np.average(values[key], weights=images)) for key in METRICS},
        'std_over_generators': {key: None if alone else float(values[key].std(ddof=1)) for key in METRICS},
        'minimum': {key: float(values[key].min()) for key in METRICS if key not in ERRORS},
    }


def _mean_over_generators(summaries, chosen):
    """Metrics of the mean over the generators that `chosen` accepts: mean and 'std' over seeds."""
    return _mean_and_std(
        [
            {key: np.mean([e[key] for e in summary['generators'] if chosen(e)]) for key in METRICS}
            for summary in summaries
        ]
    )


def _mean_and_std(entries):
    found = {key: [entry[key] for entry in entries] for key in METRICS}
    found = {key: None if None in values else values for key, values in found.items()}
    means = {key: None if values is None else float(np.mean(values)) for key, values in found.items()}
    several = len(entries) > 1
    return means | {
        'std': {key: float(np.std(v, ddof=1)) if several and v is not None else None for key, v in found.items()}
    }


def tables_of(sets, names, seed):
    """(`metric_tables` of the detectors `names` over [GeneratorScores], whether some generators share photographs)"""
    photographs, reals = [test.photographs for test in sets], [test.reals for test in sets]
    known = all(found is not None for found in photographs)
    logits = [[test.logits[name] for test in sets] for name in names]
    tables = metric_tables([test.labels for test in sets], logits, photographs if known else None, reals, seed=seed)
    return tables, known or len(set(reals)) < len(reals)


def compare(sets, names, baseline, resamples=10_000, seed=0, alpha=0.05):
    """Tests and intervals of detectors over the generators of the mean.

    Tests over generators (Wilcoxon, t, Friedman) take one value for each cluster of related generators.

    Args:
        sets: [analysis.runs.GeneratorScores] of the generators that are in the mean.
        names: detectors; baseline: one of them.
    Returns:
        dict: 'generators', 'units' (clusters), 'intervals' {detector: {metric}}, 'tests' (one for each detector and
        hypothesis, Holm-corrected together), 'by_table' {detector: {table: {metric: interval of the difference}}},
        'per_generator' (pairs within one generator), 'friedman' or None.
    """
    clusters = [cluster_of(test.generator) for test in sets]
    tables, shared = tables_of(sets, names, seed)
    tables = {metric: dict(zip(names, tables[metric], strict=True)) for metric in TESTED}
    options = {'resamples': resamples, 'seed': seed, 'alpha': alpha, 'shared_images': shared}
    others = [name for name in names if name != baseline]
    tests = []
    for name in others:
        for metric, family in HYPOTHESES:
            places = [i for i, test in enumerate(sets) if family in (None, test.family)]
            if places:
                pair = [tables[metric][detector][:, places] for detector in (name, baseline)]
                within = [clusters[i] for i in places]
                tests.append(
                    {'detector': name, 'metric': metric, 'family': family, 'generators': len(places)}
                    | _test(*pair, within, options)
                )
    for kind in ('wilcoxon', 't'):
        for test, p in zip(tests, holm([test[kind]['p'] for test in tests]), strict=True):
            test[kind]['p_holm'] = p
    for test in tests:  # the smallest p of a family is multiplied by the size of the family
        smallest = test['wilcoxon']['smallest_p']
        test['wilcoxon']['smallest_p_holm'] = None if smallest is None else min(1.0, smallest * len(tests))
    return {
        'generators': [f'{test.table}/{test.generator}' for test in sets],
        'units': len(set(clusters)),
        'shared_photographs': shared,
        'intervals': {
            name: {
                metric: asdict(bootstrap_mean(tables[metric][name], clusters=clusters, **options)) for metric in TESTED
            }
            for name in names
        },
        'tests': tests,
        'by_table': {name: _by_table(sets, name, baseline, tables, clusters, options) for name in others},
        'per_generator': {name: _within_generators(sets, name, baseline, tables, options) for name in others},
        'friedman': _friedman(tables, names, clusters, alpha),
    }


def _test(table, baseline, clusters, options):
    differences = table[0].mean(1) - baseline[0].mean(1)
    interval = bootstrap_difference(table, baseline, clusters=clusters, **options)
    return {'interval': asdict(interval), **paired_tests(cluster_means(differences, clusters))}


def _by_table(sets, name, baseline, tables, clusters, options):
    found = {}
    for table in dict.fromkeys(test.table for test in sets):
        places = [i for i, test in enumerate(sets) if test.table == table]
        within = {**options, 'clusters': [clusters[i] for i in places]}
        found[table] = {}
        for metric in TESTED:
            pair = [tables[metric][detector][:, places] for detector in (name, baseline)]
            found[table][metric] = asdict(bootstrap_difference(*pair, **within))
    return found


def cluster_means(values, clusters):
    """(G, ...) -> (C, ...): mean over the generators of each cluster, in order of appearance."""
    return np.stack([values[[c == name for c in clusters]].mean(axis=0) for name in dict.fromkeys(clusters)])


def _within_generators(sets, name, baseline, tables, options):
    """Per generator: intervals of the differences over seeds and images; McNemar and DeLong of seed-averaged logits."""
    rows = []
    for g, test in enumerate(sets):
        row = {'table': test.table, 'generator': test.generator}
        for metric in TESTED:
            pair = [tables[metric][detector][:, [g]] for detector in (name, baseline)]
            row[metric] = asdict(bootstrap_difference(*pair, **options))
        logits = [test.logits[detector].mean(axis=0) for detector in (name, baseline)]
        row['mcnemar'] = mcnemar(*((values > 0) == test.labels for values in logits))
        enough = min(np.bincount(test.labels, minlength=2)) > 1
        row['delong'] = delong(test.labels, *logits, alpha=options['alpha']) if enough else None
        rows.append(row)
    for kind, key in (('mcnemar', 'p_mid'), ('delong', 'p')):
        for row, p in zip(rows, holm([(row[kind] or {}).get(key) for row in rows]), strict=True):
            if row[kind]:
                row[kind]['p_holm'] = p
    return rows


def _friedman(tables, names, clusters, alpha):
    if len(names) < 3 or len(set(clusters)) < 2:
        return None
    return {
        metric: friedman_nemenyi(
            cluster_means(np.stack([tables[metric][name][0].mean(1) for name in names], axis=1), clusters), alpha
        )
        for metric in TESTED
    }
