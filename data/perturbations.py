"""What happens to images on their way: compression, blur, noise, resizing, shifts. For tests of robustness.

Each perturbation takes a whole PIL image before any crop. Its random numbers come from a generator that is seeded
with the file's name, so the same image is perturbed the same way in every run and for every detector.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image

from data.transforms import GRID, add_noise, blur, jpeg, resize_by


@dataclass(frozen=True)
class Kind:
    """A perturbation: apply(image, level, rng), what a level means, the levels of a curve, the lowest and highest there
    may be, and whether they are whole numbers."""

    apply: Callable
    unit: str
    levels: tuple
    limits: tuple
    whole: bool = False
    size: Callable = lambda width, height, level: (width, height)


def webp(image, quality):
    """Save as lossy WebP and read back."""
    buffer = io.BytesIO()
    image.save(buffer, 'WEBP', quality=quality)
    return Image.open(buffer).convert('RGB')


def shift(image, pixels):
    """Cut `pixels` rows and columns off the top and the left, so that every other pixel changes its phase.

    As many are cut off the other sides as make GRID together: an odd size would change the residual's own grid too.

    Raises:
        ValueError: nothing would be left.
    """
    if min(image.size) <= GRID:
        raise ValueError(f'{image.width} x {image.height} pixels are too few to be shifted')
    return image.crop((pixels, pixels, *(side - GRID + pixels for side in image.size)))


def screenshot(image, quality):
    """JPEG 90, shown a quarter larger, cut off the first JPEG's grid, saved as JPEG again."""
    return jpeg(shift(resize_by(jpeg(image, 90), 1.25), 3), quality)


def _resized(width, height, factor):
    return round(width * factor), round(height * factor)


PERTURBATIONS = MappingProxyType(
    {
        'jpeg': Kind(
            lambda image, level, rng: jpeg(image, int(level)), 'JPEG quality', (95, 90, 75, 50), (1, 100), True
        ),
        'webp': Kind(
            lambda image, level, rng: webp(image, int(level)), 'WebP quality', (95, 90, 75, 50), (1, 100), True
        ),
        'blur': Kind(lambda image, level, rng: blur(image, level), 'sigma, pixels', (0.5, 1, 2, 3), (0.1, 20)),
        'noise': Kind(add_noise, 'deviation, grey levels of 255', (1, 2, 5, 10), (0.1, 255)),
        'resize': Kind(
            lambda image, level, rng: resize_by(image, level),
            'factor of each side',
            (0.5, 0.75, 1.5, 2),
            (0.1, 10),
            size=_resized,
        ),
        'shift': Kind(
            lambda image, level, rng: shift(image, int(level)),
            'pixels',
            (1, 2, 3),
            (1, GRID - 1),
            True,
            lambda width, height, level: (width - GRID, height - GRID),
        ),
        'screenshot': Kind(
            lambda image, level, rng: screenshot(image, int(level)),
            'second JPEG quality',
            (95, 90, 75, 50),
            (1, 100),
            True,
            lambda width, height, level: tuple(side - GRID for side in _resized(width, height, 1.25)),
        ),
    }
)


@dataclass(frozen=True)
class Perturbation:
    """One kind at one level. str() gives 'jpeg_75', which names folders."""

    kind: str
    level: float

    def __str__(self):
        return f'{self.kind}_{self.level:g}'

    def size(self, width, height):
        """(width, height) after the perturbation of an image of this size."""
        return PERTURBATIONS[self.kind].size(width, height, self.level)

    def __call__(self, image, rng):
        return PERTURBATIONS[self.kind].apply(image, self.level, rng)


def parse(text):
    """'resize' -> [Perturbation] at each of its levels; 'resize_0.9' -> at this one.

    Raises:
        ValueError: no such kind; a level that is no number, or one that this kind cannot have.
    """
    kind, _, given = text.partition('_')
    if kind not in PERTURBATIONS:
        raise ValueError(f'{text}: expected one of {", ".join(PERTURBATIONS)}, or a level of one, as resize_0.9')
    facts = PERTURBATIONS[kind]
    if text == kind:
        return [Perturbation(kind, level) for level in facts.levels]
    low, high = facts.limits
    try:
        level = float(given)
    except ValueError:
        level = math.nan
    if not low <= level <= high or (facts.whole and level % 1):
        numbers = 'a whole number' if facts.whole else 'a number'
        raise ValueError(f'{text}: expected {numbers} from {low:g} to {high:g} after {kind}_ ({facts.unit})')
    return [Perturbation(kind, level)]
