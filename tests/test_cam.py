"""Class activation maps, occlusion, and visualize_cam.py."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from analysis.cam_figure import as_they_count
from networks import create_detector, detector_config
from networks.cam import activation_maps, cell_size, names_of, occlusion
from networks.npr import residuals
from networks.scoring import prepare, score_batch
from networks.trainer import Trainer
from tests.conftest import SMALL
from visualize_cam import agreement

CPU = torch.device('cpu')
DESIGNS = [
    ('single_scale', {}),
    ('single_scale', {'fine': True}),
    ('multiscale_attention', {}),
    ('multiscale_attention', {'normalize_features': True}),
    ('multiscale_attention', {'fine': True}),
    ('multiscale_attention', {'fine': True, 'fusion': 'uniform'}),
    ('multiscale_attention', {'fine': True, 'fusion': 'evidence'}),
    ('multiscale_attention', {'fine': True, 'npr_scales': (0.5, 0.5)}),
    ('single_scale', {'fine': True, 'grids': 2}),
    ('single_scale', {'fine': True, 'copy': 0.75}),
    ('multiscale_attention', {'fine': True, 'fusion': 'evidence', 'grids': (1, 2, 2)}),
]


def made(model_type, **options):
    detector = create_detector(detector_config(model_type, **options)).eval()
    if options.get('fusion') == 'evidence':
        detector.classifier.observe(torch.randn(9, 3) * torch.tensor([1.0, 2, 3]) - 4, torch.zeros(9))
    for module in detector.modules():  # statistics that are not 0 and 1, so that nothing cancels by chance
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    if options.get('copy'):
        with torch.no_grad():
            detector.join.weight.copy_(torch.tensor([[4.0, -2.0]]))
            detector.join.bias.fill_(0.3)
    return prepare(detector, CPU)


@pytest.mark.parametrize(('model_type', 'options'), DESIGNS)
def test_the_mean_of_a_map_is_the_logit(model_type, options):
    detector, images = made(model_type, **options), torch.randn(3, 3, 72, 56)
    maps = activation_maps(detector, images)
    assert maps.fused.shape[1] * cell_size(detector) == images.shape[2]
    logits, weights = score_batch(detector, images, CPU)
    torch.testing.assert_close(maps.logits, logits)
    shape = (18, 14) if options.get('fine') else (9, 7)
    assert maps.fused.shape == (3, *shape) and maps.branches.shape == (3, len(names_of(detector)), *shape)
    torch.testing.assert_close(maps.fused.mean((1, 2)), logits, rtol=1e-4, atol=1e-4)
    if weights is not None:
        torch.testing.assert_close(maps.weights, weights)
        with torch.no_grad():
            _, _, branches = detector(images, return_branches=True)
        torch.testing.assert_close(maps.branches.mean((2, 3)), branches, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('model_type', 'options'), DESIGNS)
def test_occlusion_is_the_logit_without_residuals_in_a_window(model_type, options, monkeypatch):
    detector, image = made(model_type, **options), torch.randn(3, 64, 80)
    found = occlusion(detector, image, 32)
    assert found.shape == (2, 3)
    whole = score_batch(detector, image[None], CPU)[0]

    def blind(image, detector):
        first = {80: (32, 64), 56: (24, 45)}[image.shape[-1]]  # of the copy, 48 x 56, the same part
        for residual in residuals(image, detector):
            residual[..., first[0] :, first[1] :] = 0
            yield residual

    for module in ('networks.multiscale_npr', 'networks.single_scale'):
        monkeypatch.setattr(f'{module}.residuals', blind)
    without = score_batch(detector, image[None], CPU)[0]
    torch.testing.assert_close(found[1, 2], (whole - without)[0], rtol=1e-4, atol=1e-5)


def textures(rng, count, side):
    """Noise at full resolution, (N, 3, S, S), and the same up-sampled by 2, of equal variance."""
    real = torch.from_numpy(rng.normal(size=(count, 3, side, side))).float()
    coarse = torch.from_numpy(rng.normal(size=(count, 3, side // 2, side // 2))).float()
    return real, F.interpolate(coarse, scale_factor=2, mode='bilinear', align_corners=False) * 1.6


@pytest.mark.parametrize('model_type', ['single_scale', 'multiscale_attention'])
def test_a_trained_detector_lights_up_the_quarter_that_was_up_sampled(model_type):
    rng, detector = np.random.default_rng(0), create_detector(detector_config(model_type))
    trainer = Trainer(detector, CPU, lr=0.0005)
    for _ in range(60):
        trainer.step(torch.cat(textures(rng, 8, 64)), torch.arange(16) // 8)
    detector = prepare(detector.eval(), CPU)
    real, fake = textures(rng, 8, 64)
    logits = score_batch(detector, torch.cat([real, fake]), CPU)[0]
    assert (logits[:8] < 0).all() and (logits[8:] > 0).all()  # it is trained
    images = real.clone()
    images[..., :32, 32:] = fake[..., :32, 32:]
    evidence = activation_maps(detector, images).fused.clamp(min=0)  # for fake
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[:4, 4:] = True
    ratio = evidence[:, inside].mean(1) / evidence[:, ~inside].mean(1).clamp(min=1e-6)
    assert (ratio >= 2).all(), ratio
    moved = torch.stack([occlusion(detector, image, 32) for image in images])  # taking the quarter out takes it back
    assert (moved.flatten(1).argmax(1) == 1).all()


def test_maps_are_drawn_as_they_count():
    branches = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert as_they_count(branches, [0.3, 0.7]) is branches
    np.testing.assert_allclose(as_they_count(branches, [4, -2]).sum(0), 4 * branches[0] - 2 * branches[1])


def test_agreement_is_a_rank_correlation_over_windows():
    occluded = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    cam = F.interpolate(occluded[None, None], scale_factor=4)[0, 0]
    assert agreement(cam, occluded, 32) == pytest.approx(1) and agreement(-cam, occluded, 32) == pytest.approx(-1)
    assert agreement(torch.ones(8, 8), occluded, 32) is None
    fine = F.interpolate(occluded[None, None], scale_factor=8)[0, 0]
    fine[:8, :8] = torch.arange(8.0)  # so that a corner alone says nothing of the whole
    assert agreement(fine, occluded, 32, 4) != agreement(fine, occluded, 32, 8)
    assert agreement(F.interpolate(occluded[None, None], scale_factor=8)[0, 0], occluded, 32, 4) == pytest.approx(1)
    uneven = torch.tensor([[1.0, 9.0]])  # 7 columns of cells: the last window is smaller
    assert agreement(torch.cat([torch.ones(4, 4), torch.full((4, 3), 9.0)], 1), uneven, 32) == pytest.approx(1)


@pytest.mark.parametrize('model_type', ['single_scale', 'multiscale_attention'])
def test_visualize_cam(call, checkpoints, forensynths, tmp_path, model_type):
    words = (
        '--model_path',
        checkpoints[model_type],
        '--dataroot',
        forensynths / 'test',
        '--num_samples',
        '7',
        *SMALL[:4],
    )
    for name in ('one', 'two'):
        status, out, _ = call('visualize_cam.py', *words, '--window', '16', '--output_dir', tmp_path / name)
        assert status == 0 and 'rank correlation' in out
    for name in ('cams_01.png', 'cams_02.png', 'cams.json'):
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()
    entries = json.loads((tmp_path / 'one' / 'cams.json').read_text())['images']
    assert [entry['label'] for entry in entries] == [0, 1, 0, 1, 0, 1, 1]


def test_generators_without_reals_are_explained_beside_borrowed_ones(call, checkpoints, forensynths, tmp_path):
    source = forensynths / 'test' / 'biggan'
    shutil.copytree(source / '1_fake', tmp_path / 'lone' / '1_fake')
    words = (
        '--model_path',
        checkpoints['single_scale'],
        '--dataroot',
        tmp_path / 'lone',
        '--num_samples',
        '4',
        *SMALL[:4],
    )
    words += ('--reals', source, '--window', '16', '--output_dir', tmp_path / 'out')
    status, out, _ = call('visualize_cam.py', *words)
    assert status == 0 and 'lent to' in out
    entries = json.loads((tmp_path / 'out' / 'cams.json').read_text())['images']
    assert [entry['label'] for entry in entries] == [0, 1, 0, 1]
