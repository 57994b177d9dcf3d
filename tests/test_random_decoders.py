"""Generators that nobody trained."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d
from sklearn.linear_model import Ridge

from data.images import load_rgb
from generators import random_decoders
from generators.photos import bundled_photos
from generators.random_decoders import (
    OPERATORS,
    PERIOD,
    Draws,
    fine_detail,
    fit_last_layer,
    redo_at_random,
    texture,
    upsample,
)


@pytest.fixture(scope='module')
def tile():
    return np.asarray(load_rgb(bundled_photos()[0].path))[96:160, 160:224]


def test_a_fake_looks_like_its_photograph_and_is_another_every_time(tile):
    fakes = [redo_at_random(tile, np.random.default_rng([0, i])) for i in range(12)]
    assert len({operator for operator, _ in fakes}) > 2 and len({fake.tobytes() for _, fake in fakes}) == 12
    shuffled = tile.reshape(-1, 3)[np.random.default_rng(0).permutation(64 * 64)].reshape(tile.shape)
    assert all(operator in OPERATORS and fake.shape == tile.shape for operator, fake in fakes)
    near, far = (
        np.array([np.abs(fake.astype(float) - other).mean() for _, fake in fakes]) for other in (tile, shuffled)
    )
    assert near.min() > 0 and (near < 0.9 * far).all() and near.mean() < 0.6 * far.mean()
    again = redo_at_random(tile, np.random.default_rng([0, 3]))
    assert again[0] == fakes[3][0] and np.array_equal(again[1], fakes[3][1])


def test_sides_that_no_stage_fits_are_refused(tile):
    with pytest.raises(ValueError, match=f'multiples of {PERIOD}'):
        redo_at_random(tile[:60], np.random.default_rng(0))


@pytest.mark.parametrize(
    'operator, seed', [*((operator, 1) for operator in OPERATORS), *(('transposed', s) for s in range(8))]
)
def test_up_sampling_doubles_the_sides_and_repeats_with_period_two(operator, seed):
    x = torch.ones(1, 4, 8, 8)
    y = upsample(x, operator, Draws(np.random.default_rng(seed)))
    assert y.shape == (1, 4, 16, 16)
    inner = y[..., 4:12, 4:12]
    assert torch.allclose(inner[..., :4, :4], inner[..., 2:6, 2:6], atol=1e-5)
    flat = torch.allclose(inner, torch.ones_like(inner), atol=1e-5)
    assert flat == (operator in ('nearest', 'bilinear', 'binomial'))


def test_binomial_up_sampling_is_zero_insertion_and_a_filter():
    x = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    wide = np.zeros((12, 12))
    wide[::2, ::2] = x
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    expected = convolve2d(wide, kernel, mode='full')[1:13, 1:13]
    found = upsample(torch.tensor(x[None, None]), 'binomial', Draws(np.random.default_rng(0)))[0, 0].numpy()
    assert np.allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize('side', [1, 3])
def test_the_last_layer_is_a_ridge_regression_on_some_pixels(side, monkeypatch):
    monkeypatch.setattr(random_decoders, 'FITTED', 100)
    monkeypatch.setattr(Draws, 'choose', lambda self, things, p=None: side)
    rng, margin = np.random.default_rng(0), side // 2
    features, image = (torch.tensor(rng.normal(size=(1, n, 12, 12)), dtype=torch.float32) for n in (4, 3))
    found = fit_last_layer(features, image, Draws(np.random.default_rng(2)))
    padded = np.pad(features[0].numpy(), ((0, 0), (margin, margin), (margin, margin)), mode='reflect')
    places = [(y, x) for y in range(12) for x in range(12)]
    every = [np.append(padded[:, y : y + side, x : x + side].reshape(-1), 1.0).astype(float) for y, x in places]
    seen = torch.randperm(144, generator=Draws(np.random.default_rng(2)).torch)[:100].numpy()
    rows = np.array(every)[seen]
    strength = 1e-3 * np.square(rows).sum() / len(rows[0])
    wanted = image[0].permute(1, 2, 0).reshape(-1, 3).numpy()
    expected = Ridge(strength, fit_intercept=False).fit(rows, wanted[seen]).predict(every)
    assert np.allclose(found[0].permute(1, 2, 0).reshape(-1, 3).numpy(), expected, atol=1e-4)


def test_texture_has_the_energy_that_is_missing_and_is_strong_where_the_image_is():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    features = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    for missing, expected in ((0.25, 0.25), (-1.0, 0.0)):
        found = texture(features, image, torch.full((1, 1, 1, 1), missing), Draws(np.random.default_rng(0)))
        assert float(fine_detail(found).square().mean()) == pytest.approx(expected, abs=1e-4)
        assert float(found[..., :24].square().sum()) <= 0.01 * float(found[..., 40:].square().sum())


def test_fine_detail_is_what_a_mean_filter_takes_away(tile):
    grey = np.asarray(Image.fromarray(tile).convert('L'), np.float32)
    expected = grey - convolve2d(np.pad(grey, 1, mode='reflect'), np.full((3, 3), 1 / 9), mode='valid')
    assert np.allclose(fine_detail(torch.tensor(grey[None, None]))[0, 0].numpy(), expected, atol=1e-3)
