"""What generators are trained with beside the pixels: a judge, statistics of contrast and colours, a ban on grids."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

OFFSETS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 4), (4, 0))  # rows, columns
HALF_GREY = 0.004  # half a grey level of 255 on the scale from -1 to 1; smaller differences are rounded away


class PatchDiscriminator(nn.Sequential):
    """Hinge PatchGAN discriminator; (N, 3, H, W) -> (N, 1, H/4, W/4) logits, > 0 = looks real."""

    def __init__(self, width=16):
        act = nn.LeakyReLU(0.2)
        super().__init__(
            spectral_norm(nn.Conv2d(3, width, 3, padding=1)),
            act,
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            act,
            spectral_norm(nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1)),
            act,
            spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1)),
        )


def differences(image):
    """What contrast is measured on: differences at OFFSETS, the mixed one, the Laplacian, [(N, 6, about H, about W)].

    The mixed one is what a plane through three neighbours leaves of a pixel, which is nearly what PNG compresses.

    The six channels are the colours, brightness and two colour differences, because noise that is as strong in each
    colour but correlated otherwise between them still looks (and compresses) differently.
    """
    red, green, blue = image.unbind(1)
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    image = torch.stack([red, green, blue, brightness, red - green, blue - green], 1)
    height, width = image.shape[-2:]
    found = [image[..., down:, right:] - image[..., : height - down, : width - right] for down, right in OFFSETS]
    mixed = found[0].diff(dim=-2)
    laplacian = 4 * image[..., 1:-1, 1:-1] - image[..., :-2, 1:-1] - image[..., 2:, 1:-1]
    return [*found, mixed, laplacian - image[..., 1:-1, :-2] - image[..., 1:-1, 2:]]


def contrast_statistics(image, window):
    """Log mean absolute, log root mean square and mean log of `differences` in windows.

    The first two are the autocorrelation at short lags, so matching them matches the fine end of the spectrum; the
    third is about the bits that a difference takes, so matching it matches how well the image compresses.

    (N, 3, H, W) -> (N, 6, H / window, W / window, 3 * len(OFFSETS) + 6).
    """
    cells = [side // window for side in image.shape[-2:]]
    found = []
    for values in differences(image):
        size = values.abs()
        found.append(F.adaptive_avg_pool2d(size, cells).add(HALF_GREY).log())
        found.append(F.adaptive_avg_pool2d(size.square(), cells).add(1e-6).sqrt().add(HALF_GREY).log())
        found.append(F.adaptive_avg_pool2d(size.add(HALF_GREY).log(), cells))
    return torch.stack(found, -1)


def contrast_energy(images):
    """Log root mean square of `differences` over a whole batch, where the roughest images count most.

    (N, 3, H, W) -> (len(OFFSETS) + 2, 6).
    """
    return torch.stack([values.square().mean((0, 2, 3)).add(1e-6).log() / 2 for values in differences(images)])


def colour_statistics(image, window):
    """Means of red, green, blue and saturation, and deviations of the three colours, in windows.

    A cast, or a loss of colour or contrast, would give fakes away.

    (N, 3, H, W) -> (N, 7, H / window, W / window).
    """
    colours = (image + 1) / 2
    most = colours.amax(1)
    saturation = (most - colours.amin(1)) / most.clamp(min=0.02)
    means = F.avg_pool2d(torch.cat([colours, saturation[:, None]], 1), window)
    variances = F.avg_pool2d(colours.square(), window) - means[:, :3].square()
    return torch.cat([means, variances.clamp(min=0).add(1e-4).sqrt()], 1)


def distance(fake, real, full):
    """Mean absolute difference of images at half size, and of the images with the smaller weight `full`.

    Relative to the roughness of each photograph: otherwise rough ones, where most is lost, would be smoothed most.
    """
    roughness = (real.diff(dim=2).abs().mean((1, 2, 3)) + real.diff(dim=3).abs().mean((1, 2, 3))) / 2
    difference = fake - real
    means = [each.abs().mean((1, 2, 3)) for each in (F.avg_pool2d(difference, 2), difference)]
    return ((means[0] + full * means[1]) / (roughness + 0.05)).mean()


def grid_planes(image, period, window):
    """Mean of the Laplacian at each position of a period x period block, in windows.

    (N, 3, H, W) -> (2, N, 3, H / window, W / window, period, period): signed means, and means of absolute values.
    """
    padded = F.pad(image, (1, 1, 1, 1), mode='reflect')
    laplacian = (
        4 * image - padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1] - padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    )
    blocks = torch.stack([laplacian, laplacian.abs()]).unfold(3, window, window).unfold(4, window, window)
    return blocks.unflatten(6, (-1, period)).unflatten(5, (-1, period)).mean((5, 7))


def grid_strength(image, period, window):
    """How much of a grid each window shows: log deviation over the positions of both means of `grid_planes`.

    A grid that the eye can see is a pattern that keeps its sign over a neighbourhood, or texture that is stronger at
    some positions than at others. Texture has some of both by chance, so photographs set the measure; to ask for the
    photograph's own means instead would forbid all noise.

    (N, 3, H, W) -> (2, N, 3, H / window, W / window).
    """
    return grid_planes(image, period, window).var((-2, -1), correction=0).add(1e-5).log() / 2


def common_grid(images, period):
    """The grid that the images of a batch have in common, as `grid_strength` of their mean: chance averages out.

    (N, 3, H, W) -> (2, 3).
    """
    planes = grid_planes(images, period, images.shape[-1]).mean(1)
    return planes.var((-2, -1), correction=0).add(1e-6).log().flatten(1) / 2
