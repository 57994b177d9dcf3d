"""Figures of the report and the slides, drawn for the size at which they are printed."""

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image
from skimage import data as photographs

from analysis.attention import means_of
from analysis.comparison_figures import draw_metric, short_names
from analysis.faithfulness_figure import faithfulness_figure
from analysis.figures import COLOURS, MARKERS, residual_energy, save_figure
from analysis.words import shown
from pipeline.plan import BASELINE, PROPOSED
from report.setup import first_run

PAGE, COLUMN, HEIGHT = 7.1, 3.4, 2.36  # inches; HEIGHT of the architecture
PRINT = {'font.size': 7.5, 'axes.titlesize': 8, 'axes.linewidth': 0.6, 'legend.fontsize': 7, 'xtick.labelsize': 7}
PRINT |= {'ytick.labelsize': 7, 'lines.markersize': 4}
DPI = 220
MANY = 14  # generators; more take the width of the page


def draw_all(evidence, folder):
    """Write the figures that these results allow; {name: path}."""
    drawn = {}
    with plt.rc_context(PRINT):
        for name, draw in (
            ('architecture', architecture_figure),
            ('generators', generators_figure),
            ('designs', designs_figure),
            ('attention', attention_figure),
            ('faithfulness', _faithfulness_figure),
        ):
            path = folder / f'{name}.png'
            path.unlink(missing_ok=True)  # of earlier results
            if draw(evidence, path):
                drawn[name] = path
    return drawn


def architecture_figure(evidence, path):
    """The multi-scale detector from image to logit, with residuals of a bundled photograph."""
    scales, side = PROPOSED.scales, 112
    detector = (first_run(evidence) or {}).get('detector', {})
    blocks, channels = ('[1, 1]', '64') if detector.get('fine') else ('[2, 2]', '128')
    gate, last = 'attention MLP\nsoftmax over scales', 'linear'
    if detector.get('fusion') == 'evidence':
        channels, gate, last = 'logit', "softmax of the\nbranches' logits", None
    photograph = Image.fromarray(photographs.chelsea()).crop((136, 56, 136 + side, 56 + side))
    maps = [residual_energy(photograph, scale) for scale in scales]
    brightest = max(np.quantile(each, 0.98) for each in maps)
    figure = plt.figure(figsize=(PAGE, HEIGHT))
    canvas = figure.add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, PAGE), ylim=(0, HEIGHT))
    canvas.set_axis_off()
    rows = np.linspace(2.03, 0.45, len(scales))
    middle = rows.mean()

    def picture(x, y, pixels, size, **style):
        axis = figure.add_axes(((x - size / 2) / PAGE, (y - size / 2) / HEIGHT, size / PAGE, size / HEIGHT))
        axis.imshow(pixels, interpolation='nearest', **style)
        axis.set(xticks=[], yticks=[])

    def box(x, y, text, width, height, colour):
        corner = (x - width / 2, y - height / 2)
        canvas.add_patch(
            FancyBboxPatch(corner, width, height, 'round,pad=0,rounding_size=0.05', fc=colour, ec='0.3', lw=0.7)
        )
        canvas.text(x, y, text, ha='center', va='center', linespacing=1.25)

    def arrow(start, end, **style):
        canvas.add_patch(FancyArrowPatch(start, end, arrowstyle='-|>', mutation_scale=7, lw=0.8, color='0.25', **style))

    picture(0.55, middle, np.asarray(photograph), 0.85)
    canvas.text(0.55, middle - 0.55, 'image', ha='center')
    for y, scale, array, colour in zip(rows, scales, maps, ('#cfe5f5', '#d7efe2', '#f9e3c9', '#eee'), strict=False):
        arrow((1.0, middle), (1.42, y))
        picture(1.72, y, array, 0.56, cmap='cividis', vmin=0, vmax=brightest)
        canvas.text(1.72, y - 0.39, f'residual at {scale:g}', ha='center', fontsize=7)
        arrow((2.03, y), (2.33, y))
        canvas.text(2.18, y + 0.07, 'x 2/3', ha='center', fontsize=6.5)
        box(2.88, y, f'ResNet branch\nBasicBlock {blocks}', 1.06, 0.42, colour)
        arrow((3.43, y), (3.85, y))
        canvas.text(3.64, y + 0.07, channels, ha='center', fontsize=6.5)
        canvas.plot([3.9], [y], 'o', color='0.25', markersize=4)
        arrow((3.93, y), (4.27, 2.03), shrinkB=2)
        arrow((3.93, y), (5.05, 0.76), shrinkB=7)
    box(4.85, 2.03, gate, 1.16, 0.42, '#f3d9e6')
    arrow((4.98, 1.81), (5.13, 0.93))
    canvas.text(5.12, 1.39, 'one weight per\nscale and image', fontsize=6.5, va='center')
    canvas.text(5.15, 0.73, 'Σ', ha='center', va='center', fontsize=13)
    canvas.add_patch(plt.Circle((5.15, 0.76), 0.17, fill=False, ec='0.25', lw=0.8))
    if last is None:
        arrow((5.33, 0.76), (6.62, 0.76))
    else:
        arrow((5.33, 0.76), (5.66, 0.76))
        canvas.text(5.49, 0.83, channels, ha='center', fontsize=6.5)
        box(6.0, 0.76, last, 0.62, 0.42, '#eeeeee')
        arrow((6.32, 0.76), (6.62, 0.76))
    canvas.text(6.65, 0.76, 'logit\n> 0: fake', va='center', fontsize=7)
    save_figure(figure, path, dpi=DPI)
    return True


def generators_figure(evidence, path):
    """AP of baseline and multi-scale detector for each generator, means over seeds with their standard deviation."""
    drawn = {}
    for name in (BASELINE.name, PROPOSED.name):
        rows = {f'{entry["table"]}/{entry["generator"]}': entry for entry in evidence.generators(name)}
        if evidence.summary(name)['mean']:
            rows['mean'] = evidence.summary(name)['mean']
        drawn[name] = rows
    names = list(drawn[BASELINE.name])
    columns = 1 if len(names) <= MANY else 3
    length = -(-len(names) // columns)
    size = COLUMN if columns == 1 else PAGE, 0.85 + 0.16 * length
    figure, axes = plt.subplots(1, columns, figsize=size, layout='constrained', squeeze=False)
    for place, axis in enumerate(axes[0]):
        part = names[place * length : (place + 1) * length]
        draw_metric(axis, {name: {row: rows[row] for row in part} for name, rows in drawn.items()}, 'ap', 'AP')
        axis.set_title('')
    lowest = min(axis.get_xlim()[0] for axis in axes[0])
    for axis in axes[0]:
        axis.set_xlim(lowest, 102)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, list(map(shown, labels)), loc='outside upper center', ncols=2, frameon=False)
    save_figure(figure, path, dpi=DPI)
    return True


def designs_figure(evidence, path):
    """Every design against the baseline: difference of mean AP and accuracy with its interval."""
    others = [name for name in evidence.names if evidence.test(name, 'ap')]
    if not others:
        return False
    figure, axes = plt.subplots(1, 2, figsize=(COLUMN, 0.75 + 0.24 * len(others)), sharey=True, layout='constrained')
    for axis, metric, title in ((axes[0], 'ap', 'mean AP'), (axes[1], 'accuracy', 'mean accuracy')):
        for y, name in enumerate(others):
            interval = evidence.test(name, metric)['interval']
            style = {'color': COLOURS[evidence.names.index(name) % 7]}
            axis.hlines(y, 100 * interval['low'], 100 * interval['high'], linewidth=1.2, **style)
            axis.plot(100 * interval['estimate'], y, MARKERS[evidence.names.index(name) % len(MARKERS)], **style)
        axis.axvline(0, color='0.3', linewidth=0.8)
        axis.set(xlabel=f'{title}, points', yticks=range(len(others)), ylim=(len(others) - 0.5, -0.5))
        axis.grid(axis='x', alpha=0.3)
    axes[0].set_yticklabels(list(map(shown, others)))
    save_figure(figure, path, dpi=DPI)
    return True


def attention_figure(evidence, path):
    """Mean weight of each scale on fakes and reals of each generator."""
    if not evidence.attention:
        return False
    tables = {name: means_of(evidence.attention['generators'], name) for name in ('real', 'fake')}
    rows = [f'{entry["table"]}/{entry["generator"]}' for entry in evidence.attention['generators']]
    tables = {name: values.reindex(rows) for name, values in tables.items()}  # a class may be missing
    count = len(rows)
    many = count > MANY
    shape, size = ((2, 1), (PAGE, 2.6)) if many else ((1, 2), (COLUMN, 0.75 + 0.17 * count))
    figure, axes = plt.subplots(*shape, figsize=size, layout='constrained')
    for axis, (name, values) in zip(axes, tables.items(), strict=True):
        values.index = short_names(values.index)
        style = {'annot': not many, 'fmt': '.2f', 'annot_kws': {'fontsize': 6.5}, 'cbar': axis is axes[1] or many}
        drawn = values.T if many else values
        sns.heatmap(drawn, ax=axis, vmin=0, vmax=1, cmap='cividis', yticklabels=True, **style)
        axis.set(title=f'mean weight, {name}', xlabel='' if many else 'residual scale', ylabel='scale' if many else '')
        axis.tick_params(axis='both', length=0, rotation=0)
        if many:
            axis.set_xticks(np.arange(count) + 0.5, values.index if axis is axes[1] else [''] * count, rotation=90)
        elif axis is axes[1]:
            axis.set_yticks([])
    save_figure(figure, path, dpi=DPI)
    return True


def _faithfulness_figure(evidence, path):
    if not evidence.faithfulness:
        return False
    faithfulness_figure(evidence.faithfulness, path, size=(PAGE, 4.6), dpi=DPI)
    return True
