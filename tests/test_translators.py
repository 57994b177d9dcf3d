"""A published CycleGAN as a generator; a narrow one is written here, as its package stores it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data.images import load_rgb
from generators import translators
from generators.photos import bundled_photos
from generators.translators import WEIGHTS, cyclegan, load_cyclegan, perturbed, redo_by_cyclegan
from util.errors import UserError

WIDTH, BLOCKS = 4, 2


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """{names of its own: weights} of a narrow network, saved where the real ones would be."""
    network = cyclegan(WIDTH, BLOCKS)
    generator = torch.Generator().manual_seed(0)
    found = {f'layer_{i}': 0.3 * torch.randn(w.shape, generator=generator) for i, w in enumerate(network.parameters())}
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    torch.save(found, tmp_path / WEIGHTS)
    monkeypatch.setattr(translators, 'cyclegan', lambda: cyclegan(WIDTH, BLOCKS))
    yield found
    load_cyclegan.cache_clear()


def reference(weights, x):
    """The same by single operations on (1, 3, H, W), layers as Zhu et al. list them: c7s1, d, d, R, R, u, u, c7s1."""
    left = iter(weights.values())

    def norm(x):
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        scale, shift = next(left), next(left)
        return (x - mean) / (variance + 1e-5).sqrt() * scale[:, None, None] + shift[:, None, None]

    def same(x, side):
        return F.conv2d(F.pad(x, (side // 2,) * 4, 'reflect'), next(left), next(left))

    x = norm(same(x, 7)).relu()
    for _ in range(2):
        x = norm(F.conv2d(F.pad(x, (1,) * 4), next(left), next(left), stride=2)).relu()
    for _ in range(BLOCKS):
        x = x + norm(same(norm(same(x, 3)).relu(), 3))
    for _ in range(2):
        grown = F.conv_transpose2d(x, next(left), next(left), stride=2)  # 2 * side + 1; the first row and column go
        x = norm(grown[..., 1:, 1:]).relu()
    return same(x, 7).tanh()


def test_a_fake_is_what_the_listed_layers_make(weights, tmp_path):
    tile = np.asarray(load_rgb(bundled_photos()[0].path))[96:144, 160:224]
    fake = redo_by_cyclegan(tile, str(tmp_path))
    assert fake.shape == tile.shape and fake.dtype == np.uint8 and fake.std() > 10
    seen = torch.tensor(tile).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    expected = (reference(weights, seen)[0].permute(1, 2, 0) + 1) / 2 * 255
    assert np.abs(fake - expected.numpy()).max() <= 0.51


def test_every_fake_may_have_weights_of_its_own_around_the_published_ones(weights, tmp_path, monkeypatch):
    tile = np.asarray(load_rgb(bundled_photos()[0].path))[96:144, 160:224]
    before = redo_by_cyclegan(tile, str(tmp_path))
    one, same, other = (redo_by_cyclegan(tile, str(tmp_path), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, same) and (one != other).any() and (one != before).any()
    assert np.array_equal(redo_by_cyclegan(tile, str(tmp_path)), before)  # the published network stays as it is
    monkeypatch.setattr(translators, 'STRENGTH', (0.2, 0.2))
    network = cyclegan(16, 1)
    with torch.inference_mode():
        noisy = perturbed(network, np.random.default_rng(0))
    for (name, was), now in zip(network.named_parameters(), noisy.parameters(), strict=True):
        added = float((now - was).detach().std() / was.detach().std())
        assert added == pytest.approx(0.2, rel=0.1) if was.dim() == 4 else torch.equal(was, now), name


def test_the_published_network_has_the_size_of_the_paper():
    assert sum(weight.numel() for weight in cyclegan().parameters()) == pytest.approx(11.4e6, rel=0.01)


def test_weights_of_another_network_are_refused(weights, tmp_path):
    torch.save(dict(list(weights.items())[:-1]), tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r'G_A2B_epoch33\.pth: not the weights of this network'):
        redo_by_cyclegan(np.zeros((16, 16, 3), np.uint8), str(tmp_path))
