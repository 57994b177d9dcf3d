"""From a PIL image to the tensor a detector takes: the paper's preprocessing, native pixels, augmentation.

Every random choice comes from a generator that the caller seeds per image, so the numbers do not depend
on how many workers or processes load the images.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage
from torchvision.transforms.v2 import functional as TF

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRID = 8  # native crops start on multiples of 8, so that they keep the phase of the generator's last stages


@dataclass(frozen=True)
class Augmentation:
    """Each with its probability and its (low, high) range; the same draw for real and fake.

    blur: sigma in pixels. jpeg: quality. resize: factor of each side. noise: deviation in grey levels of 255.
    """

    blur_prob: float = 0.0
    blur_sig: tuple = (0.0, 3.0)
    jpg_prob: float = 0.0
    jpg_qual: tuple = (30, 100)
    resize_prob: float = 0.0
    resize_range: tuple = (0.5, 1.5)
    noise_prob: float = 0.0
    noise_sig: tuple = (0.0, 5.0)

    def __call__(self, image, rng, smallest_side=1):
        """PIL image -> PIL image; a resize never goes below `smallest_side`."""
        if rng.random() < self.resize_prob:
            image = resize_by(image, rng.uniform(*self.resize_range), smallest_side)
        if rng.random() < self.blur_prob:
            image = blur(image, rng.uniform(*self.blur_sig))
        if rng.random() < self.noise_prob:
            image = add_noise(image, rng.uniform(*self.noise_sig), rng)
        if rng.random() < self.jpg_prob:
            image = jpeg(image, int(rng.integers(round(self.jpg_qual[0]), round(self.jpg_qual[1]) + 1)))
        return image


def resize_by(image, factor, smallest_side=1):
    """Bilinear, anti-aliased resize of both sides by one factor, so that no side falls below `smallest_side`."""
    factor = max(factor, smallest_side / min(image.size))
    width, height = (max(smallest_side, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def blur(image, sigma):
    """Gaussian blur of a PIL image, sigma in pixels."""
    return Image.fromarray(ndimage.gaussian_filter(np.asarray(image), (sigma, sigma, 0)))


def add_noise(image, deviation, rng):
    """Additive Gaussian noise, `deviation` in grey levels of 255."""
    pixels = np.asarray(image, np.float32)
    return Image.fromarray((pixels + rng.normal(0, deviation, pixels.shape)).round().clip(0, 255).astype(np.uint8))


def jpeg(image, quality):
    """Save as JPEG and read back."""
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=quality)
    return Image.open(buffer).convert('RGB')


def normalise(images):
    """(..., 3, H, W) uint8 -> float32, ImageNet-normalised.

    Loading processes hand over bytes, which are a quarter of the floats; whole batches become floats at once.
    """
    return TF.normalize(TF.to_dtype(images, scale=True), IMAGENET_MEAN, IMAGENET_STD, inplace=True)


def whole_grid(side, grid=GRID):
    """The largest multiple of `grid` up to a side; sides below it stay."""
    return side - side % grid if side >= grid else side


@dataclass(frozen=True)
class TrainTransform:
    """Resize to load_size x load_size (None = native pixels), augment, random crop (None = whole), flip; to uint8.

    Whole native images lose what their sides have over a multiple of GRID, as in scoring.
    """

    load_size: int | None = 256
    crop_size: int | None = 224
    flip: bool = True
    augmentation: Augmentation = Augmentation()

    def __call__(self, image, rng):
        if self.load_size:
            image = image.resize((self.load_size, self.load_size), Image.Resampling.BILINEAR)
        if self.crop_size and min(image.size) < self.crop_size:
            raise ValueError(
                f'{image.width} x {image.height} pixels are too few for a training crop of {self.crop_size}; '
                'lower --cropSize or leave --no_resize out'
            )
        image = self.augmentation(image, rng, smallest_side=self.crop_size or 1)
        if self.crop_size:
            left, top = (int(rng.integers(0, side - self.crop_size + 1)) for side in image.size)
            image = image.crop((left, top, left + self.crop_size, top + self.crop_size))
        elif not self.load_size:
            image = image.crop((0, 0, *map(whole_grid, image.size)))
        if self.flip and rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return TF.pil_to_tensor(image)


@dataclass(frozen=True)
class ScoreTransform:
    """Resize to load_size x load_size (None = native pixels), then centre crop (None = whole); to uint8.

    In native mode the crop starts on a multiple of `grid` pixels, and its sides are cut to multiples of that: residuals
    of odd sides have a grid that drifts, which detectors take for a generator's. Nothing is padded or enlarged. A
    `perturbation` (data.perturbations.Perturbation) comes before all of it.
    """

    load_size: int | None = 256
    crop_size: int | None = 224
    perturbation: Callable | None = None
    grid: int = GRID  # a field, so that scores made by another rule are not taken for these (session.Scorer.to_file)

    def describe(self):
        if self.load_size:
            resized = f'resized to {self.load_size} x {self.load_size}'
            return f'{resized}, centre crop of {self.crop_size}' if self.crop_size else f'{resized}, whole images'
        crop = f'centre crop of {self.crop_size}' if self.crop_size else 'whole images'
        return f'native, {crop}, sides cut to multiples of {self.grid}'

    def box(self, width, height):
        """The crop (left, top, right, bottom) within an image of this size, after any resize."""
        if self.load_size:
            width = height = self.load_size
        box = []
        for side in (width, height):
            size = min(self.crop_size or side, side)
            grid = 1 if self.load_size or size < self.grid else self.grid
            size = whole_grid(size, grid)
            start = (side - size) // 2
            start -= start % grid
            box.append((start, start + size))
        return box[0][0], box[1][0], box[0][1], box[1][1]

    def size(self, width, height):
        """(height, width) of the tensor that an image of this size becomes."""
        if self.perturbation:
            width, height = self.perturbation.size(width, height)
        left, top, right, bottom = self.box(width, height)
        return bottom - top, right - left

    def pixels(self, image, rng=None):
        """The PIL image that the detector sees; `rng` is for the perturbation."""
        if self.perturbation:
            image = self.perturbation(image, rng)
        box = self.box(*image.size)
        if self.load_size:
            image = image.resize((self.load_size, self.load_size), Image.Resampling.BILINEAR)
        return image.crop(box)

    def __call__(self, image, rng=None):
        return TF.pil_to_tensor(self.pixels(image, rng))


def wanted_pixels(config):
    """(load size, crop size) to score a detector on where nobody asks for others; None: not resized, not cropped.

    Those that its threshold was frozen on, or its copy joined; else those of its training, but for native ones, which
    training may crop to very little: they get the default crop.

    Args:
        config: a checkpoint, or the config of networks.load_detector, with 'calibration', 'pixels' and
            'joined_on' or without.
    """
    if fitted_on := (config.get('calibration') or {}).get('pixels') or config.get('joined_on'):
        return fitted_on['load_size'], fitted_on['crop_size']
    trained_on = config.get('pixels') or {}
    if trained_on.get('load_size'):
        return trained_on['load_size'], trained_on['crop_size']
    return None if trained_on else ScoreTransform.load_size, ScoreTransform.crop_size
