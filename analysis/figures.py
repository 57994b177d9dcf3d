"""Pictures of images: the contact sheet of a benchmark, residuals at several scales, attention."""

import matplotlib

matplotlib.use('Agg')

import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image

from networks.npr import npr_residual
from util.files import atomic_path

# Okabe and Ito's palette, safe for colour-blind readers.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
MARKERS = 'osD^vP*X<>hd'
ZOOM = 4  # of the contact sheet's details


def save_figure(figure, path, dpi=130):
    """Write a PNG whole and without a date in it, so that the same data give the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png', dpi=dpi, bbox_inches='tight', metadata={'Software': None})
    plt.close(figure)


def contact_sheet(samples, path, rows=5):
    """Photograph and its fakes side by side; below each its centre, enlarged 4x without smoothing.

    Args:
        samples: {'real' or decoder: (n, S, S, 3) uint8}, 'real' first.
        path: of the PNG; rows: photographs shown, spread evenly over the n.
    """
    count = len(samples['real'])
    chosen = np.unique(np.linspace(0, count - 1, min(rows, count)).round().astype(int))
    side = samples['real'].shape[1]
    part = slice(side // 2 - side // (2 * ZOOM), side // 2 + side // (2 * ZOOM))
    figure, axes = plt.subplots(
        2 * len(chosen), len(samples), figsize=(1.75 * len(samples), 3.5 * len(chosen)), squeeze=False
    )
    for column, (name, images) in enumerate(samples.items()):
        axes[0, column].set_title(name.replace('_', ' '), fontsize=11)
        for row, index in enumerate(chosen):
            for below, pixels in enumerate((images[index], images[index][part, part])):
                axis = axes[2 * row + below, column]
                axis.imshow(pixels, interpolation='nearest')
                axis.set(xticks=[], yticks=[])
                if column == 0:
                    axis.set_ylabel(f'centre, {ZOOM}x' if below else 'tile', fontsize=9)
    figure.subplots_adjust(wspace=0.04, hspace=0.04)
    save_figure(figure, path, dpi=100)


def residual_energy(image, scale):
    """Mean absolute residual over channels (of the first grid), in grey levels; PIL image -> (H, W) float."""
    tensor = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None]
    return npr_residual(tensor, scale)[0].abs().mean(0).numpy()


def draw_residuals(axes, pair, scales, zoom_side=64):
    """Fill a 2 x (1 + S) grid of axes with a real and a fake image and their residuals, one colour scale for all.

    Args:
        pair: {'real': path, 'fake': path}.
    """
    images = {label: Image.open(path).convert('RGB') for label, path in pair.items()}
    left, top = ((side - zoom_side) // 2 // 4 * 4 for side in images['real'].size)
    maps = {label: [residual_energy(image, scale) for scale in scales] for label, image in images.items()}
    part = (slice(top, top + zoom_side), slice(left, left + zoom_side))
    brightest = max(np.quantile(array[part], 0.99) for arrays in maps.values() for array in arrays)
    for row, (label, image) in enumerate(images.items()):
        axes[row, 0].imshow(np.asarray(image)[part], interpolation='nearest')
        axes[row, 0].set_ylabel(label, fontsize=11)
        for column, (scale, array) in enumerate(zip(scales, maps[label], strict=True), start=1):
            shown = axes[row, column].imshow(
                array[part], cmap='cividis', vmin=0, vmax=brightest, interpolation='nearest'
            )
            if row == 0:
                axes[row, column].set_title(f'residual at {scale:g}', fontsize=10)
    axes[0, 0].set_title(f'centre {zoom_side} px', fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    bar = axes[0, 0].figure.colorbar(shown, ax=list(axes[:, 1:].flat), fraction=0.025, pad=0.02)
    bar.set_label('mean |residual|, grey levels of 255')


def image_panels(images, frame, scales, path, brightest=None, across=False):
    """One row for each image: the image, its residual at each scale (one colour scale), its score and any weights.

    Args:
        images: list of n RGB PIL images; frame: n rows of a score file; a column `note` takes the place of the score.
        brightest: grey levels drawn in the lightest colour; None: of these images (see `brightest_of`).
        across: one column for each image instead.
    """
    brightest = brightest or brightest_of(images, scales)
    shape, width, height = (len(images), len(scales) + 1), 2.3, 2.5
    if across:
        shape, width, height = shape[::-1], 1.7, 1.9
    figure, axes = plt.subplots(*shape, figsize=(width * shape[1], height * shape[0]), squeeze=False)
    figure.subplots_adjust(wspace=0.05, hspace=0.25)
    for places, image, entry in zip(axes.T if across else axes, images, frame.to_dict('records'), strict=True):
        places[0].imshow(image)
        name, note = entry['generator'].replace('_', ' '), entry.get('note', f'score {entry["score"]:.3f}')
        title = f'{("real", "fake")[entry["label"]]}, {note}'
        if across:
            title = f'{name}\n{title}'
        else:
            places[0].set_ylabel(name, fontsize=9)
        places[0].set_title(title, fontsize=9)
        for axis, scale in zip(places[1:], scales, strict=True):
            shown = axis.imshow(
                residual_energy(image, scale), cmap='cividis', vmin=0, vmax=brightest, interpolation='nearest'
            )
            weight = entry.get(f'attention_{scale:g}')
            axis.set_title(f'{scale:g}' + ('' if weight is None else f': weight {weight:.2f}'), fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    bar = figure.colorbar(shown, ax=list(axes.flat), fraction=0.02, pad=0.02, extend='max')
    bar.set_label('mean |residual|, grey levels of 255')
    save_figure(figure, path)


def brightest_of(images, scales):
    """The 99th percentile of the residual energy at the scale where it is largest, the median over the images."""
    return float(np.median([max(np.quantile(residual_energy(i, s), 0.99) for s in scales) for i in images])) or 1.0


def save_map(array, stem):
    """Write a residual map (H, W) as STEM.npy (grey levels) and STEM.png (white = 32 grey levels or more)."""
    with atomic_path(f'{stem}.npy') as temporary, temporary.open('wb') as file:
        np.save(file, array)
    with atomic_path(f'{stem}.png') as temporary:
        Image.fromarray((array.clip(0, 32) * (255 / 32)).astype(np.uint8)).save(temporary, 'PNG')
