"""Generators that nobody trained: all layers random, the last one fitted to the photograph that it decodes.

A trained decoder takes minutes and is one sample of its design. Here every fake has a decoder of its own, in a fraction
of a second: features pass a random bottleneck, random convolutions, one to three up-samplings by two, and a last
convolution that ridge regression finds (random features with a fitted read-out: Huang et al., Neurocomputing 2006).
What the fit cannot know is, in most fakes, replaced by texture from the same features, so that blur does not tell all.
"""

import math

import torch
from torch.nn import functional as F

from generators.layers import normal_like

OPERATORS = ('nearest', 'bilinear', 'binomial', 'transposed', 'shuffle')
ACTIVATIONS = (F.relu, F.silu, F.gelu, lambda x: F.leaky_relu(x, 0.2))
STAGES, STAGE_PROBABILITY = (1, 2, 3), (0.35, 0.4, 0.25)  # up-samplings by two
PERIOD = 2 ** STAGES[-1]  # pixels; sides must be multiples of it
RIDGE = 1e-3  # of the mean squared feature
FITTED = 6_000  # pixels that the last layer is fitted to


class Draws:
    """Random numbers of one decoder. rng: numpy generator; the weights come from a torch generator that it seeds."""

    def __init__(self, rng):
        self.rng = rng
        self.torch = torch.Generator().manual_seed(int(rng.integers(2**62)))

    def between(self, low, high):
        return self.rng.uniform(low, high)

    def choose(self, things, p=None):
        return things[self.rng.choice(len(things), p=p)]

    def weights(self, outside, inside, side):
        """(outside, inside, side, side), so that features of unit variance stay so."""
        return torch.randn(outside, inside, side, side, generator=self.torch) / math.sqrt(inside * side**2)


def _pad(x, width=1):
    return F.pad(x, (width,) * 4, mode='reflect')


def _conv(x, weights):
    return F.conv2d(_pad(x, weights.shape[-1] // 2), weights)


def _unit(x):
    return x / (x.square().mean((1, 2, 3), keepdim=True) + 1e-4).sqrt()


def fine_detail(x):
    """What a 3 x 3 mean takes away; (N, C, H, W) -> the same shape."""
    return x - F.avg_pool2d(_pad(x), 3, 1)


def upsample(x, operator, draws):
    """Twice the sides by one of OPERATORS: (N, C, H, W) -> (N, C, 2H, 2W). 'transposed' and 'shuffle' draw weights;
    'binomial' is zero insertion and the filter 1 3 3 1 (StyleGAN2)."""
    channels = x.shape[1]
    if operator in ('nearest', 'bilinear'):
        return F.interpolate(x, scale_factor=2, mode=operator)
    if operator == 'binomial':
        line = torch.tensor([1.0, 3, 3, 1]) / 4
        kernel = torch.outer(line, line).expand(channels, 1, 4, 4)
        return F.conv_transpose2d(_pad(x), kernel, stride=2, groups=channels)[..., 3:-3, 3:-3]
    if operator == 'shuffle':
        return F.pixel_shuffle(_conv(x, draws.weights(4 * channels, channels, 3)), 2)
    side = int(draws.choose((2, 3, 4, 4, 5)))
    wide = F.conv_transpose2d(_pad(x), 2 * draws.weights(channels, channels, side), stride=2)
    first = (wide.shape[-1] - 2 * x.shape[-1]) // 2
    return wide[..., first : first + 2 * x.shape[-2], first : first + 2 * x.shape[-1]]


def _block(x, draws, activation):
    return x + draws.between(0.4, 1.4) * _conv(activation(_unit(x)), draws.weights(x.shape[1], x.shape[1], 3))


def random_features(image, operator, draws):
    """Features of a decoder at full resolution: (N, 3, H, W) in [-1, 1] -> (N, 16 to 32, H, W)."""
    stages = draws.choose(STAGES, p=STAGE_PROBABILITY)
    width, activation = draws.choose((16, 24, 32)), draws.choose(ACTIVATIONS)
    pieces = F.pixel_unshuffle(image, 2**stages)
    kept = max(3, int(pieces.shape[1] * math.exp(draws.between(math.log(0.1), math.log(0.7)))))  # of the bottleneck
    coarse = _conv(pieces, draws.weights(kept, pieces.shape[1], 1))
    coarse = coarse + draws.between(0, 0.15) * coarse.std() * normal_like(coarse, draws.torch)
    coarse = torch.cat([F.avg_pool2d(image, 2**stages), coarse], 1)
    x = _conv(coarse, draws.weights(max(width, min(kept + 3, 64)), kept + 3, draws.choose((1, 3))))
    for _ in range(draws.choose((0, 1, 2))):
        x = _block(x, draws, activation)
    for _ in range(stages):
        x = upsample(x, operator, draws)
        if draws.between(0, 1) < 0.4:  # noise of each stage, as in StyleGAN: one map, a strength for each channel
            noise, strength = normal_like(x[:, :1], draws.torch), draws.weights(1, x.shape[1], 1) * x.shape[1] ** 0.5
            x = x + draws.between(0, 0.4) * x.std() * strength * noise
        if x.shape[1] > width:
            x = _conv(x, draws.weights(width, x.shape[1], 3))
        for _ in range(draws.choose((1, 2, 3))):
            x = _block(x, draws, activation)
    return activation(_unit(x))


def fit_last_layer(features, image, draws):
    """The image that a 3 x 3 or 1 x 1 convolution with bias makes of the features, fitted by ridge regression;
    (N, C, H, W) and (N, 3, H, W) -> (N, 3, H, W). A single pixel cannot mend what up-sampling left behind."""
    side = draws.choose((1, 3))
    patches = F.unfold(_pad(features, side // 2), side).transpose(1, 2).flatten(0, 1)
    chosen = torch.randperm(len(patches), generator=draws.torch)[:FITTED]
    seen = torch.cat([patches[chosen], torch.ones(len(chosen), 1)], 1).double()  # 32 bits would do, but barely
    gram = seen.T @ seen
    gram += RIDGE * gram.trace() / len(gram) * torch.eye(len(gram), dtype=gram.dtype)
    wanted = image.permute(0, 2, 3, 1).reshape(-1, 3)[chosen].double()
    weights = torch.linalg.solve(gram, seen.T @ wanted).float()
    kernel = weights[:-1].T.reshape(3, features.shape[1], side, side)
    return F.conv2d(_pad(features, side // 2), kernel, weights[-1])


def texture(features, image, missing, draws):
    """Fine detail out of the features, as strong as the image's own around each place, of a mean energy `missing`
    (N, 1, 1, 1); (N, 3, H, W)."""
    weights, grey = draws.weights(3, features.shape[1], 3), draws.between(0.5, 1)
    weights = (1 - grey) * weights + grey * math.sqrt(3) * weights.mean(0, keepdim=True)  # detail is nearly grey
    strength = F.avg_pool2d(_pad(fine_detail(image).abs().mean(1, keepdim=True), 3), 7, 1)
    drawn = fine_detail(_conv(features, weights)) * (strength + 0.002)
    return drawn * (missing.clamp_min(0) / (fine_detail(drawn).square().mean((1, 2, 3), keepdim=True) + 1e-8)).sqrt()


@torch.inference_mode()
def redo_at_random(tile, rng):
    """Pass a real tile through a random decoder.

    Args:
        tile: (H, W, 3) uint8, sides multiples of PERIOD; rng: numpy generator.
    Returns:
        (operator, (H, W, 3) uint8).
    Raises:
        ValueError: other sides.
    """
    if tile.shape[0] % PERIOD or tile.shape[1] % PERIOD:
        raise ValueError(f'sides {tile.shape[:2]}: expected multiples of {PERIOD}')
    draws = Draws(rng)
    operator = draws.choose(OPERATORS)
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    features = random_features(image, operator, draws)
    fake = fit_last_layer(features, image, draws)
    if draws.between(0, 1) < 0.7:
        wanted, had = (fine_detail(x).square().mean((1, 2, 3), keepdim=True) for x in (image, fake))
        fake = fake + texture(features, image, wanted * draws.between(0.4, 1.3) ** 2 - had, draws)
    return operator, ((fake[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
