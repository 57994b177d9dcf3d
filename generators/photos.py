"""The real images: bundled photographs, a user's folder, rendered scenes; all reduced, cut into tiles."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import IMAGE_SUFFIXES, load_rgb
from generators.scenes import render_scene
from util.errors import UserError

REDUCTION = 2  # anti-aliased reduction that removes JPEG and demosaicing traces

# Colour photographs inside the wheels (grey ones would give colour away: a decoder never returns exact
# grey). `group` keeps near-duplicates together: the stereo pair may not straddle two splits.
BUNDLED = (
    ('skimage', 'astronaut.png', 'astronaut'),
    ('skimage', 'chelsea.png', 'chelsea'),
    ('skimage', 'coffee.png', 'coffee'),
    ('skimage', 'hubble_deep_field.jpg', 'hubble'),
    ('skimage', 'ihc.png', 'ihc'),
    ('skimage', 'motorcycle_left.png', 'motorcycle'),
    ('skimage', 'motorcycle_right.png', 'motorcycle'),
    ('skimage', 'retina.jpg', 'retina'),
    ('skimage', 'rocket.jpg', 'rocket'),
    ('sklearn', 'china.jpg', 'china'),
    ('sklearn', 'flower.jpg', 'flower'),
)


@dataclass(frozen=True)
class Photo:
    """One source picture. `origin` is 'photo' or 'scene'; pictures of one `group` stay in one split."""

    name: str
    origin: str
    group: str
    location: object  # a path, or the seed of a scene

    def pixels(self):
        """(H, W, 3) uint8 after the reduction."""
        scene = self.origin == 'scene'
        return reduce_image(Image.fromarray(render_scene(self.location)) if scene else load_rgb(self.location))


def reduce_image(image, factor=REDUCTION):
    """Anti-aliased reduction of a PIL image by a whole factor; (H // factor, W // factor, 3) uint8."""
    width, height = image.width // factor, image.height // factor
    box = (0, 0, width * factor, height * factor)  # a whole factor: every output pixel has the same phase
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))


def bundled_photos():
    """The colour photographs that come with scikit-image and scikit-learn."""
    import skimage
    import sklearn.datasets

    folders = {
        'skimage': Path(skimage.__file__).parent / 'data',
        'sklearn': Path(sklearn.datasets.__file__).parent / 'images',
    }
    return [Photo(Path(file).stem, 'photo', group, folders[package] / file) for package, file, group in BUNDLED]


def folder_photos(folder):
    """Every image below `folder` (any depth), sorted by path."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'--photos {folder}: no such folder')
    paths = [
        Path(root) / file
        for root, _, files in os.walk(folder)
        for file in files
        if Path(file).suffix.lower() in IMAGE_SUFFIXES
    ]
    if not paths:
        raise UserError(f'--photos {folder}: no images below it (readable: {" ".join(sorted(IMAGE_SUFFIXES))})')
    return [Photo(path.stem, 'photo', str(path), path) for path in sorted(paths)]


def scene_photos(count, seed):
    return [Photo(f'{seed + i:05d}', 'scene', f'scene{seed + i}', seed + i) for i in range(count)]


def tiles(pixels, size, rng, most=None):
    """Cut non-overlapping tiles at a random phase.

    Args:
        pixels: (H, W, 3) uint8.
        size: side of a tile in pixels.
        rng: numpy Generator that draws the phase (and the choice, if `most` limits it).
        most: at most this many tiles, or None.
    Returns:
        (n, size, size, 3) uint8; n = 0 when the picture is smaller than a tile.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        return np.empty((0, size, size, 3), np.uint8)
    top, left = rng.integers(0, height % size + 1), rng.integers(0, width % size + 1)
    cut = [
        pixels[y : y + size, x : x + size]
        for y in range(top, height - size + 1, size)
        for x in range(left, width - size + 1, size)
    ]
    if most is not None and len(cut) > most:
        cut = [cut[i] for i in sorted(rng.permutation(len(cut))[:most])]
    return np.stack(cut)
