"""Reading one image file, and saying exactly what is wrong with it when it cannot be read."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from util.errors import UserError

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
MOST_PIXELS = 100_000_000  # larger files are taken for decompression bombs
# Judged by MOST_PIXELS instead; for good, because threads that load images cannot switch warnings off for themselves.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


def is_image(name):
    """Whether a file of this name counts as an image: a readable suffix, and not hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith('.')


class BadImage(UserError):
    """An image file that cannot be used; the message names the file and the reason."""


def as_rgb(image, name='image'):
    """An RGB PIL image of one of any mode: grey, palette and CMYK images are converted, alpha is dropped.

    Raises:
        BadImage: pixels of 32 bits.
    """
    if image.mode.startswith('I;16'):  # Pillow would clip 16-bit grey instead of scaling it
        grey = np.asarray(image).astype(np.uint32) * 255 // 65535
        return Image.fromarray(grey.astype(np.uint8)).convert('RGB')
    if image.mode in ('I', 'F'):
        raise BadImage(f'{name}: pixels of type {image.mode} (32 bits) have no known range; save it with 8 bits')
    return image.convert('RGB')


def load_rgb(path):
    """Decode a file into an RGB PIL image, as `as_rgb`; the orientation that EXIF may ask for is ignored.

    Raises:
        BadImage: missing, empty, truncated, not an image, or more than `MOST_PIXELS` pixels.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise BadImage(f'{path}: the file is empty (0 bytes)')
        image = Image.open(path)
        if image.width * image.height > MOST_PIXELS:
            raise BadImage(
                f'{path}: {image.width} x {image.height} pixels; more than {MOST_PIXELS:,} are taken for a '
                'decompression bomb. Reduce or remove the file.'
            )
        return as_rgb(image, path)
    except BadImage:
        raise
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, ValueError, struct.error...
        raise BadImage(f'{path}: cannot be decoded ({error}). Replace or remove the file.') from error


class BadImages:
    """What to do with unusable files: stop at the first, or count and name them at the end."""

    def __init__(self, policy):
        self.policy, self.messages = policy, {}

    def handle(self, failures):
        for message in failures:
            if self.policy == 'stop':
                raise UserError(f'{message}\n  (--on_bad_image skip leaves such files out and counts them)')
            self.messages[message] = None  # a dict, so that a file met in every epoch is named once

    def summary(self):
        """None, or lines that name the files left out."""
        if not self.messages:
            return None
        shown = [f'  {message}' for message in list(self.messages)[:20]]
        more = len(self.messages) - len(shown)
        return '\n'.join(
            [f'{len(self.messages)} bad images left out:', *shown, *([f'  ... and {more} more'] if more else [])]
        )
