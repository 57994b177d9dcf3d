"""The real images: bundled photographs, a user's folder, rendered scenes; all reduced, cut into tiles."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import IMAGE_SUFFIXES, BadImage, is_image, load_rgb
from generators.scenes import render_scene
from util.errors import UserError

LONGEST_NAME = 100  # characters of a path that are kept in the names of its tiles
REDUCTION = 2  # anti-aliased reduction that removes JPEG and demosaicing traces
FILTERS = (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BOX)  # of reductions by drawn factors

# Colour photographs inside the wheels.
BUNDLED = {
    'skimage': (
        'astronaut.png',
        'chelsea.png',
        'coffee.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'motorcycle_left.png',
        'motorcycle_right.png',
        'retina.jpg',
        'rocket.jpg',
    ),
    'sklearn': ('china.jpg', 'flower.jpg'),
}


@dataclass(frozen=True)
class Photo:
    """One source picture. alike: a name that near-duplicates share (see generators.reals.grouped), or '' if unknown."""

    name: str
    path: Path
    alike: str = ''

    origin = 'photo'

    @property
    def group(self):
        """Pictures of one group stay in one split."""
        return self.alike or self.name

    def pixels(self):
        """(H, W, 3) uint8 after the reduction.

        Raises:
            BadImage: unreadable, or without colour (a decoder never returns exact grey, so it would give fakes away).
        """
        pixels = reduce_image(load_rgb(self.path))
        if (pixels == pixels[..., :1]).all():
            raise BadImage(f'{self.path}: no colour')
        return pixels


@dataclass(frozen=True)
class Scene:
    """A rendered picture of `side` pixels before the reduction."""

    seed: int
    side: int = 512

    origin = 'scene'

    @property
    def name(self):
        return f'{self.seed:07d}'

    @property
    def group(self):
        return f'scene {self.seed}'

    def pixels(self):
        """(side / 2, side / 2, 3) uint8."""
        return reduce_image(Image.fromarray(render_scene(self.seed, self.side)))


def reduce_image(image, factor=REDUCTION):
    """Anti-aliased reduction of a PIL image by a whole factor; (H // factor, W // factor, 3) uint8."""
    width, height = max(1, image.width // factor), max(1, image.height // factor)
    # A whole factor: every output pixel has the same phase.
    box = (0, 0, min(width * factor, image.width), min(height * factor, image.height))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box))


def bundled_photos():
    """The colour photographs that come with scikit-image and scikit-learn."""
    import skimage
    import sklearn.datasets

    folders = {
        'skimage': Path(skimage.__file__).parent / 'data',
        'sklearn': Path(sklearn.datasets.__file__).parent / 'images',
    }
    return [Photo(Path(file).stem, folders[package] / file) for package, files in BUNDLED.items() for file in files]


def folder_photos(folder):
    """Every image below `folder` (any depth, but not in hidden folders), sorted by path.

    Raises:
        UserError: no such folder, no images, or an edition of UpsampleBench in it, whose fakes would pass for reals.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'--photos {folder}: no such folder')
    paths = []
    for root, folders, files in os.walk(folder):
        if 'edition.json' in files:
            raise UserError(
                f'--photos {folder}: {root} is an edition of UpsampleBench; give a folder of photographs only'
            )
        folders[:] = [name for name in folders if not name.startswith('.')]
        paths += [Path(root) / file for file in files if is_image(file)]
    if not paths:
        raise UserError(f'--photos {folder}: no images below it (readable: {" ".join(IMAGE_SUFFIXES)})')
    # The end of the relative path, with the suffix, because two folders may hold files of one name.
    names = {path: re.sub(r'[^A-Za-z0-9]+', '-', path.relative_to(folder).as_posix()) for path in sorted(paths)}
    return [Photo(f'{i:06d}-{name[-LONGEST_NAME:]}', path) for i, (path, name) in enumerate(names.items())]


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
