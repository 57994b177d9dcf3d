"""One picture of a faithfulness study."""

import numpy as np
from matplotlib import pyplot as plt

from analysis.attention_shifts import factor_of
from analysis.faithfulness_text import KIND_WORDS, PLAIN
from analysis.figures import COLOURS, MARKERS, save_figure
from analysis.interventions import KINDS, REPLACED

MOST_ROWS = 20


def faithfulness_figure(result, path, size=(12, 8), dpi=130):
    """Four panels: AP with other weights, weight beside effect, stability, change of coarseness per generator.

    Args:
        size: in inches.
    """
    figure, axes = plt.subplots(2, 2, figsize=size, layout='constrained')
    _replaced(axes[0, 0], result)
    _effects(axes[0, 1], result)
    _stability(axes[1, 0], result)
    _shifts(axes[1, 1], result)
    save_figure(figure, path, dpi)


def _replaced(axis, result):
    axis.set_title('Is a weight of its own for each image needed?')
    replaced = result['weights_replaced']
    if not replaced:
        axis.text(0.5, 0.5, 'no generator with enough real and fake images', ha='center', transform=axis.transAxes)
        return
    names = list(REPLACED)
    estimate, low, high = (
        np.array([100 * replaced[name]['ap_change'][key] for name in names]) for key in ('estimate', 'low', 'high')
    )
    y = np.arange(len(names))
    axis.errorbar(estimate, y, xerr=(estimate - low, high - estimate), fmt='o', color=COLOURS[0], capsize=3)
    axis.axvline(0, color='0.4', linewidth=1)
    axis.set(yticks=y, yticklabels=[PLAIN[name] for name in names], ylim=(len(names) - 0.5, -0.5))
    axis.set_xlabel(f'change of mean AP, points (own: {100 * replaced["own"]["ap"]["estimate"]:.1f})')
    axis.grid(axis='x', alpha=0.3)


def _effects(axis, result):
    names = [
        f'{scale:g}\nweight {weight:.2f}'
        for scale, weight in zip(result['scales'], result['mean_weights'], strict=True)
    ]
    x, width = np.arange(len(names)), 0.27
    for number, kind in enumerate(KINDS):
        support = result['support'][kind]
        axis.bar(x + (number - 1) * width, support, width, color=COLOURS[number], label=KIND_WORDS[kind])
    axis.axhline(0, color='0.4', linewidth=1)
    axis.set(xticks=x, xticklabels=names, xlabel='residual scale and its mean weight')
    axis.set_ylabel('effect in favour of the decision')
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
    axis.legend(fontsize='small', loc='upper left')
    axis.set_title('Does more weight go with more effect?')


def _stability(axis, result):
    found = {name: each for name, each in result['stability'].items() if each['distance'] is not None}
    names = list(found)
    colours = ['0.6' if name.startswith('another') else COLOURS[0] for name in names]
    axis.barh(range(len(names)), [found[name]['distance'] for name in names], color=colours)
    for y, name in enumerate(names):
        changed = found[name]['verdict_changed']
        text = '' if changed is None else f' verdict changed: {100 * changed:.0f}%'
        axis.text(found[name]['distance'], y, text, va='center', fontsize='small')
    axis.set(yticks=range(len(names)), yticklabels=[name.replace('_', ' ') for name in names])
    axis.set_xlim(0, 1.45 * max([0.01, *(each['distance'] for each in found.values())]))
    axis.invert_yaxis()
    axis.set_xlabel('distance of weights, bits (verdict unchanged)')
    axis.set_title('Do weights stay when the image hardly changes?')


def _shifts(axis, result):
    """One row for each generator, its seeds as small marks; of many generators one row for each family."""
    entries = [entry for entry in result['generators'] if entry['shift'] is not None]
    families = list(dict.fromkeys(entry['family'] or 'other' for entry in entries))
    many = len(entries) > MOST_ROWS
    for place, entry in enumerate(entries):
        number = families.index(entry['family'] or 'other')
        style = {'color': COLOURS[number % 7], 'marker': MARKERS[number % len(MARKERS)], 'linestyle': ''}
        if many:
            axis.plot(entry['shift'], number + 0.5 * (place % 9 / 8 - 0.5), markersize=5, alpha=0.6, **style)
        else:
            axis.plot(entry['shifts'], [place] * len(entry['shifts']), markersize=4, alpha=0.45, **style)
            axis.plot(entry['shift'], place, markersize=8, **style)
    axis.axvline(0, color='0.4', linewidth=1)
    names = families if many else list(map(_with_factor, entries))
    axis.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axis.tick_params(axis='y', labelsize='small')
    axis.set_xlabel('octaves, fakes minus reals ' + ('(marks: generators)' if many else '(small: seeds)'))
    axis.grid(axis='x', alpha=0.3)
    axis.xaxis.set_major_locator(plt.MaxNLocator(5))
    if not many:
        handles = [
            plt.Line2D([], [], linestyle='', color=COLOURS[i % 7], marker=MARKERS[i % len(MARKERS)], label=family)
            for i, family in enumerate(families)
        ]
        axis.legend(handles=handles, fontsize='small')
    axis.set_title('Where does attention go on fakes?')


def _with_factor(entry):
    """Name of a generator, with the factor of its up-sampling where that is known and not in the name."""
    factor, name = factor_of(entry), entry['generator'].replace('_', ' ')
    return f'{name} (x{factor})' if factor and f'_x{factor}' not in entry['generator'] else name
