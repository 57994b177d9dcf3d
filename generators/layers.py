"""Building blocks of the generators: convolutions without dark borders, injected noise, up-sampling operators."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inside, outside):
    """3 x 3 convolution, same size; reflection, because zero padding would darken the border of every fake."""
    return nn.Conv2d(inside, outside, 3, padding=1, padding_mode='reflect')


class Noise(nn.Module):
    """Adds Gaussian noise with a learned strength per channel (as StyleGAN does), so texture needs no blur."""

    def __init__(self, channels, strength):
        super().__init__()
        self.strength = nn.Parameter(torch.full((channels, 1, 1), strength))

    def forward(self, x, generator):
        return x + self.strength * normal_like(x, generator)


def normal_like(x, generator):
    """Standard normal numbers in the shape of x; `generator` makes them repeatable, None draws from the global one."""
    return torch.randn(x.shape, generator=generator, device=x.device)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x):
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


def upsampler(operator, factor, width):
    """`width` channels in and out, `factor` times larger.

    operator: 'nearest', 'bilinear', 'transposed' (kernel of twice the stride), 'transposed3' (kernel 3, stride 2: the
    checkerboard of Odena et al., 2016), 'shuffle', or 'none' (factor 1).
    """
    if operator == 'none':
        return nn.Identity()
    if operator == 'nearest':
        return nn.Upsample(scale_factor=factor, mode='nearest')
    if operator == 'bilinear':
        return nn.Upsample(scale_factor=factor, mode='bilinear', align_corners=False)
    if operator == 'transposed':
        return nn.ConvTranspose2d(width, width, 2 * factor, factor, factor // 2)
    if operator == 'transposed3' and factor == 2:
        return nn.ConvTranspose2d(width, width, 3, 2, 1, output_padding=1)
    if operator == 'shuffle':
        return nn.Sequential(nn.Conv2d(width, width * factor**2, 1), nn.PixelShuffle(factor))
    raise ValueError(f'unknown up-sampling operator {operator!r} with factor {factor}')


class Tail(nn.Module):
    """What follows the last up-sampling: three convolutions and fine noise; (N, width, H, W) -> (N, 3, H, W)."""

    def __init__(self, width, inner=24):
        super().__init__()
        self.tail_in = conv(width, inner)
        self.fine_noise = Noise(inner, 0.02)
        self.tail = nn.Sequential(nn.LeakyReLU(0.2), conv(inner, inner), nn.LeakyReLU(0.2), conv(inner, 3))

    def forward(self, x, generator):
        x = self.tail[:-1](self.fine_noise(self.tail_in(x), generator))
        with torch.autocast(x.device.type, enabled=False):  # 8 bits would add noise of a grey level to the image
            return self.tail[-1](x.float())
