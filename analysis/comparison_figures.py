"""Pictures of a comparison: metrics and attention, differences with intervals, mean ranks."""

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt

from analysis.figures import COLOURS, MARKERS, draw_residuals, save_figure

ROW = 0.27  # inches for each generator


def draw_metric(axis, summaries, metric, title):
    """Dots, with lines for the standard deviation over seeds: one row for each generator; controls stay out."""
    names = list(summaries)
    rows = list(summaries[names[0]])
    lowest = 35
    for place, name in enumerate(names):
        offset = _offset(place, len(names))
        points = [
            (100 * entry[metric], y + offset, 100 * (entry.get('std', {}).get(metric) or 0))
            for y, entry in enumerate(summaries[name].get(row, {}) for row in rows)
            if entry.get(metric) is not None
        ]
        lowest = min([lowest, *(x - spread - 3 for x, _, spread in points)])
        x, y, spread = zip(*points, strict=True) if points else ((), (), ())
        style = {
            'color': COLOURS[place % 7],
            'label': name,
            'markersize': (0.7 if len(names) < 3 else 0.5) * plt.rcParams['font.size'],
        }
        axis.errorbar(x, y, xerr=spread, fmt=MARKERS[place % len(MARKERS)], elinewidth=1, **style)
    axis.axvline(50, color='0.6', linewidth=1, linestyle=':')
    axis.set(xlim=(max(lowest, -2), 102), xlabel=f'{title}, %', title=title)
    _name_rows(axis, rows)


def _offset(place, count):
    return (place - (count - 1) / 2) * min(0.22, 0.75 / count)


def short_names(rows):
    """Names of generators from 'table/generator', with the table where two generators have one name."""
    names = [row.split('/')[-1] for row in rows]
    return [
        (f'{name} ({row.split("/")[0]})' if names.count(name) > 1 else name).replace('_', ' ')
        for row, name in zip(rows, names, strict=True)
    ]


def _name_rows(axis, rows):
    axis.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
    axis.set_yticklabels(short_names(rows))
    if rows and rows[-1] == 'mean':
        axis.axhline(len(rows) - 1.5, color='0.6', linewidth=1)
    axis.grid(axis='x', alpha=0.3)


def comparison_figure(summaries, attention, pair, scales, path):
    """The demo's picture: AP and accuracy per generator, attention per generator, residuals of one pair.

    Args:
        summaries: {detector: {'table/generator': metrics}}; the 'mean' row is drawn like a generator.
        attention: DataFrame, rows generators, columns scales, mean weights; or None.
        pair: {'real': path, 'fake': path} or None; scales: of the residuals shown.
    """
    rows = max(len(next(iter(summaries.values()))), 0 if attention is None else len(attention))
    upper_height = max(4.75, 1.4 + rows * ROW * (1 if len(summaries) < 3 else 1.3))
    heights = (upper_height, 4.75) if pair is not None else (upper_height,)
    figure = plt.figure(figsize=(14, sum(heights)), layout='constrained')
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    panels = 2 if attention is None else 3
    axes = parts[0].subplots(1, panels, width_ratios=(1, 1, 0.85)[:panels])
    draw_metric(axes[0], summaries, 'ap', 'Average precision')
    draw_metric(axes[1], summaries, 'accuracy', 'Accuracy')
    axes[1].set_yticklabels([])
    handles, labels = axes[0].get_legend_handles_labels()
    parts[0].legend(handles, labels, loc='outside upper left', ncols=min(5, len(labels)), fontsize=10, frameon=False)
    if attention is not None:
        names = [name.split('/')[-1].replace('_', ' ') for name in attention.index]
        sns.heatmap(
            attention,
            ax=axes[2],
            vmin=0,
            vmax=1,
            cmap='cividis',
            annot=True,
            fmt='.2f',
            yticklabels=names,
            cbar_kws={'label': 'mean attention weight'},
        )
        axes[2].set(title='Attention (real and fake)', xlabel='residual scale', ylabel='')
        axes[2].tick_params(axis='y', rotation=0)
    if pair is not None:
        draw_residuals(parts[1].subplots(2, 1 + len(scales)), pair, scales)
        parts[1].suptitle(
            f'NPR residuals of a real image and its fake ({pair["fake"].parent.parent.name})', fontsize=12
        )
    save_figure(figure, path)


def differences_figure(result, names, baseline, alpha, path):
    """Forest plot: difference to the baseline per generator and of the mean, with intervals; AP and accuracy.

    Args:
        result: from analysis.comparison.compare.
    """
    others = [name for name in names if name != baseline]
    rows = [*result['generators'], 'mean']
    height = 1.7 + len(rows) * max(ROW, 0.14 * len(others))
    figure, axes = plt.subplots(1, 2, figsize=(12, height), sharey=True, layout='constrained')
    for axis, metric, title in ((axes[0], 'ap', 'Average precision'), (axes[1], 'accuracy', 'Accuracy')):
        for place, name in enumerate(others):
            overall = next(
                t for t in result['tests'] if (t['detector'], t['metric'], t['family']) == (name, metric, None)
            )
            intervals = [row[metric] for row in result['per_generator'][name]] + [overall['interval']]
            centre, low, high = (100 * np.array([i[key] for i in intervals]) for key in ('estimate', 'low', 'high'))
            y = np.arange(len(rows)) + _offset(place, len(others))
            # Colours and markers as in comparison.png, where the baseline has its own.
            number = names.index(name)
            colour, marker = COLOURS[number % 7], MARKERS[number % len(MARKERS)]
            axis.hlines(y, low, high, color=colour, linewidth=1.5)
            axis.plot(centre, y, marker, color=colour, markersize=5, label=name)
            axis.plot(centre[-1], y[-1], marker, color=colour, markersize=9 if len(others) == 1 else 7)
        axis.axvline(0, color='0.3', linewidth=1)
        axis.set(xlabel=f'{title}: difference to {baseline}, points of %', title=title)
        _name_rows(axis, rows)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper left', ncols=min(5, len(labels)), fontsize=10, frameon=False)
    figure.supxlabel(
        f'{100 * (1 - alpha):g}% intervals; generators: over seeds and images; mean: also over generators', fontsize=9
    )
    save_figure(figure, path)


def critical_difference_figure(result, names, baseline, alpha, path):
    """Mean ranks over generators with Nemenyi's critical difference; bars join what is not told apart (Demsar 2006)."""
    tests = result['friedman']
    figure, axes = plt.subplots(len(tests), 1, figsize=(9, len(tests) * (1.5 + 0.3 * len(names))), layout='constrained')
    for axis, (metric, test) in zip(axes, tests.items(), strict=True):
        order = np.argsort(test['ranks'], kind='stable')
        ranks = np.array(test['ranks'])[order]
        _draw_ranks(axis, ranks, [(names[i], i) for i in order], test['critical_difference'])
        what = {'ap': 'Average precision', 'accuracy': 'Accuracy'}[metric]
        axis.set_title(f'{what} (Friedman p = {test["p"]:.2g}, {test["n"]} units)', fontsize=11)
    axes[-1].set_xlabel(f'mean rank over generators, 1 = best; CD = critical difference at {alpha:g} (Nemenyi)')
    save_figure(figure, path)


def _draw_ranks(axis, ranks, detectors, distance):
    """One line per detector from best to worst; grey bars above join groups within the critical difference."""
    count = len(ranks)
    for y, (rank, (_, place)) in enumerate(zip(ranks, detectors, strict=True)):
        axis.hlines(y, 1, rank, color='0.85', linewidth=1)
        axis.plot(rank, y, MARKERS[place % len(MARKERS)], color=COLOURS[place % 7], markersize=8)
    ends = [int(np.flatnonzero(ranks <= rank + distance)[-1]) for rank in ranks]
    groups = [(i, end) for i, end in enumerate(ends) if end > i and end not in ends[:i]]
    for level, (first, last) in enumerate(groups):
        y = -1 - 0.35 * level
        axis.hlines(y, ranks[first] - 0.02, ranks[last] + 0.02, color='0.25', linewidth=4)
    top = -1 - 0.35 * len(groups) - 0.3
    axis.hlines(top, 1, 1 + distance, color='0.55', linewidth=2)
    axis.text(1 + distance, top, f'  CD = {distance:.2f}', va='center', fontsize=9)
    axis.set(xlim=(0.9, max(count, 1 + distance) + 0.3), ylim=(count - 0.4, top - 0.5), yticks=range(count))
    axis.set_yticklabels([f'{name} ({rank:.2f})' for rank, (name, _) in zip(ranks, detectors, strict=True)])
    axis.grid(axis='x', alpha=0.3)
