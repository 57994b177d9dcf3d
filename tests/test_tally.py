"""The audit of pixels: global facts, grids, spectra, residual energies."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from data.pixel_facts import colour_grid, global_facts, high_frequency_energy, shortcut_auc, smoothness
from data.transforms import blur, jpeg
from generators.tally import Tally, compare
from networks.npr import npr_residual


def test_facts_equal_loops():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    facts = global_facts(pixels)
    grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in pixels.astype(float)]
    squares = [
        (4 * grey[y][x] - grey[y - 1][x] - grey[y + 1][x] - grey[y][x - 1] - grey[y][x + 1]) ** 2
        for y in range(1, 5)
        for x in range(1, 6)
    ]
    assert high_frequency_energy(pixels) == pytest.approx(np.mean(squares), rel=1e-4)
    assert facts[1:4] == pytest.approx(pixels.mean((0, 1)) / 255, rel=1e-4)
    saturation = np.mean([(max(p) - min(p)) / max(max(p), 1) for p in pixels.reshape(-1, 3).astype(float)])
    assert facts[7] == pytest.approx(saturation, rel=1e-4)


def test_smoothness_compares_an_image_with_its_half():
    pixels = np.random.default_rng(0).integers(0, 256, (17, 14, 3), dtype=np.uint8)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    halved = np.array([[grey[y : y + 2, x : x + 2].mean() for x in range(0, 14, 2)] for y in range(0, 16, 2)])
    fine, coarse = (np.abs(ndimage.laplace(each)[1:-1, 1:-1]).mean() for each in (grey, halved))
    assert smoothness(pixels) == pytest.approx(np.log((coarse + 0.1) / (fine + 0.1)), rel=1e-4)
    assert smoothness(np.asarray(blur(Image.fromarray(pixels), 1.0))) > smoothness(pixels) + 0.5
    assert smoothness(np.full((8, 8, 3), 7, np.uint8)) == pytest.approx(0, abs=1e-6)


def test_colour_grid_is_the_share_of_variance_between_places_and_finds_jpeg():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (35, 27, 3), dtype=np.uint8)
    colour = pixels[..., 2].astype(float) - pixels[..., 1]
    edges = np.array([[abs(colour[y, x] + colour[y + 1, x + 1] - colour[y + 1, x] - colour[y, x + 1])
                       for x in range(24)] for y in range(32)])  # fmt: skip
    places = [edges[y::8, x::8].mean() for y in range(8) for x in range(8)]
    share = max(np.var(places) / np.var(edges) - 1 / 12, 0)
    assert colour_grid(pixels) == pytest.approx(np.log(share + 1e-4), rel=1e-3)
    picture = ndimage.gaussian_filter(rng.normal(size=(128, 128, 3)), (2, 2, 0))
    picture = Image.fromarray((128 + 300 * picture).clip(0, 255).astype(np.uint8))
    assert colour_grid(np.asarray(jpeg(picture, 90))) > colour_grid(np.asarray(picture)) + 1
    assert colour_grid(np.full((20, 20, 3), 7, np.uint8)) == pytest.approx(np.log(1e-4))


def test_audit_finds_a_shortcut_and_only_a_shortcut():
    rng = np.random.default_rng(0)
    real, groups = rng.normal(size=(200, 9)), np.arange(200) // 2
    assert shortcut_auc(real, rng.normal(size=(200, 9)), groups) < 0.6
    shifted = real + np.eye(9)[8] * 2
    expected = 0.921  # P(N(2, 1) > N(0, 1)) = Phi(2 / sqrt 2)
    assert shortcut_auc(real, shifted, groups) == pytest.approx(expected, abs=0.03)
    assert shortcut_auc(shifted, real, groups) == pytest.approx(expected, abs=0.03)


def tally(images):
    found = Tally()
    for pixels in images:
        found.add(pixels)
    return found


def test_grid_contrast_sees_a_grid():
    rng = np.random.default_rng(0)
    smooth = rng.integers(100, 110, (8, 64, 64, 3), dtype=np.uint8)
    gridded = smooth.copy()
    gridded[:, ::4, ::4] += 20
    assert tally(smooth).grid_contrast(4) < 0.03 < 0.3 < tally(gridded).grid_contrast(4)


def test_tallies_add_up_and_the_spectrum_shows_what_facts_do_not():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)
    stripes = (20 * np.cos(np.pi * np.arange(32) / 2)).astype(int)[None, :, None, None]  # one frequency
    fake = np.clip(rng.integers(30, 226, (60, 32, 32, 3)) + stripes, 0, 255).astype(np.uint8)
    whole, parts = tally(fake), tally(fake[:20])
    parts += tally(fake[20:])
    assert parts.count == 60 and parts.energy == pytest.approx(whole.energy)
    assert np.allclose(parts.spectrum, whole.spectrum) and np.allclose(parts.residuals, whole.residuals)
    errors = ((real.astype(float) - fake) ** 2).mean((1, 2, 3))
    facts = compare(tally(real), whole, np.arange(60), errors, 2)
    assert facts['psnr_db'] == pytest.approx(np.mean(10 * np.log10(255**2 / errors)))
    assert facts['spectrum_auc'] > 0.9
    expected = np.mean([npr_residual(to_tensor(f), 0.25).abs().mean().item() for f in fake]) / np.mean(
        [npr_residual(to_tensor(r), 0.25).abs().mean().item() for r in real]
    )
    assert facts['residual_ratio']['0.25'] == pytest.approx(expected, rel=1e-5)
    assert compare(tally(real), tally(real), np.arange(60), None, 2)['energy_ratio'] == 1


def to_tensor(pixels):
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
