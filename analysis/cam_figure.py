"""Activation maps over images."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from analysis.figures import COLOURS, save_figure

EVIDENCE = LinearSegmentedColormap.from_list('evidence', [COLOURS[0], 'white', COLOURS[1]])  # real, neither, fake


def overlay(axis, image, values, limit):
    """A map of any size over the grey image: colour says what for, strength how much; full at +-limit."""
    height, width = np.asarray(image).shape[:2]
    axis.imshow(np.asarray(image.convert('L')), cmap='gray', vmin=0, vmax=255, alpha=0.8)
    strength = np.clip(np.abs(values) / limit, 0, 1)
    axis.imshow(
        values, cmap=EVIDENCE, vmin=-limit, vmax=limit, alpha=0.75 * strength,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation='nearest',
    )  # fmt: skip


def limit_of(arrays):
    """The 98th percentile of absolute values."""
    return max(float(np.quantile(np.abs(np.concatenate([each.ravel() for each in arrays])), 0.98)), 1e-6)


def as_they_count(branches, weights):
    """Maps (S, h, w) as they are where weights (S,) are shares, else times their weights: an image's and its copy's."""
    shares = min(weights) >= 0 and max(weights) <= 1
    return branches if shares else branches * np.array(weights)[:, None, None]


def cam_page(shown, names, path):
    """One row for each image: image, map of each branch, weighed map, occlusion.

    Maps share one colour scale, occlusion has its own: maps are logits per position, whose mean is the logit; occlusion
    is the logit minus that without the residuals of a window.

    Args:
        shown: [(PIL image, entry, (S, h, w) branches, (h, w) fused, (rows, columns) occlusion)]; an entry has
            generator, label, logit, weights and agreement. names: of the S branches.
    """
    several = len(names) > 1
    columns = 3 + len(names) * several
    figure, axes = plt.subplots(
        len(shown), columns, figsize=(2.15 * columns, 2.4 * len(shown) + 0.9), squeeze=False, layout='constrained'
    )
    shown = [
        (image, entry, as_they_count(branches, entry['weights']), *rest) for image, entry, branches, *rest in shown
    ]
    limits = limit_of([branches for _, _, branches, _, _ in shown]), limit_of([each[4] for each in shown])
    for row, (image, entry, branches, fused, occluded) in enumerate(shown):
        axes[row, 0].imshow(np.asarray(image))
        axes[row, 0].set_ylabel(entry['generator'].replace('_', ' '), fontsize=9)
        axes[row, 0].set_title(f'{("real", "fake")[entry["label"]]}, logit {entry["logit"]:+.1f}', fontsize=9)
        cells = list(
            zip(
                [f'{name}, weight {w:.2f}' for name, w in zip(names, entry['weights'], strict=True)],
                branches,
                strict=True,
            )
        )
        cells = [*(cells if several else []), ('weighed' if several else f'map at {names[0]}', fused)]
        for axis, (title, values) in zip(axes[row, 1:], cells, strict=False):
            overlay(axis, image, values, limits[0])
            axis.set_title(title, fontsize=9)
        overlay(axes[row, -1], image, occluded, limits[1])
        text = '' if entry['agreement'] is None else f', rank corr. {entry["agreement"]:+.2f}'
        axes[row, -1].set_title(f'occlusion{text}', fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for limit, part, label in (
        (limits[0], axes[:, :-1], 'evidence, logits: below 0 real, above 0 fake'),
        (limits[1], axes[:, -1:], 'change of logit'),
    ):
        mappable = ScalarMappable(Normalize(-limit, limit), EVIDENCE)
        style = {'location': 'bottom', 'fraction': 0.04, 'pad': 0.01, 'aspect': 40 if part.shape[1] > 1 else 12}
        figure.colorbar(mappable, ax=list(part.flat), extend='both', extendfrac=0.02, **style).set_label(
            label, fontsize=9
        )
    save_figure(figure, path)
