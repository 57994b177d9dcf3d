"""Generators of the diffusion family, small and whole: noise is added and taken away in several stochastic steps.

In training mode `forward` returns an image that a loss against the photograph can act on, and leaves further terms of
the loss in `extra_loss`; in evaluation mode it generates.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from generators.layers import Noise, Residual, Tail, conv, normal_like, upsampler

PIXEL_SIGMAS = (0.3, 0.15, 0.07)  # noise before each step, in units of an image in [-1, 1]
GROUP, CODES = 2, 256  # channels that are quantised together, and entries of each group's codebook
LATENT_SIGMAS = (0.15, 0.08, 0.04)  # in units of the latent's standard deviation


def with_level(x, sigma):
    """Append a plane that tells the network the noise level; sigma: number or (N,)."""
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1, 1)
    return torch.cat([x, level.expand(len(x), 1, *x.shape[2:])], 1)


class PixelDiffusion(nn.Module):
    """A U-Net that denoises pixels (as DDPM does); each of its two decoder stages up-samples by 2.

    forward(image, generator=None): image (N, 3, H, W) in [-1, 1], H and W multiples of 4. Noises it to the first level,
    then alternates a prediction of the clean image and fresh noise of the next level; returns the last prediction.
    """

    def __init__(self, spec):
        super().__init__()
        self.spec, width = spec, spec.width
        self.enter = conv(4, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.PixelUnshuffle(2), conv(4 * inside, outside), Residual(outside))
            for inside, outside in ((width, 2 * width), (2 * width, 2 * width))
        )
        self.middle = Residual(2 * width)
        self.up = nn.ModuleList(upsampler(spec.operator, 2, 2 * width) for _ in range(2))
        self.merge = nn.ModuleList(
            nn.Sequential(conv(inside, outside), Residual(outside))
            for inside, outside in ((4 * width, 2 * width), (3 * width, width))
        )
        self.tail = Tail(width, depth=1)

    def denoise(self, x, sigma, generator=None):
        """The clean image, predicted from one with noise of that level."""
        high = self.enter(with_level(x, sigma))
        half = self.down[0](high)
        low = self.middle(self.down[1](half))
        low = self.merge[0](torch.cat([self.up[0](low), half], 1))
        return x + self.tail(self.merge[1](torch.cat([self.up[1](low), high], 1)), generator)

    def forward(self, image, generator=None):
        # In training one of the steps learns, on what those before it give: statistics of the last one are matched.
        learning = torch.randint(len(PIXEL_SIGMAS), ()).item() if self.training else len(PIXEL_SIGMAS) - 1
        with torch.no_grad():
            for sigma in PIXEL_SIGMAS[:learning]:
                image = self.denoise(image + sigma * normal_like(image, generator), sigma, generator)
        sigma = PIXEL_SIGMAS[learning]
        return self.denoise(image + sigma * normal_like(image, generator), sigma, generator)

    def extra_loss(self):
        return 0.0


class LatentDenoiser(nn.Module):
    """(N, C, h, w) with noise of level sigma -> the clean latent."""

    def __init__(self, channels, width=48):
        super().__init__()
        self.net = nn.Sequential(conv(channels + 1, width), Residual(width), Residual(width), conv(width, channels))

    def forward(self, x, sigma):
        return x + self.net(with_level(x, sigma))


class LatentGenerator(nn.Module):
    """An autoencoder whose decoder up-samples by 2 in each stage, and what happens to its latent in between.

    spec.kind 'latent': the latent is noised and denoised in stochastic steps (latent diffusion); 'quantised': every
    GROUP channels of each of its vectors are replaced by the nearest of a codebook (VQGAN, with a product code).
    forward(image, generator=None): image (N, 3, H, W) in [-1, 1], H and W multiples of the factor.
    """

    def __init__(self, spec):
        super().__init__()
        self.spec, width, coarse = spec, spec.width, spec.coarse
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(spec.factor),
            conv(3 * spec.factor**2, coarse),
            Residual(coarse),
            Residual(coarse),
            conv(coarse, spec.latent),
        )
        self.register_buffer('scale', torch.ones(()))  # running standard deviation of the latent
        if spec.kind == 'latent':
            self.denoiser = LatentDenoiser(spec.latent)
        else:
            self.codebook = nn.Parameter(torch.randn(spec.latent // GROUP, CODES, GROUP))
        self.start = nn.Sequential(conv(spec.latent, coarse), Residual(coarse), Residual(coarse))
        stages = spec.factor.bit_length() - 1
        widths = [coarse] + [2 * width] * (stages - 1) + [width]
        self.stages = nn.ModuleList(
            nn.Sequential(upsampler(spec.operator, 2, before), conv(before, after), Residual(after))
            for before, after in pairwise(widths)
        )
        self.noises = nn.ModuleList(Noise(after, 0.1) for after in widths[1:])  # texture of every scale
        self.tail = Tail(width, depth=1)
        self.extra = 0.0

    def forward(self, image, generator=None):
        latent = self.encoder(image).float()
        if self.training:
            with torch.no_grad():
                self.scale.lerp_(latent.std(), 0.01)
        latent = latent / self.scale
        changed = self.diffuse(latent, generator) if self.spec.kind == 'latent' else self.quantise(latent)
        x = self.start(latent + (changed - latent).detach())  # gradients reach the encoder past what happened
        for stage, noise in zip(self.stages, self.noises, strict=True):
            x = stage(x)
            x = x + noise(x, generator)
        return self.tail(x, generator)

    def diffuse(self, latent, generator):
        """Noise to the first level, then predictions of the clean latent and fresh noise in turn."""
        clean = latent.detach()
        if self.training:
            levels = torch.tensor(LATENT_SIGMAS, device=clean.device)
            sigma = levels[torch.randint(len(levels), (len(clean),), device=clean.device)]
            noisy = clean + sigma.reshape(-1, 1, 1, 1) * normal_like(clean, generator)
            self.extra = F.mse_loss(self.denoiser(noisy, sigma).float(), clean)
        with torch.no_grad():
            for sigma in LATENT_SIGMAS:
                clean = self.denoiser(clean + sigma * normal_like(clean, generator), sigma)
        return clean

    def quantise(self, latent):
        """Each group's nearest code; (N, C, h, w) -> the same shape."""
        groups = latent.permute(1, 0, 2, 3).unflatten(0, (-1, GROUP)).movedim(1, -1)  # (C / GROUP, N, h, w, GROUP)
        vectors = groups.flatten(1, 3)
        nearest = torch.cdist(vectors.float(), self.codebook).argmin(2)
        codes = torch.gather(self.codebook, 1, nearest[..., None].expand(-1, -1, GROUP))
        self.extra = F.mse_loss(codes, vectors.detach()) + 0.25 * F.mse_loss(vectors, codes.detach())
        return codes.view_as(groups).movedim(-1, 1).flatten(0, 1).permute(1, 0, 2, 3)

    def extra_loss(self):
        """What the last forward pass in training left: the denoiser's error, or the distance to the codes."""
        return self.extra
