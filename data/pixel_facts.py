"""How far do file facts and global statistics alone tell real from fake?

A detector of up-sampling should not be able to lean on brightness, contrast or file size. This audit fits
a logistic regression on such facts; its cross-validated AUC is the size of the shortcut.
"""

import io

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FACTS = (
    'log high-frequency energy',
    'mean red',
    'mean green',
    'mean blue',
    'deviation red',
    'deviation green',
    'deviation blue',
    'mean saturation',
    'PNG bytes per pixel',
)


def png_size(pixels):
    """Bytes of the PNG that this project writes for (H, W, 3) uint8 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.tell()


def _luma(pixels):
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _laplacian(grey):
    return 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]


def high_frequency_energy(pixels):
    """Mean squared discrete Laplacian of the luma of (H, W, 3) uint8 pixels, in grey levels squared."""
    return float(np.mean(_laplacian(_luma(pixels)) ** 2))


def smoothness(pixels):
    """How much less detail an image has at its full size than at half of it: high for images that are enlarged, blurred
    or decoded from something coarser.

    Log of the mean absolute Laplacian of the luma after 2 x 2 means, over that before (each plus 0.1 grey levels).
    (H, W, 3) uint8, H and W at least 6 -> float.
    """
    grey = _luma(pixels)
    height, width = (side // 2 * 2 for side in grey.shape)
    halved = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    coarse, fine = (np.abs(_laplacian(each)).mean() for each in (halved, grey))
    return float(np.log((coarse + 0.1) / (fine + 0.1)))


def colour_grid(pixels):
    """How much an image's colours follow a grid of 8 x 8 pixels, as those of a JPEG file do, also after it was
    decoded and saved otherwise, until it is resized: it tells how a file was stored.

    Of the absolute diagonal differences of blue - green, the share of the variance that lies between the 64 places of
    the grid, without what chance gives; its logarithm, 1e-4 added. (H, W, 3) uint8, H and W at least 9 -> float.
    """
    colour = pixels[..., 2].astype(np.float32) - pixels[..., 1]
    edges = np.abs(np.diff(np.diff(colour, axis=0), axis=1))
    rows, columns = (side // 8 for side in edges.shape)
    edges = edges[: rows * 8, : columns * 8]
    places = edges.reshape(rows, 8, columns, 8).mean((0, 2))
    share = places.var() / max(edges.var(), 1e-12) - 1 / (rows * columns)
    return float(np.log(max(share, 0) + 1e-4))


def global_facts(pixels):
    """The facts of `FACTS` for one image, (H, W, 3) uint8 -> (9,) float."""
    flat = pixels.reshape(-1, 3).astype(np.float32) / 255
    most = flat.max(1)
    saturation = np.mean((most - flat.min(1)) / np.maximum(most, 1 / 255))
    energy = np.log(high_frequency_energy(pixels) + 0.1)
    return np.array([energy, *flat.mean(0), *flat.std(0), saturation, png_size(pixels) / len(flat)])


def shortcut_auc(real_facts, fake_facts, groups, strength=1.0):
    """Cross-validated AUC of a logistic regression on facts, symmetrised: max(AUC, 1 - AUC).

    Args:
        real_facts, fake_facts: (n, k) float; row i of both belongs to the same photograph.
        groups: (n,) labels; rows of one group (one photograph) stay in one fold.
        strength: inverse of the regularisation.
    Returns:
        float in [0.5, 1]; 0.5 means that the facts tell nothing.
    """
    facts = np.concatenate([real_facts, fake_facts])
    labels = np.repeat([0, 1], [len(real_facts), len(fake_facts)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    folds = GroupKFold(min(5, len(set(groups))))
    scores = cross_val_predict(
        classifier, facts, labels, groups=np.concatenate([groups, groups]), cv=folds, method='decision_function'
    )
    auc = roc_auc_score(labels, scores)
    return float(max(auc, 1 - auc))
