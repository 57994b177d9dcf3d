"""Pictures of attention: distributions, mean weights by family, weights against accuracy."""

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt

from analysis.attention import CLASSES, means_of
from analysis.figures import COLOURS, MARKERS, save_figure
from analysis.scores import ATTENTION, attention_scales
from analysis.summary import counted
from analysis.words import shown

REAL_AND_FAKE = dict(zip(CLASSES, COLOURS, strict=False))
NO_FAMILY = 'other'


def families_of(entries):
    """{family: its entries}, in order of appearance; entries without a family together at the end."""
    groups = {}
    for entry in sorted(entries, key=lambda entry: not entry['family']):
        groups.setdefault(entry['family'] or NO_FAMILY, []).append(entry)
    return groups


def distribution_figure(frame, path, columns=4):
    """Violins (with median and quartiles inside) of the weight of each scale, real and fake, a panel per generator."""
    scales = attention_scales(frame)
    names = [f'{ATTENTION}{scale:g}' for scale in scales]
    groups = list(frame.groupby(['table', 'generator'], sort=False))
    columns = min(columns, len(groups))
    lines = -(-len(groups) // columns)
    size = (max(3.6, 0.95 * len(scales) + 0.9) * columns, 3.1 * lines + 0.5)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True, layout='constrained')
    for axis, ((_, generator), rows) in zip(axes.flat, groups, strict=False):
        long = rows.melt(id_vars='label', value_vars=names, var_name='scale', value_name='weight')
        long['scale'] = long['scale'].str.removeprefix(ATTENTION)
        long['images'] = long['label'].map({0: 'real', 1: 'fake'})
        style = {'x': 'scale', 'y': 'weight', 'hue': 'images', 'hue_order': list(REAL_AND_FAKE)}
        style |= {'palette': REAL_AND_FAKE, 'ax': axis, 'legend': False, 'gap': 0.1}
        sns.violinplot(long, **style, cut=0, inner=None, linewidth=0, alpha=0.35, density_norm='width')
        sns.boxplot(long, **style, width=0.35, fliersize=0, linewidth=1, fill=False, whis=(5, 95))
        axis.axhline(1 / len(scales), color='0.5', linewidth=1, linestyle=':')
        counts = [int((rows['label'] == label).sum()) for label in (0, 1)]
        axis.set(ylim=(0, 1), xlabel='residual scale', ylabel='attention weight')
        axis.set_title(f'{shown(generator)} ({counts[0]} real, {counts[1]} fake)', fontsize=10)
        axis.label_outer()
    for axis in axes.flat[len(groups) :]:
        axis.set_axis_off()
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, alpha=0.7) for colour in REAL_AND_FAKE.values()]
    handles.append(plt.Line2D([], [], color='0.5', linestyle=':'))
    labels = [*REAL_AND_FAKE, 'equal weights']
    figure.legend(handles, labels, loc='outside upper right', ncols=3, frameon=False, fontsize=10)
    save_figure(figure, path)


def heatmap_figure(entries, path):
    """Mean weight of each scale for each generator, grouped by family: reals, fakes, and fakes minus reals."""
    groups = families_of(entries)
    ordered = [entry for members in groups.values() for entry in members]
    tables = {name: means_of(ordered, name) for name in ('real', 'fake')}
    rows = [f'{entry["table"]}/{entry["generator"]}' for entry in ordered]
    real, fake = (tables[name].reindex(rows) for name in ('real', 'fake'))
    scales = fake.columns if len(fake.columns) else real.columns
    change = fake - real
    limit = max(0.05, float(np.nanmax(np.abs(change.to_numpy(float)), initial=0.0)))
    height = 0.32 * len(rows) + 1.6
    figure, axes = plt.subplots(1, 3, figsize=(3 * (0.75 * len(scales) + 1.2) + 2.6, height), layout='constrained')
    style = {'annot': len(rows) <= 45, 'linewidths': 0.5, 'xticklabels': list(scales)}
    style |= {'annot_kws': {'fontsize': 8}}
    for axis, values, title in zip(axes, (real, fake, change), ('real', 'fake', 'fake minus real'), strict=True):
        if title == 'fake minus real':
            colours = {'cmap': 'PuOr_r', 'vmin': -limit, 'vmax': limit, 'fmt': '+.2f'}
        else:
            colours = {'cmap': 'cividis', 'vmin': 0, 'vmax': 1, 'fmt': '.2f'}
        sns.heatmap(
            values.to_numpy(float),
            ax=axis,
            yticklabels=list(map(shown, rows)),
            cbar=axis is not axes[0],
            **style,
            **colours,
        )
        axis.set(title=f'mean weight, {title}' if values is not change else title, xlabel='residual scale')
        axis.tick_params(axis='y', rotation=0)
        if axis is not axes[0]:
            axis.set_yticklabels([])
        end = 0
        for family, members in groups.items():
            if axis is axes[-1]:
                axis.text(len(scales) + 0.1, end + len(members) / 2, family, fontsize=9, va='center', color='0.3')
            end += len(members)
            axis.axhline(end, color='white' if end < len(rows) else 'none', linewidth=4)
    save_figure(figure, path)


def correlation_figure(entries, correlations, path):
    """AP of each generator against the mean weight of each scale on its fakes; hollow: not in the correlation."""
    chosen = [e for e in entries if e['fake'] and e['ap'] is not None]
    scales = list(chosen[0]['fake']['mean'])
    families = list(families_of(chosen))
    figure, axes = plt.subplots(1, len(scales), figsize=(3.3 * len(scales), 3.6), sharey=True, layout='constrained')
    for axis, scale in zip(np.atleast_1d(axes), scales, strict=True):
        for number, family in enumerate(families):
            for inside in (True, False):
                members = [e for e in chosen if (e['family'] or NO_FAMILY) == family and counted(e) == inside]
                x, y = [e['fake']['mean'][scale] for e in members], [100 * e['ap'] for e in members]
                style = {'color': COLOURS[number % 7], 'markersize': 6, 'alpha': 0.85}
                style |= {} if inside else {'fillstyle': 'none'}
                axis.plot(x, y, MARKERS[number % len(MARKERS)], label=family if members and inside else None, **style)
        found = correlations[scale]['ap']
        text = f'rho {found["rho"]:+.2f} [{found["low"]:+.2f}, {found["high"]:+.2f}]' if found else 'rho not defined'
        axis.set(xlabel=f'mean weight of {scale} on fakes', title=text)
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel('average precision, %')
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    if not all(map(counted, chosen)):
        handles.append(plt.Line2D([], [], color='0.4', marker='o', linestyle='', fillstyle='none'))
        labels.append('not counted (control, or trained on)')
    figure.legend(handles, labels, loc='outside upper left', ncols=5, frameon=False, fontsize=9)
    save_figure(figure, path)
