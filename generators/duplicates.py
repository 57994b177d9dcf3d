"""Near-duplicates among photographs (copies, other encodings, bursts, stereo pairs), which must stay in one split."""

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data.images import BadImage, load_rgb

SIDE = 8  # of the thumbnails that are compared
ALIKE = 0.9  # correlation of two thumbnails from which on photographs are near-duplicates (docs/decisions.md)
COMPARED = 10_000_000  # pairs at a time, which bounds the memory


def thumbnail(path):
    """(3 * SIDE * SIDE,) float32 of zero mean and unit length; zeros if the file cannot be read or is of one colour."""
    try:
        small = load_rgb(path).resize((SIDE, SIDE), Image.Resampling.BOX)
    except BadImage:
        return np.zeros(3 * SIDE * SIDE, np.float32)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    return values / max(np.linalg.norm(values), 1e-6)


def group_alike(thumbnails):
    """Numbers of groups, (n,) int: two pictures that are alike, directly or through others, have the same one.

    Args:
        thumbnails: (n, k) float32 rows of unit length or zero.
    """
    thumbnails = np.asarray(thumbnails)
    groups = np.arange(len(thumbnails))
    rows = max(1, COMPARED // len(thumbnails))
    for start in range(0, len(thumbnails), rows):
        first, second = np.nonzero(thumbnails[start : start + rows] @ thumbnails.T >= ALIKE)
        pairs = groups[first + start], groups[second]
        graph = coo_array((np.ones(len(first), bool), pairs), shape=(len(thumbnails),) * 2)
        groups = connected_components(graph, directed=False)[1][groups]
    return groups
