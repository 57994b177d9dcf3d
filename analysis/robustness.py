"""Scores under perturbations or file formats, compared with those of the images as they are."""

from dataclasses import asdict, replace
from functools import reduce

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from analysis.bootstrap import bootstrap_difference, bootstrap_mean
from analysis.clusters import cluster_of
from analysis.comparison import tables_of
from analysis.figures import COLOURS, MARKERS, save_figure
from analysis.runs import IMAGE, Results, align, read_results, split_generators
from analysis.summary import markdown_table, outside_mean
from util.errors import UserError

UNTOUCHED = 'as_is'
CURVES = {'ap': 'Average precision', 'accuracy': 'Accuracy'}


def summarise_conditions(folder, conditions, threshold=0.0, seed=0, resamples=10_000):
    """One detector under all conditions: means over generators, and their changes against the untouched images.

    Args:
        folder: holds CONDITION/scores.csv; conditions: their names, UNTOUCHED among them.
        threshold: logit above which an image counts as fake.
    Returns:
        ({condition: {'ap', 'accuracy': {'estimate', 'low', 'high', ...}, 'ap_change', 'accuracy_change': the same or
        None for UNTOUCHED, 'real_accuracy', 'fake_accuracy': float}}, the names of the generators averaged, which
        are those with both classes, without sweeps and controls if there are others, and how many images were left out
        because they were not scored under every condition; intervals are of 95%, resampling generators and images.
    Raises:
        UserError: no generator with both classes in what all conditions have.
    """
    results = []
    for condition in conditions:
        found = read_results(folder / condition)
        frames = tuple(frame.assign(logit=frame['logit'] - threshold) for frame in found.frames)
        results.append(Results(condition, found.folders, frames))
    results, left_out = scored_under_all(results)
    sets = [test for test in split_generators(align(results)) if len(np.unique(test.labels)) == 2]
    sets = [test for test in sets if not outside_mean(test.table)] or sets
    if not sets:
        raise UserError(f'{folder}: no generator with real and fake images, so there is nothing to average')
    tables, shared = tables_of(sets, conditions, seed)
    options = {
        'resamples': resamples,
        'seed': seed,
        'clusters': [cluster_of(test.generator) for test in sets],
        'shared_images': shared,
    }
    untouched, summary = conditions.index(UNTOUCHED), {}
    for place, condition in enumerate(conditions):
        entry = {}
        for metric in CURVES:
            table = tables[metric]
            entry[metric] = asdict(bootstrap_mean(table[place], **options))
            change = place != untouched and asdict(bootstrap_difference(table[place], table[untouched], **options))
            entry[f'{metric}_change'] = change or None
        for label, name in ((0, 'real_accuracy'), (1, 'fake_accuracy')):
            right = [np.mean((t.logits[condition][0, t.labels == label] > 0) == label) for t in sets]
            entry[name] = float(np.mean(right))
        summary[condition] = entry
    return summary, [f'{test.table}/{test.generator}' for test in sets], left_out


def scored_under_all(results):
    """[Results] of one frame each without the images that any of them lacks (skipped as they could not be read, or were
    too small to be shifted), and how many images that are."""
    images = [pd.MultiIndex.from_frame(result.frames[0][IMAGE]) for result in results]
    everywhere, anywhere = (reduce(how, images) for how in (pd.Index.intersection, pd.Index.union))
    kept = [
        replace(result, frames=(result.frames[0][own.isin(everywhere)].reset_index(drop=True),))
        for result, own in zip(results, images, strict=True)
    ]
    return kept, len(anywhere) - len(everywhere)


def conditions_table(summaries):
    """Markdown: one row for each detector and condition, percentages, changes with their intervals."""
    headings = ['Detector', 'Condition', 'AP', 'Change of AP', 'Acc.', 'Change of acc.', 'Real acc.', 'Fake acc.']
    rows = []
    for detector, summary in summaries.items():
        for condition, entry in summary.items():
            cells = [detector, condition.replace('_', ' ')]
            for metric in CURVES:
                cells.append(f'{100 * entry[metric]["estimate"]:.1f}')
                change = entry[f'{metric}_change']
                parts = change and [100 * change[key] for key in ('estimate', 'low', 'high')]
                cells.append('{:+.1f} [{:+.1f}, {:+.1f}]'.format(*parts) if parts else '-')
            rows.append([*cells, *(f'{100 * entry[key]:.1f}' for key in ('real_accuracy', 'fake_accuracy'))])
    return markdown_table(headings, rows)


def curves_figure(summaries, kinds, metric, path):
    """One panel for each kind of perturbation: the metric against the level, one line for each detector.

    Args:
        summaries: {detector: `summarise_conditions`}; kinds: {kind: (unit, levels)}; metric: a key of CURVES.
    """
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.9 * rows), sharey=True, squeeze=False, layout='constrained'
    )
    for axis, (kind, (unit, levels)) in zip(axes.flat, kinds.items(), strict=False):
        names = [UNTOUCHED, *(f'{kind}_{level:g}' for level in levels)]
        for place, (detector, summary) in enumerate(summaries.items()):
            estimate, low, high = (
                np.array([100 * summary[name][metric][key] for name in names]) for key in ('estimate', 'low', 'high')
            )
            x = np.arange(len(names)) + 0.08 * (place - (len(summaries) - 1) / 2)
            style = {'color': COLOURS[place % 7], 'marker': MARKERS[place % len(MARKERS)], 'markersize': 5}
            axis.errorbar(x, estimate, (estimate - low, high - estimate), capsize=2, label=detector, **style)
        axis.axhline(50, color='0.6', linewidth=1, linestyle=':')
        axis.set(title=kind, xlabel=unit, xticks=range(len(names)), xticklabels=['none', *map('{:g}'.format, levels)])
        axis.grid(axis='y', alpha=0.3)
    for axis in axes.flat[len(kinds) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(f'{CURVES[metric]}, %')
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=min(4, len(labels)))
    save_figure(figure, path)
