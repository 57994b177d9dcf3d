"""Small generators whose last stage is a known up-sampling: I = conv(up(x)) (NPR paper, Eq. 3).

Each one encodes a photograph to a coarse, noisy feature map and decodes it again, so that fake and real
share their content and differ in the origin of their pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from util.errors import UserError
from util.files import atomic_path

WEIGHTS = Path(__file__).parent / 'weights'


@dataclass(frozen=True)
class DecoderSpec:
    """What identifies a decoder: its up-sampling operator, its factor, the feature widths."""

    operator: str  # nearest, bilinear, transposed, shuffle, or none (the factor-1 control)
    factor: int
    latent: int  # channels that cross the bottleneck
    width: int = 32


DECODERS = {
    'nearest_x2': DecoderSpec('nearest', 2, latent=8),
    'bilinear_x2': DecoderSpec('bilinear', 2, latent=8),
    'transposed_x2': DecoderSpec('transposed', 2, latent=8),
    'shuffle_x2': DecoderSpec('shuffle', 2, latent=8),
    'nearest_x4': DecoderSpec('nearest', 4, latent=32, width=48),
    'factor1': DecoderSpec('none', 1, latent=4, width=16),
}


def _conv(inside, outside):
    # Reflection, because zero padding would darken the border of every fake: a cue that is not up-sampling.
    return nn.Conv2d(inside, outside, 3, padding=1, padding_mode='reflect')


class Noise(nn.Module):
    """Adds Gaussian noise with a learned strength per channel (as StyleGAN does), so texture needs no blur."""

    def __init__(self, channels, strength):
        super().__init__()
        self.strength = nn.Parameter(torch.full((channels, 1, 1), strength))

    def forward(self, x, generator):
        return x + self.strength * torch.randn(x.shape, generator=generator, device=x.device)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width)

    def forward(self, x):
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


def _upsampler(spec):
    """`spec.width` channels in and out, `spec.factor` times larger."""
    width, factor = spec.width, spec.factor
    if spec.operator == 'none':
        return nn.Identity()
    if spec.operator == 'nearest':
        return nn.Upsample(scale_factor=factor, mode='nearest')
    if spec.operator == 'bilinear':
        return nn.Upsample(scale_factor=factor, mode='bilinear', align_corners=False)
    if spec.operator == 'transposed':
        return nn.ConvTranspose2d(width, width, 2 * factor, factor, factor // 2)
    if spec.operator == 'shuffle':
        return nn.Sequential(nn.Conv2d(width, width * factor**2, 1), nn.PixelShuffle(factor))
    raise ValueError(f'unknown up-sampling operator {spec.operator!r}')


class Decoder(nn.Module):
    """Encoder to 1/factor, noise, up-sampling, convolutional tail.

    forward(image, generator=None): image (N, 3, H, W) in [-1, 1], H and W multiples of the factor; returns
    the same shape, about [-1, 1]. `generator` makes the injected noise repeatable.
    """

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        width = spec.width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(spec.factor),
            _conv(3 * spec.factor**2, width),
            Residual(width),
            Residual(width),
            _conv(width, spec.latent),
        )
        self.coarse_noise = Noise(spec.latent, 0.1)
        self.synthesis = nn.Sequential(_conv(spec.latent, width), Residual(width), Residual(width))
        self.up = _upsampler(spec)
        self.tail_in = _conv(width, 24)
        self.fine_noise = Noise(24, 0.02)
        self.tail = nn.Sequential(nn.LeakyReLU(0.2), _conv(24, 24), nn.LeakyReLU(0.2), _conv(24, 3))

    def forward(self, image, generator=None):
        coarse = self.coarse_noise(self.encoder(image), generator)
        fine = self.fine_noise(self.tail_in(self.up(self.synthesis(coarse))), generator)
        return self.tail(fine)


def save_decoder(decoder, path):
    """Write the weights as 16-bit floats (half the size; the benchmark is made from these very numbers)."""
    state = {name: value.half() for name, value in decoder.state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_decoder(name, folder=WEIGHTS):
    """The shipped decoder `name` in evaluation mode.

    Raises:
        UserError: unknown name, or its weights are missing or do not fit.
    """
    if name not in DECODERS:
        raise UserError(f'unknown decoder {name!r}; known: {", ".join(DECODERS)}')
    path = Path(folder) / f'{name}.pth'
    if not path.is_file():
        raise UserError(
            f'{path}: no weights for decoder {name}; train it: python -m generators.train --decoders {name}'
        )
    decoder = Decoder(DECODERS[name])
    decoder.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
    return decoder.eval()


@torch.inference_mode()
def decode_tiles(decoder, tiles, seed, description=None):
    """Pass real tiles through a decoder.

    Args:
        decoder: Decoder on the CPU.
        tiles: (n, H, W, 3) uint8, H and W multiples of the factor.
        seed: list of int; with the index of the tile it fixes the injected noise.
        description: text of the progress bar, or None for no bar.
    Returns:
        (n, H, W, 3) uint8.
    """
    decoder = decoder.to(memory_format=torch.channels_last)
    fakes = np.empty_like(tiles)
    for i, tile in enumerate(tqdm(tiles, desc=description, unit='image', disable=description is None, leave=False)):
        image = torch.from_numpy(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1  # channels last by its strides
        draw = int(np.random.default_rng([*seed, i]).integers(2**62))
        fake = decoder(image, torch.Generator().manual_seed(draw))
        fakes[i] = ((fake[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    return fakes
