"""Controls: photographs that something happened to, but no up-sampling. A detector of up-sampling calls them real."""

import numpy as np
from PIL import Image
from scipy import ndimage

from data.pixel_facts import high_frequency_energy
from data.transforms import jpeg

RESIZED = 0.75  # side ratio of the control that was made smaller
SHARPEST = 0.9  # of the high-frequency energy, at most, is left to the blurred control, however sharp generators are


def apply(name, pixels, sigma):
    """The control of that name (generators.tables); sigma: of the blur. (H, W, 3) uint8 -> (H, W, 3), or smaller."""
    if name == 'low_passed':
        return low_passed(pixels, sigma)
    if name.startswith('jpeg'):
        return compressed(pixels, int(name.removeprefix('jpeg')))
    return resized(pixels)


def low_passed(pixels, sigma):
    """(H, W, 3) uint8, blurred by a Gaussian of `sigma` pixels."""
    return np.asarray(ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0)).round(), np.uint8)


def compressed(pixels, quality):
    """(H, W, 3) uint8, saved as JPEG of that quality and read again."""
    return np.asarray(jpeg(Image.fromarray(pixels), quality))


def resized(pixels):
    """(H, W, 3) uint8, made smaller with anti-aliasing; sides are kept multiples of 8."""
    height, width = (int(side * RESIZED) // 8 * 8 for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def matching_sigma(tiles, ratio):
    """The blur after which tiles keep `ratio` of their high-frequency energy, to a hundredth of a pixel.

    Args:
        tiles: list of (H, W, 3) uint8; ratio: between 0 and 1.
    """
    energy = np.mean([high_frequency_energy(pixels) for pixels in tiles])
    low, high = 0.0, 3.0
    while high - low > 0.01:
        sigma = (low + high) / 2
        kept = np.mean([high_frequency_energy(low_passed(pixels, sigma)) for pixels in tiles]) / energy
        low, high = (sigma, high) if kept > ratio else (low, sigma)
    return round((low + high) / 2, 2)
