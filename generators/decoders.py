"""Small generators whose last stage is a known up-sampling: I = conv(up(x)) (NPR paper, Eq. 3).

Each one encodes a photograph to a coarse, noisy feature map and decodes it again, so that fake and real
share their content and differ in the origin of their pixels.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from generators.diffusion import LatentGenerator, PixelDiffusion
from generators.layers import Noise, Residual, Tail, conv, upsampler
from util.errors import UserError
from util.files import atomic_path

WEIGHTS = Path(__file__).parent / 'weights'


@dataclass(frozen=True)
class DecoderSpec:
    """What identifies a generator: its kind, up-sampling operator, factor, feature widths.

    kind: 'decoder' (one up-sampling by the whole factor), 'pixel' (a U-Net that denoises pixels), 'latent' (latent
    diffusion) or 'quantised'. latent: channels that cross the bottleneck. coarse: channels of the layers
    at 1/factor around it, of 'latent' and 'quantised' (others have `width`). steps, lr: defaults of a training.
    """

    operator: str
    factor: int
    latent: int
    width: int = 32
    kind: str = 'decoder'
    coarse: int = 48
    steps: int = 1500
    lr: float = 2e-3

    @property
    def family(self):
        if self.factor == 1:
            return 'control'
        return 'gan' if self.kind == 'decoder' else 'diffusion'


DECODERS = {
    'nearest_x2': DecoderSpec('nearest', 2, latent=8),
    'bilinear_x2': DecoderSpec('bilinear', 2, latent=8),
    'transposed_x2': DecoderSpec('transposed', 2, latent=8),
    'transposed3_x2': DecoderSpec('transposed3', 2, latent=8),
    'shuffle_x2': DecoderSpec('shuffle', 2, latent=8),
    'nearest_x4': DecoderSpec('nearest', 4, latent=32, width=48, steps=2000),
    'bilinear_x4': DecoderSpec('bilinear', 4, latent=32, width=48, steps=2000),
    'transposed_x4': DecoderSpec('transposed', 4, latent=32, width=48, steps=2000),
    'shuffle_x4': DecoderSpec('shuffle', 4, latent=32, width=48, steps=2000),
    'nearest_x8': DecoderSpec('nearest', 8, latent=96, width=64, steps=2500, lr=1e-3),
    'pixel_nearest': DecoderSpec('nearest', 4, latent=0, width=24, kind='pixel', steps=1800),
    'pixel_transposed': DecoderSpec('transposed', 4, latent=0, width=24, kind='pixel', steps=1800),
    'latent_f4': DecoderSpec('nearest', 4, latent=32, width=24, kind='latent', steps=3200, lr=1.5e-3),
    'latent_f8': DecoderSpec('nearest', 8, latent=96, width=24, kind='latent', coarse=96, steps=4000, lr=1e-3),
    'quantised_f4': DecoderSpec('nearest', 4, latent=32, width=24, kind='quantised', steps=3400, lr=1.5e-3),
    'factor1': DecoderSpec('none', 1, latent=4, width=16, steps=1200),
}
KINDS = {'pixel': PixelDiffusion, 'latent': LatentGenerator, 'quantised': LatentGenerator}


def create_decoder(spec):
    """The network that a spec describes, with fresh weights."""
    return KINDS.get(spec.kind, Decoder)(spec)


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
            conv(3 * spec.factor**2, width),
            Residual(width),
            Residual(width),
            conv(width, spec.latent),
        )
        self.coarse_noise = Noise(spec.latent, 0.1)
        self.synthesis = nn.Sequential(conv(spec.latent, width), Residual(width), Residual(width))
        self.up = upsampler(spec.operator, spec.factor, width)
        self.tail = Tail(width, spec.factor.bit_length() - 1)

    def forward(self, image, generator=None):
        coarse = self.encoder(image)
        coarse = coarse + self.coarse_noise(coarse, generator)
        return self.tail(self.up(self.synthesis(coarse)), generator)

    def extra_loss(self):
        return 0.0


def save_decoder(decoder, path):
    """Write the weights as 16-bit floats (half the size; the benchmark is made from these very numbers)."""
    state = {name: value.half() for name, value in decoder.state_dict().items()}
    buffer = io.BytesIO()  # torch writes the name of a file into it
    torch.save(state, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def weights_file(name, seed=0, folder=WEIGHTS):
    """Where the weights of a generator are; each seed is another training of the same design."""
    return Path(folder) / (f'{name}_seed{seed}.pth' if seed else f'{name}.pth')


def load_decoder(name, folder=WEIGHTS, seed=0):
    """The shipped decoder `name` in evaluation mode.

    Raises:
        UserError: unknown name, or its weights are missing or do not fit.
    """
    if name not in DECODERS:
        raise UserError(f'unknown decoder {name!r}; known: {", ".join(DECODERS)}')
    path = weights_file(name, seed, folder)
    if not path.is_file():
        raise UserError(
            f'{path}: no weights for decoder {name}; '
            f'train it: python -m generators.train --decoders {name} --seed {seed} --out {folder}'
        )
    decoder = create_decoder(DECODERS[name])
    try:
        decoder.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError... on damaged or foreign files
        raise UserError(
            f'{path}: not the weights of {name} ({" ".join(str(error).split()):.120}); train it anew'
        ) from error
    return decoder.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def decode_tile(decoder, tile, seed):
    """Pass a real tile through a generator on the CPU.

    Args:
        tile: (H, W, 3) uint8, H and W multiples of the factor; seed: list of int that fixes the injected noise.
    Returns:
        (H, W, 3) uint8.
    """
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1  # channels last by its strides
    draw = int(np.random.default_rng(seed).integers(2**62))
    fake = decoder(image, torch.Generator().manual_seed(draw))
    return ((fake[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
