"""Generators that nobody trained: each decodes one photograph, with layers drawn at random.

A trained decoder takes minutes and is one sample of its design. Here every fake has a decoder of its own, in a fraction
of a second: the photograph is reduced by two, four or eight and grows again by up-sampling and random filters, and what
fine detail it lost is replaced by texture from features that pass random convolutions, noise and the same up-sampling:
at the end, or (half of those with several stages) after each, as StyleGAN2 adds to its image at every resolution. So
fakes share how they were made, but no weights.
"""

import math

import torch
from torch.nn import functional as F

from generators.layers import normal_like

OPERATORS = ('nearest', 'bilinear', 'bicubic', 'binomial', 'transposed', 'shuffle')
BLOCKY = ('nearest', 'transposed', 'shuffle')  # of these, generators learn to smooth the blocks
REDUCTIONS = ('area', 'bilinear', 'bicubic')
ACTIVATIONS = (F.relu, F.silu, torch.tanh, lambda x: F.leaky_relu(x, 0.2))
STAGES, STAGE_PROBABILITY = (1, 2, 3), (0.4, 0.35, 0.25)  # up-samplings by two
PERIOD = 2 ** STAGES[-1]  # pixels; sides must be multiples of it
UNEVEN = 0.003, 0.1  # size of the random part of weights that would otherwise treat all phases and colours alike


class Draws:
    """Random numbers of one decoder. rng: numpy generator; the weights come from a torch generator that it seeds."""

    def __init__(self, rng):
        self.rng = rng
        self.torch = torch.Generator().manual_seed(int(rng.integers(2**62)))

    def between(self, low, high):
        return self.rng.uniform(low, high)

    def choose(self, things, p=None):
        return things[self.rng.choice(len(things), p=p)]

    def happens(self, probability):
        return self.rng.random() < probability

    def weights(self, outside, inside, side):
        """(outside, inside, side, side), so that features of unit variance stay so."""
        return torch.randn(outside, inside, side, side, generator=self.torch) / math.sqrt(inside * side**2)


def _pad(x, width=1):
    return F.pad(x, (width,) * 4, mode='reflect')


def _conv(x, weights):
    return F.conv2d(_pad(x, weights.shape[-1] // 2), weights)


def _mean(x, side):
    return F.avg_pool2d(_pad(x, side // 2), side, 1)


def fine_detail(x):
    """What a 3 x 3 mean takes away; (N, C, H, W) -> the same shape."""
    return x - _mean(x, 3)


def upsample(x, operator, draws, uneven):
    """Twice the sides by one of OPERATORS: (N, C, H, W) -> (N, C, 2H, 2W), brightness kept.

    'binomial' is zero insertion and the filter 1 3 3 1 (StyleGAN2). 'transposed' (kernels of 2 to 5) and 'shuffle' are
    even, plus random weights in proportion to `uneven`.
    """
    channels = x.shape[1]
    if operator == 'nearest':
        return F.interpolate(x, scale_factor=2)
    if operator in ('bilinear', 'bicubic'):
        return F.interpolate(x, scale_factor=2, mode=operator)
    if operator == 'shuffle':
        weights = torch.zeros(4 * channels, channels, 3, 3)
        weights[range(4 * channels), [place // 4 for place in range(4 * channels)], 1, 1] = 1
        return F.pixel_shuffle(_conv(x, weights + uneven * draws.weights(*weights.shape[:3])), 2)
    line = torch.tensor([1.0, 3, 3, 1])
    if operator == 'transposed':
        side = int(draws.choose((2, 3, 4, 5)))
        line = torch.ones(side) if side != 4 else line
        overlap = torch.stack([line[phase::2].sum() for phase in (0, 1)])
        line = line / overlap.repeat(3)[: len(line)]
    kernel = torch.outer(line, line)
    kernel = kernel * 4 / kernel.sum()
    weights = kernel.expand(channels, 1, -1, -1)
    if operator == 'transposed':
        drawn = torch.randn(weights.shape, generator=draws.torch)
        weights = weights + 3 * uneven * kernel.mean() * drawn
    wide = F.conv_transpose2d(_pad(x), weights, stride=2, groups=channels)
    first = (wide.shape[-1] - 2 * x.shape[-1]) // 2
    return wide[..., first : first + 2 * x.shape[-2], first : first + 2 * x.shape[-1]]


def _smooth(x, draws):
    """Take the blocks of up-sampling away, more or less, and sharpen what is left."""
    x = torch.lerp(x, _mean(x, 3), draws.between(0.5, 1))
    return x + draws.between(0, 1) * fine_detail(x)


def _block(features, draws, activation):
    channels, noisy = features.shape[1], features
    if draws.happens(0.4):  # one map of noise for all channels, as in StyleGAN
        noisy = features + draws.between(0, 0.3) * normal_like(features[:, :1], draws.torch)
    mixed = _conv(noisy, math.sqrt(2) * draws.weights(channels, channels, 3))
    features = 0.5 * features + activation(mixed)
    return 0.5 * features / (features.std((2, 3), keepdim=True) + 0.05)


def decode(image, operator, draws):
    """Reduce an image and let it grow again: (N, 3, H, W) in [-1, 1] -> (base (N, 3, H, W), which lost detail;
    features (N, 8 or 16, H, W) that went the same way)."""
    stages, channels = draws.choose(STAGES, p=STAGE_PROBABILITY), draws.choose((8, 16))
    activation, uneven = draws.choose(ACTIVATIONS), math.exp(draws.between(*map(math.log, UNEVEN)))
    reduced, at_every_stage = [image], draws.happens(0.5)
    for _ in range(stages):
        mode = draws.choose(REDUCTIONS)
        more = {} if mode == 'area' else {'antialias': True}
        reduced.append(F.interpolate(reduced[-1], scale_factor=0.5, mode=mode, **more))
    base = reduced.pop()
    noise = normal_like(base[:, :1].expand(-1, channels - 6, -1, -1), draws.torch)
    features = torch.cat([base, 3 * fine_detail(base), draws.between(0, 0.5) * noise], 1)
    for target in reversed(reduced):
        own = operator if draws.happens(0.8) else draws.choose(OPERATORS)
        base, features = upsample(torch.cat([base, features], 1), own, draws, uneven).split([3, channels], 1)
        if own in BLOCKY and draws.happens(0.9):
            base = _smooth(base, draws)
        for _ in range(draws.choose((1, 2, 3))):
            features = _block(features, draws, activation)
        if at_every_stage and target is not image:
            base = with_texture(base, features, target, draws)
    base = base + draws.between(0, 1.5) * fine_detail(base)
    last = 0.2 * uneven * math.sqrt(27) * draws.weights(3, 3, 3)
    last[range(3), range(3), 1, 1] += 1
    return _conv(base, last), features


def texture(features, image, missing, draws):
    """Fine detail out of the features, as strong as the image's own around each place, of a mean energy `missing`
    (N, 1, 1, 1); (N, 3, H, W)."""
    weights, grey = draws.weights(3, features.shape[1], 3), draws.between(0.3, 1)
    weights = (1 - grey) * weights + grey * math.sqrt(3) * weights.mean(0, keepdim=True)  # detail is nearly grey
    strength = _mean(fine_detail(image).abs().mean(1, keepdim=True), 7)
    drawn = fine_detail(_conv(features, weights)) * (strength + 0.002)
    return drawn * (missing / (fine_detail(drawn).square().mean((1, 2, 3), keepdim=True) + 1e-8)).sqrt()


def with_texture(base, features, image, draws, strength=1.0):
    """`base` and so much texture that its fine detail is `strength` times the image's in size; all (N, C, H, W)."""
    wanted, had = (fine_detail(x).square().mean((1, 2, 3), keepdim=True) for x in (image, base))
    wanted = wanted * strength**2
    return base + texture(features, image, torch.maximum(wanted - had, 0.01 * wanted), draws)


@torch.inference_mode()
def redo_at_random(tile, rng):
    """Pass a real tile through a random decoder.

    Args:
        tile: (H, W, 3) uint8, sides multiples of PERIOD, at least twice that; rng: numpy generator.
    Returns:
        (operator, (H, W, 3) uint8).
    Raises:
        ValueError: other sides.
    """
    if any(side % PERIOD or side < 2 * PERIOD for side in tile.shape[:2]):
        raise ValueError(f'sides {tile.shape[:2]}: expected multiples of {PERIOD}, at least {2 * PERIOD}')
    draws = Draws(rng)
    operator = draws.choose(OPERATORS)
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    base, features = decode(image, operator, draws)
    fake = with_texture(base, features, image, draws, draws.between(0.4, 1.2))
    if draws.happens(0.3):
        fake = torch.tanh(1.1 * fake)
    return operator, ((fake[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
