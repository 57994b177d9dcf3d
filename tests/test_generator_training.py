"""Training generators: losses by loops, interruptions, the command."""

import os
import signal

import numpy as np
import pytest
import torch

from generators.decoders import DECODERS, load_decoder
from generators.losses import (
    colour_statistics,
    common_grid,
    contrast_energy,
    contrast_statistics,
    distance,
    grid_planes,
    grid_strength,
)
from generators.train import fingerprint
from generators.training import CROP, Training, bias, in_bytes
from util.errors import UserError
from util.files import read_json, write_json


def test_contrast_by_loops():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    green = image[0, 1].numpy()
    corner = [abs(green[y + 1, x] - green[y, x]) for y in range(16) for x in range(16)]
    statistics = contrast_statistics(image, 16)
    assert statistics.shape == (2, 6, 2, 2, 27)
    assert statistics[0, 1, 0, 0, 3] == pytest.approx(np.log(np.mean(corner) + 0.004), abs=0.01)  # the border is shared
    whole = contrast_statistics(image, 32)
    sizes = np.abs(np.diff(green, axis=0))
    assert whole[0, 1, 0, 0, 3] == pytest.approx(np.log(sizes.mean() + 0.004), abs=1e-5)
    assert whole[0, 1, 0, 0, 5] == pytest.approx(np.log(sizes + 0.004).mean(), abs=1e-5)
    mixed = [  # the pixel against the plane through its three neighbours
        abs(green[y, x] - green[y - 1, x] - green[y, x - 1] + green[y - 1, x - 1])
        for y in range(1, 32)
        for x in range(1, 32)
    ]
    assert whole[0, 1, 0, 0, 21] == pytest.approx(np.log(np.mean(mixed) + 0.004), abs=1e-5)
    squares = np.diff(image[:, 1].numpy(), axis=1) ** 2
    assert contrast_energy(image)[1, 1] == pytest.approx(np.log(squares.mean() + 1e-6) / 2, abs=1e-5)


def test_grid_strength_by_loops():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    padded = np.pad(image[0, 0].numpy(), 1, mode='reflect')
    values = [
        4 * padded[y, x] - padded[y - 1, x] - padded[y + 1, x] - padded[y, x - 1] - padded[y, x + 1]
        for y in range(17, 33)  # the lower left window, odd rows and even columns (the padding adds 1)
        for x in range(1, 17)
        if y % 2 == 0 and x % 2 == 1
    ]
    planes = grid_planes(image, 2, 16)
    assert planes.shape == (2, 1, 3, 2, 2, 2, 2)
    assert planes[0, 0, 0, 1, 0, 1, 0].item() == pytest.approx(np.mean(values), abs=1e-5)
    assert planes[1, 0, 0, 1, 0, 1, 0].item() == pytest.approx(np.mean(np.abs(values)), abs=1e-5)
    gridded = image.clone()
    gridded[..., ::2, ::2] += 0.5
    assert (grid_strength(gridded, 2, 16) - grid_strength(image, 2, 16)).min() > 0.3


def test_a_common_grid_shows_in_the_mean_of_a_batch():
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    gridded = images + 0.1 * (torch.arange(32) % 4 == 0)  # too weak to show in a single window
    assert (grid_strength(gridded, 4, 16) - grid_strength(images, 4, 16)).abs().mean() < 0.1
    found, without = common_grid(gridded, 4), common_grid(images, 4)
    assert found.shape == (2, 3)
    signed = grid_planes(gridded, 4, 32)[0].mean(0)[:, 0, 0]
    assert found[0].tolist() == pytest.approx(np.log(signed.flatten(1).std(1, correction=0).numpy()), abs=1e-3)
    assert (found - without)[0].min() > 0.5
    apart = torch.cat([images[:8] + 0.1 * (torch.arange(32) % 4 == 0), images[8:] - 0.1 * (torch.arange(32) % 4 == 0)])
    assert (common_grid(apart, 4) - without)[0].max() < 0.3  # what cancels out is not in common


def test_colour_by_loops():
    pixels = np.random.default_rng(0).integers(30, 256, (16, 16, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    statistics = colour_statistics(image, 8)
    corner = pixels[8:, :8].reshape(-1, 3) / 255
    saturation = np.mean([(max(p) - min(p)) / max(p) for p in corner])
    deviations = np.sqrt(corner.var(0) + 1e-4)
    assert statistics[0, :, 1, 0].numpy() == pytest.approx([*corner.mean(0), saturation, *deviations], rel=1e-4)


def test_distance_is_relative_to_roughness():
    real = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    fake = real + 0.1 * torch.tensor([1.0, -1.0]).repeat(16)  # stripes vanish at half size
    roughness = [(each.diff(dim=1).abs().mean() + each.diff(dim=2).abs().mean()) / 2 for each in real]
    expected = np.mean([0.2 * 0.1 / (rough.item() + 0.05) for rough in roughness])
    assert distance(fake, real, 0.2).item() == pytest.approx(expected, rel=1e-4)


def test_bias_is_what_all_images_have_in_common():
    real = torch.rand(4, 3, CROP, CROP, generator=torch.Generator().manual_seed(0))
    signs = torch.tensor([1.0, -1.0, 1.0, 1.0]).reshape(4, 1, 1, 1)

    def means(image, window):
        return torch.nn.functional.avg_pool2d(image, window)

    assert bias(means, real + 0.1 * signs, real).item() == pytest.approx(0.05, abs=1e-5)


def test_losses_see_what_a_file_will_hold(monkeypatch):
    image = torch.linspace(-1.2, 1.2, 3 * 64 * 64).reshape(1, 3, 64, 64).requires_grad_()
    shown = in_bytes(image)
    pixels = (shown.detach()[0].permute(1, 2, 0) + 1) * 127.5
    expected = ((image.detach()[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255)  # as decode_tile
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-3)
    shown.sum().backward()
    torch.testing.assert_close(image.grad, torch.ones_like(image))
    photos = [np.random.default_rng(0).integers(0, 256, (CROP, CROP, 3), dtype=np.uint8)]
    settings = {'seed': 0, 'lr': 1e-3, 'batch_size': 2, 'scene_share': 0.5, 'steps': 1}
    training = Training(DECODERS['factor1'], (photos, []), settings, torch.device('cpu'))
    seen = []
    monkeypatch.setattr('generators.training.distance', lambda fake, real, full: seen.append(fake) or fake.mean())
    training.step()
    levels = (seen[0].detach() + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)


def test_a_batch_is_of_photographs_or_of_scenes():
    photos, scenes = [[np.full((CROP, CROP, 3), value, np.uint8)] * 2 for value in (0, 255)]
    settings = {'seed': 0, 'lr': 1e-3, 'batch_size': 8, 'scene_share': 0.5, 'steps': 1}
    training = Training(DECODERS['factor1'], (photos, scenes), settings, torch.device('cpu'))
    batches = [training.batch() for _ in range(20)]
    assert all(len(batch.unique()) == 1 for batch in batches)
    assert {batch.unique().item() for batch in batches} == {-1.0, 1.0}


def test_decoders_can_be_trained(call, fails, photo_folder, tmp_path):
    words = ('--photos', photo_folder, '--scenes', '2', '--steps', '12', '--batch_size', '2', '--out', tmp_path)
    words = ('generators/train.py', '--decoders', 'nearest_x2', *words)
    status, out, error = call(*words)
    assert status == 0, error
    card = read_json(tmp_path / 'nearest_x2.json')
    assert card['training']['steps'] == 12 and card['operator'] == 'nearest' and card['family'] == 'gan'
    assert 0.5 <= card['held_out']['photos']['shortcut_auc'] <= 1
    first = (tmp_path / 'nearest_x2.pth').read_bytes()
    status, out, _ = call(*words)
    assert status == 0 and 'trained already' in out
    (tmp_path / 'nearest_x2.json').unlink()
    call(*words)
    assert (tmp_path / 'nearest_x2.pth').read_bytes() == first
    call(*words, '--seed', '3')
    assert (tmp_path / 'nearest_x2_seed3.pth').read_bytes() != first
    before = read_json(tmp_path / 'nearest_x2.json')
    write_json(tmp_path / 'nearest_x2.json', {**before, 'held_out': None})
    assert call(*words, '--report')[0] == 0
    assert read_json(tmp_path / 'nearest_x2.json') == before
    assert (tmp_path / 'nearest_x2.pth').read_bytes() == first
    assert 'no card' in fails(*words, '--report', '--seed', '9') and '--seed needs' in fails(*words[:1], '--seed', '1')
    on = (*words[:-1], tmp_path / 'on', '--start', tmp_path)
    assert 'no card' in fails(*on, '--seed', '9')
    assert call(*on, '--lr', '1e-9')[0] == 0
    one, other = (
        load_decoder('nearest_x2', tmp_path).state_dict(),
        load_decoder('nearest_x2', tmp_path / 'on').state_dict(),
    )
    assert all(torch.allclose(value, other[name], atol=1e-3) for name, value in one.items())
    assert read_json(tmp_path / 'on' / 'nearest_x2.json')['training']['started_from'] == before['training']
    (tmp_path / 'nearest_x2_seed3.pth').write_bytes(first[:5000])
    with pytest.raises(UserError, match=r'not the weights of nearest_x2 .*train it anew'):
        load_decoder('nearest_x2', tmp_path, 3)
    assert 'trained already' not in call(*words, '--seed', '3')[1]  # the card alone is not enough
    assert load_decoder('nearest_x2', tmp_path, 3)


def test_an_unfinished_training_of_another_design_is_refused(tmp_path):
    pictures = [np.zeros((CROP, CROP, 3), np.uint8)], []
    settings = {'steps': 20, 'batch_size': 2, 'lr': 1e-3, 'scene_share': 0, 'seed': 5}
    Training(DECODERS['factor1'], pictures, settings, torch.device('cpu')).save(tmp_path / 'x.state')
    with pytest.raises(UserError, match=r'x.state: an unfinished training of another design'):
        Training(DECODERS['nearest_x2'], pictures, settings, torch.device('cpu')).load(tmp_path / 'x.state')


def test_trainings_of_other_pictures_are_others():
    one = [np.zeros((8, 8, 3), np.uint8)], []
    assert fingerprint(one) == fingerprint(one) != fingerprint(([np.ones((8, 8, 3), np.uint8)], []))


@pytest.mark.parametrize('what', ['weights', 'gradient'])
def test_numbers_that_are_not_finite_stop_the_training(what):
    pictures = [np.random.default_rng(0).integers(0, 256, (CROP, CROP, 3), dtype=np.uint8)], []
    settings = {'steps': 20, 'batch_size': 2, 'lr': 1e-3, 'scene_share': 0, 'seed': 5}
    training = Training(DECODERS['factor1'], pictures, settings, torch.device('cpu'))
    first, second, *_ = training.generator.parameters()
    if what == 'weights':
        first.data.fill_(float('nan'))
    else:
        first.register_hook(lambda gradient: gradient * float('nan'))
    before = second.detach().clone()
    with pytest.raises(UserError, match=r'step 0: the loss .* its gradient nan'):
        training.step()
    assert torch.equal(second, before)


@pytest.mark.parametrize('name', ['transposed_x2', 'latent_f4'])
def test_an_interrupted_training_ends_as_an_undisturbed_one(name, tmp_path):
    pictures = [np.random.default_rng(i).integers(0, 256, (CROP, CROP + 9, 3), dtype=np.uint8) for i in range(3)]
    settings = {'steps': 20, 'batch_size': 2, 'lr': 1e-3, 'scene_share': 0.3, 'seed': 5}

    def start(more=()):
        cpu = torch.device('cpu')
        return Training(DECODERS[name], (pictures[:2], pictures[2:]), settings | dict(more), cpu)

    undisturbed = start()
    for _ in range(6):
        undisturbed.step()
    interrupted = start()
    for _ in range(3):
        interrupted.step()
    interrupted.seconds = 7.0
    interrupted.save(tmp_path / 'state')
    again = start()
    again.step()
    again.load(tmp_path / 'state')
    for _ in range(3):
        again.step()
    assert again.done == 6 and again.seconds == 7.0
    for part in ('average', 'generator', 'judge'):
        one, other = (getattr(each, part).state_dict() for each in (undisturbed, again))
        assert all(torch.equal(value, other[key]) for key, value in one.items()), part
    with pytest.raises(UserError, match=r'other settings \(lr\)'):
        start({'lr': 1e-4}).load(tmp_path / 'state')


def test_a_training_that_is_stopped_goes_on(call, photo_folder, tmp_path, monkeypatch):
    def stop_at(step):
        def stepping(training):
            losses = real_step(training)
            if training.done == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return losses

        return stepping

    words = ('generators/train.py', '--photos', photo_folder, '--scenes', '0', '--steps', '9', '--batch_size', '1')
    words = (*words, '--decoders', 'shuffle_x2', '--out')
    call(*words, tmp_path / 'whole')
    real_step = Training.step
    monkeypatch.setattr(Training, 'step', stop_at(4))
    status, out, _ = call(*words, tmp_path / 'parts')
    assert status == 128 + signal.SIGTERM and 'stopped after step 4 of 9; the same command goes on' in out
    assert not (tmp_path / 'parts' / 'shuffle_x2.pth').exists()
    monkeypatch.setattr(Training, 'step', real_step)
    status, out, error = call(*words, tmp_path / 'parts')
    assert status == 0 and 'going on after step 4' in out, error
    whole, parts = ((tmp_path / name / 'shuffle_x2.pth').read_bytes() for name in ('whole', 'parts'))
    assert whole == parts and not list((tmp_path / 'parts').glob('*.state'))
