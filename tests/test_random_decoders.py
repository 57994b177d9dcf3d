"""Generators that nobody trained."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d

from data.images import load_rgb
from generators import random_decoders
from generators.photos import bundled_photos
from generators.random_decoders import (
    OPERATORS,
    PERIOD,
    Draws,
    decode,
    fine_detail,
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
    with pytest.raises(ValueError, match=f'at least {2 * PERIOD}'):
        redo_at_random(tile[:PERIOD], np.random.default_rng(0))
    assert redo_at_random(tile[: 2 * PERIOD, : 2 * PERIOD], np.random.default_rng(0))[1].shape == (16, 16, 3)


@pytest.mark.parametrize('operator', OPERATORS)
@pytest.mark.parametrize('seed', range(4))
def test_up_sampling_doubles_the_sides_keeps_brightness_and_is_uneven_where_weights_are_drawn(operator, seed):
    x = torch.ones(1, 4, 8, 8)
    for uneven in (0.0, 0.1):
        y = upsample(x, operator, Draws(np.random.default_rng(seed)), uneven)
        assert y.shape == (1, 4, 16, 16)
        inner = y[..., 4:12, 4:12]
        assert torch.allclose(inner[..., :4, :4], inner[..., 2:6, 2:6], atol=1e-5)
        flat = torch.allclose(inner, torch.ones_like(inner), atol=1e-5)
        assert flat == (uneven == 0 or operator not in ('transposed', 'shuffle'))
        assert float(inner.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize('line', [[1, 1], [1, 2, 1], [1, 3, 3, 1], [2, 3, 2, 3, 2]])
def test_even_transposed_up_sampling_is_zero_insertion_and_a_filter_of_equal_phases(line, monkeypatch):
    monkeypatch.setattr(Draws, 'choose', lambda self, things: len(line))
    x = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    wide = np.zeros((12, 12))
    wide[::2, ::2] = x
    first = len(line) // 2 - 1
    kernel = 4 * np.outer(line, line) / sum(line) ** 2
    expected = convolve2d(wide, kernel, mode='full')[first : first + 12, first : first + 12]
    found = upsample(torch.tensor(x[None, None]), 'transposed', Draws(np.random.default_rng(0)), 0.0)[0, 0].numpy()
    assert np.allclose(found[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-5)


def test_binomial_up_sampling_is_zero_insertion_and_a_filter():
    x = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    wide = np.zeros((12, 12))
    wide[::2, ::2] = x
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    expected = convolve2d(wide, kernel, mode='full')[1:13, 1:13]
    found = upsample(torch.tensor(x[None, None]), 'binomial', Draws(np.random.default_rng(0)), 0.1)[0, 0].numpy()
    assert np.allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)


def test_what_grows_again_follows_the_image_and_lost_detail(tile):
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    for seed, operator in enumerate(OPERATORS * 2):
        base, features = decode(image, operator, Draws(np.random.default_rng(seed)))
        assert base.shape == image.shape and features.shape[1] in (8, 16) and features.shape[2:] == image.shape[2:]
        coarse = [torch.nn.functional.avg_pool2d(x, 16) for x in (base, image)]
        assert torch.corrcoef(torch.stack([x.flatten() for x in coarse]))[0, 1] > 0.95
        together = torch.stack([fine_detail(x).flatten() for x in (base, image)])
        assert torch.corrcoef(together)[0, 1] < 0.95


def test_half_of_the_decoders_add_texture_at_every_stage(tile, monkeypatch):
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    drawn, share = Draws.choose, {}
    monkeypatch.setattr(Draws, 'choose', lambda self, things, p=None: 2 if p else drawn(self, things))  # two stages
    for every in (False, True):
        monkeypatch.setattr(Draws, 'happens', lambda self, p, every=every: every if p == 0.5 else p > 0.5)
        kept = []
        for seed, operator in enumerate(OPERATORS * 2):
            base, _ = decode(image, operator, Draws(np.random.default_rng(seed)))
            halves = (fine_detail(torch.nn.functional.avg_pool2d(x, 2)).square().mean() for x in (base, image))
            kept.append(float(next(halves) / next(halves)))
        share[every] = np.mean(kept)  # of the detail at half the size
    assert share[False] < 0.2 and share[True] > 0.4


def test_texture_has_the_energy_that_is_missing_and_is_strong_where_the_image_is():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    features = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    for missing, expected in ((0.25, 0.25), (0.01, 0.01)):
        found = texture(features, image, torch.full((1, 1, 1, 1), missing), Draws(np.random.default_rng(0)))
        assert float(fine_detail(found).square().mean()) == pytest.approx(expected, abs=1e-4)
        assert float(found[..., :24].square().sum()) <= 0.01 * float(found[..., 40:].square().sum())


def test_a_decoder_that_kept_all_detail_still_adds_some_and_a_third_bend_tones(tile, monkeypatch):
    image = torch.tensor(tile[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    features = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(random_decoders, 'decode', lambda image, operator, draws: (image, features))
    monkeypatch.setattr(Draws, 'between', lambda self, low, high: low)  # wanted: 0.4 of the detail that is there
    fakes = {}
    for bent in (False, True):
        monkeypatch.setattr(Draws, 'happens', lambda self, probability, bent=bent: bent and probability == 0.3)
        fakes[bent] = redo_at_random(tile, np.random.default_rng(0))[1].astype(float) / 127.5 - 1
    added = torch.tensor(fakes[False]).permute(2, 0, 1)[None].float() - image
    expected = 0.01 * 0.4**2 * float(fine_detail(image).square().mean())
    assert float(fine_detail(added).square().mean()) == pytest.approx(expected, rel=0.35)  # in bytes, which round
    assert np.allclose(fakes[True], np.tanh(1.1 * fakes[False]), atol=0.02)


def test_smoothing_takes_the_blocks_of_nearest_away(monkeypatch):
    monkeypatch.setattr(Draws, 'between', lambda self, low, high: high if (low, high) == (0.5, 1) else low)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    blocks = torch.nn.functional.interpolate(x, scale_factor=2)
    found = random_decoders._smooth(blocks, Draws(np.random.default_rng(0)))
    expected = convolve2d(blocks[0, 0].numpy(), np.full((3, 3), 1 / 9), mode='same')
    assert np.allclose(found[0, 0].numpy()[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)


def test_fine_detail_is_what_a_mean_filter_takes_away(tile):
    grey = np.asarray(Image.fromarray(tile).convert('L'), np.float32)
    expected = grey - convolve2d(np.pad(grey, 1, mode='reflect'), np.full((3, 3), 1 / 9), mode='valid')
    assert np.allclose(fine_detail(torch.tensor(grey[None, None]))[0, 0].numpy(), expected, atol=1e-3)
