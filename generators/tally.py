"""What a generator's images look like beside their photographs, added up image by image."""

import numpy as np
import torch

from data.pixel_facts import FACTS, global_facts, high_frequency_energy, shortcut_auc
from networks.npr import npr_residual

SCALES = (0.25, 0.5, 0.75)
PERIODS = 2, 4, 8  # of grids that are looked for
BLOCKS = 16  # a spectrum is averaged over BLOCKS x BLOCKS parts for the classifier


def log_spectrum(pixels):
    """(side, side) log power of the grey image, zero frequency in the middle, under a Hann window."""
    grey = pixels.astype(np.float64).mean(2)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])
    power = np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))) ** 2
    return np.log10(power + 1.0)


def residual_energies(pixels):
    """Mean absolute residual at each of SCALES, in grey levels."""
    image = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    return [npr_residual(image, scale).abs().mean().item() for scale in SCALES]


def folded_laplacian(pixels, period):
    """Mean |Laplacian| at each position of a period x period block, inside the border."""
    grey = pixels.astype(np.float32).mean(2)
    laplacian = np.abs(4 * grey - sum(np.roll(grey, shift, axis) for shift in (1, -1) for axis in (0, 1)))
    inside = laplacian[period:-period, period:-period]
    inside = inside[: len(inside) // period * period, : inside.shape[1] // period * period]
    return inside.reshape(len(inside) // period, period, -1, period).mean((0, 2))


def blocks(spectrum):
    """(BLOCKS * BLOCKS / 2,) coarse spectrum; the other half of it is its mirror image."""
    rows = [part.mean(0) for part in np.array_split(spectrum, BLOCKS)]
    return np.stack([[part.mean() for part in np.array_split(row, BLOCKS)] for row in rows[: BLOCKS // 2]]).ravel()


class Tally:
    """Sums over images of one kind; tallies of parts can be added.

    Attributes after `add`: count, energy (summed high-frequency energy), facts (list of (9,)), coarse (list of coarse
    spectra), spectrum (summed), residuals (summed), folded {period of PERIODS: summed}.
    """

    def __init__(self):
        self.count, self.energy, self.facts, self.coarse = 0, 0.0, [], []
        self.spectrum, self.residuals = 0.0, np.zeros(len(SCALES))
        self.folded = {period: np.zeros((period, period)) for period in PERIODS}

    def add(self, pixels):
        spectrum = log_spectrum(pixels)
        self.count += 1
        self.energy += high_frequency_energy(pixels)
        self.facts.append(global_facts(pixels))
        self.coarse.append(blocks(spectrum))
        self.spectrum = self.spectrum + spectrum
        self.residuals += residual_energies(pixels)
        for period, total in self.folded.items():
            total += folded_laplacian(pixels, period)

    def __iadd__(self, other):
        self.count, self.energy = self.count + other.count, self.energy + other.energy
        self.facts += other.facts
        self.coarse += other.coarse
        self.spectrum = self.spectrum + other.spectrum
        self.residuals += other.residuals
        for period, total in other.folded.items():
            self.folded[period] += total
        return self

    def grid_contrast(self, period):
        """How much the mean |Laplacian| depends on the place in a period x period block: deviation / mean."""
        return float(self.folded[period].std() / self.folded[period].mean())


def compare(real, fake, groups, errors, period):
    """The audit of a generator.

    Args:
        real, fake: Tally of the same photographs in the same order; groups: (n,) photograph of each.
        errors: (n,) mean squared differences, or None where the sizes differ.
        period: of the up-sampling, in pixels.
    Returns:
        dict: 'psnr_db', 'energy_ratio', 'shortcut_auc' (of global facts; must be low), 'fact_aucs' (of each alone),
        'spectrum_auc' (of the power spectrum: a real artifact, reported only), 'grid_contrast_real', '..._fake',
        'residual_ratio' {scale: mean |residual| of fakes over that of reals}.
    """
    facts = np.stack(real.facts), np.stack(fake.facts)
    return {
        'images': real.count,
        'psnr_db': None if errors is None else float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-3)))),
        'energy_ratio': float(fake.energy / real.energy),
        'shortcut_auc': shortcut_auc(*facts, groups),
        'fact_aucs': {name: shortcut_auc(facts[0][:, [i]], facts[1][:, [i]], groups) for i, name in enumerate(FACTS)},
        'spectrum_auc': shortcut_auc(np.stack(real.coarse), np.stack(fake.coarse), groups, strength=0.01),
        'grid_contrast_real': real.grid_contrast(period),
        'grid_contrast_fake': fake.grid_contrast(period),
        'residual_ratio': {
            f'{scale:g}': float(ratio) for scale, ratio in zip(SCALES, fake.residuals / real.residuals, strict=True)
        },
    }


def rounded(facts):
    """The same dict with four decimals: later ones may differ between machines."""
    if isinstance(facts, dict):
        return {key: rounded(value) for key, value in facts.items()}
    return round(facts, 4) if isinstance(facts, float) else facts
