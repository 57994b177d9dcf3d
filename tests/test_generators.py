"""Generators of UpsampleBench: designs, operators, shipped weights, tables, controls."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from data.pixel_facts import high_frequency_energy
from generators.cards import steps
from generators.controls import compressed, low_passed, matching_sigma, resized
from generators.decoders import DECODERS, WEIGHTS, create_decoder, decode_tile, load_decoder, weights_file
from generators.edition import ENOUGH, SHORTCUT_LIMIT
from generators.layers import Tail, upsampler
from generators.photos import bundled_photos, tiles
from generators.tables import HEADLINE, TABLES, TRAINING, Member, members, networks
from tests.conftest import ROOT
from util.errors import UserError
from util.files import read_json


@pytest.mark.parametrize('name', DECODERS)
def test_generators_keep_size_and_repeat_their_noise(name):
    spec = DECODERS[name]
    generator = create_decoder(spec).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    fake = decode_tile(generator, pixels, [1, 0])
    assert fake.shape == pixels.shape and fake.dtype == np.uint8
    assert np.array_equal(fake, decode_tile(generator, pixels, [1, 0]))
    assert not np.array_equal(fake, decode_tile(generator, pixels, [1, 1]))
    if spec.kind != 'pixel':
        with torch.inference_mode():
            coarse = generator.encoder(torch.zeros(1, 3, 16, 24))
        assert coarse.shape[1:] == (spec.latent, 16 // spec.factor, 24 // spec.factor)


@pytest.mark.parametrize(
    'operator, factor', [('nearest', 4), ('bilinear', 2), ('transposed', 4), ('transposed3', 2), ('shuffle', 4)]
)
def test_operators_enlarge_by_their_factor_and_repeat_with_it(operator, factor):
    """A shift of the coarse map by one pixel shifts the output by the factor, away from the border."""
    up = upsampler(operator, factor, 4)
    coarse = torch.randn(1, 4, 8, 8)
    fine, moved = up(coarse), up(coarse.roll(1, 3))
    assert fine.shape == (1, 4, 8 * factor, 8 * factor)
    inside = slice(2 * factor, 6 * factor)
    assert torch.allclose(moved[..., inside, inside], fine.roll(factor, 3)[..., inside, inside], atol=1e-5)
    with pytest.raises(ValueError, match='unknown up-sampling operator'):
        upsampler('cubic', 2, 4)


def test_the_tail_reaches_beyond_a_block():
    torch.manual_seed(0)
    tail, middle = Tail(4, depth=3).eval(), 24
    image = torch.zeros(1, 4, 49, 49)
    changed = image.clone()
    changed[..., middle, middle] = 100
    seen = [tail(each, torch.Generator().manual_seed(0)) for each in (image, changed)]
    rows = (seen[0] != seen[1]).any(1)[0].any(1).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (middle - 13, middle + 13)


@pytest.mark.parametrize('name', ['nearest_x8', 'shuffle_x4', 'pixel_nearest', 'latent_f8', 'quantised_f4'])
def test_gradients_in_bf16_are_finite(name):
    generator = create_decoder(DECODERS[name]).to(memory_format=torch.channels_last).train()
    with torch.autocast('cpu', torch.bfloat16):
        fake = generator(torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last))
    (fake.float().abs().mean() + generator.extra_loss()).backward()
    gradients = {key: value.grad for key, value in generator.named_parameters()}
    assert not [key for key, value in gradients.items() if value is None or not value.isfinite().all()]
    # Where bf16 is emulated, the above holds with any width.
    dilated = [m for m in generator.modules() if isinstance(m, torch.nn.Conv2d) and m.dilation[0] > 1]
    assert all(m.in_channels % 16 == m.out_channels % 16 == 0 for m in dilated)


@pytest.mark.parametrize('step', range(3))
def test_pixel_diffusion_learns_on_what_its_sampler_gives(step, monkeypatch):
    generator = create_decoder(DECODERS['pixel_nearest']).train()
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    monkeypatch.setattr(torch, 'randint', lambda *_: torch.tensor(step))
    with torch.autocast('cpu', torch.bfloat16):  # which keeps casts of weights, also those made without gradients
        generator(image).float().square().mean().backward()
    assert all(weights.grad is not None and weights.grad.any() for weights in generator.parameters())
    random = torch.Generator().manual_seed(0)
    expected, levels = image, (0.3, 0.15, 0.07)
    for sigma in levels[: step + 1]:
        expected = generator.denoise(
            expected + sigma * torch.randn(image.shape, generator=random), sigma, random
        ).detach()
    torch.testing.assert_close(generator(image, torch.Generator().manual_seed(0)).detach(), expected)
    if step == 2:  # what it generates
        torch.testing.assert_close(generator.eval()(image, torch.Generator().manual_seed(0)).detach(), expected)


def test_quantised_latents_are_codes_and_diffusion_draws():
    generator = create_decoder(DECODERS['quantised_f4']).eval()
    latent = torch.randn(2, 32, 3, 5)
    codes = generator.quantise(latent)
    group = latent[1, 8:10, 2, 4]
    nearest = (group - generator.codebook[4]).square().sum(1).argmin()
    assert torch.equal(codes[1, 8:10, 2, 4], generator.codebook[4, nearest]) and codes.shape == latent.shape
    diffusion = create_decoder(DECODERS['latent_f8']).eval()
    latent = torch.randn(1, 96, 4, 4)
    draws = [diffusion.diffuse(latent, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])


@pytest.mark.parametrize('name, seed', networks())
def test_shipped_weights_reconstruct(name, seed):
    photo = next(photo for photo in bundled_photos() if photo.name == 'astronaut')
    real = tiles(photo.pixels(), 64, np.random.default_rng(0), most=4)
    spec, generator = DECODERS[name], load_decoder(name, seed=seed)
    fake = np.stack([decode_tile(generator, tile, [0, i]) for i, tile in enumerate(real)])
    psnr = 10 * np.log10(255**2 / np.mean((real.astype(float) - fake) ** 2))
    assert psnr > ({1: 26, 2: 26, 4: 22}.get(spec.factor, 15) if spec.kind == 'decoder' else 15), psnr
    card = read_json(weights_file(name, seed).with_suffix('.json'))
    assert card['parameters'] == sum(p.numel() for p in create_decoder(spec).parameters())
    assert card['training']['seed'] == seed and card['operator'] == spec.operator and card['family'] == spec.family
    if (name, seed) in {(m.design, m.seed) for table in HEADLINE for m in TABLES[table]}:
        for origin in ('photos', 'scenes'):
            facts = card['held_out'][origin]
            assert facts['images'] >= ENOUGH and facts['shortcut_auc'] <= SHORTCUT_LIMIT, (name, origin)


def test_weights_of_other_seeds_are_other_weights_and_small():
    one, other = (load_decoder('nearest_x2', seed=seed).state_dict() for seed in (0, 1))
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 15e6
    with pytest.raises(UserError, match=r'unknown decoder .*; known: nearest_x2'):
        load_decoder('nearest_x3')
    with pytest.raises(UserError, match=r'no weights .* --decoders nearest_x2 --seed 7'):
        load_decoder('nearest_x2', seed=7)


def test_tables_do_not_share_weights_with_training():
    trained = {(m.design, m.seed) for found in TRAINING.values() for m in found}
    tested = [(m.design, m.seed) for _, m in members()]
    assert not trained & set(tested) and len(members()) == 20
    assert len({m.name for _, m in members()}) == len(members())
    assert ('nearest_x2', 1) in tested  # the design of the training set, with other weights


def test_grids_are_looked_for_at_the_whole_factor():
    periods = {'nearest_x2': 2, 'shuffle_x4': 4, 'pixel_nearest': 4, 'latent_f8': 8, 'factor1': 2, None: 2}
    assert {design: Member('any', design).period for design in periods} == periods


def test_steps_of_all_rounds_count():
    first = {'steps': 1000}
    assert steps(first) == 1000 and steps({'steps': 600, 'started_from': {'steps': 800, 'started_from': first}}) == 2400


def test_controls():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    assert resized(pixels).shape == (24, 24, 3) and resized(pixels).dtype == np.uint8
    assert not np.array_equal(compressed(pixels, 75), pixels)
    tile = ndimage.gaussian_filter(pixels.astype(float), (1, 1, 0)).astype(np.uint8)
    sigma = matching_sigma([tile], 0.8)
    kept = high_frequency_energy(low_passed(tile, sigma)) / high_frequency_energy(tile)
    assert kept == pytest.approx(0.8, abs=0.03) and low_passed(tile, sigma).shape == tile.shape


def test_documentation_shows_the_cards(call, fails, tmp_path):
    status, out, _ = call('generators/cards.py')
    assert status == 0 and 'nearest_x2' in out
    assert out.strip() in (ROOT / 'docs' / 'upsamplebench.md').read_text()
    assert 'bilinear_x2.json' in fails('generators/cards.py', '--weights', tmp_path)
