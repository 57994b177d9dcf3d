"""Building blocks of the generators: convolutions without dark borders, injected noise, up-sampling operators."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def conv(inside, outside, dilation=1):
    """3 x 3 convolution, same size; reflection, because zero padding would darken the border of every fake."""
    return nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation, padding_mode='reflect')


class Noise(nn.Module):
    """Gaussian noise whose strength is predicted for each channel and place: (N, C, H, W) features -> the same shape.

    StyleGAN learns one strength per channel; then noise has to be as strong in a clear sky as in grass. Strengths stay
    positive and begin large: energy grows with their square, so that from near zero nothing would lead back.
    """

    def __init__(self, channels, strength):
        super().__init__()
        self.strength = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.strength.weight)
        nn.init.constant_(self.strength.bias, math.log(math.expm1(strength)))  # softplus gives it back

    def forward(self, x, generator):
        return F.softplus(self.strength(x)) * normal_like(x, generator)


def normal_like(x, generator):
    """Standard normal numbers in the shape of x; `generator` makes them repeatable, None draws from the global one."""
    return torch.randn(x.shape, generator=generator, device=x.device)


class Residual(nn.Module):
    def __init__(self, width, dilation=1):
        super().__init__()
        self.first, self.second = conv(width, width, dilation), conv(width, width)

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
    """What follows the last up-sampling; (N, width, H, W) -> (N, 3, H, W).

    A convolution, `depth` residual blocks, noise, two convolutions. The blocks are dilated by 2^(depth - 1), ..., 2, 1:
    after nearest up-sampling by 2^depth all pixels of a block are alike, and each dilation tells the halves of what is
    alike apart, as stages of 2 would. Without dilation the middle of a block stays flat. Each pixel sees
    2^depth + depth + 2 pixels on each side.
    The noise also reaches the image by one convolution alone: behind non-linear layers a training learns to ignore it.
    """

    def __init__(self, width, depth):
        super().__init__()
        inner = 32  # not 24: oneDNN's bf16 gradient of dilated convolutions needs multiples of 16 (torch 2.14)
        self.body = nn.Sequential(conv(width, inner), *(Residual(inner, 2**level) for level in reversed(range(depth))))
        self.noise = Noise(inner, 0.1)
        self.last = nn.Sequential(nn.LeakyReLU(0.2), conv(inner, inner), nn.LeakyReLU(0.2), conv(inner, 3))
        self.grain = conv(inner, 3)
        with (
            torch.no_grad()
        ):  # begins grey, as the finest detail of photographs is; coloured noise would soon be unlearned
            self.grain.weight.copy_(self.grain.weight[:1].clone())

    def forward(self, x, generator):
        x = self.body(x)
        noise = self.noise(x, generator)
        x = self.last[:-1](x + noise)
        with torch.autocast(x.device.type, enabled=False):  # 8 bits would add noise of a grey level to the image
            return self.last[-1](x.float()) + self.grain(noise.float())
