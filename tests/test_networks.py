"""Detectors against an independently written baseline, and by what they must keep."""

import numpy as np
import pytest
import torch

from networks import (
    DETECTORS,
    MultiScaleNPR,
    SingleScaleNPR,
    count_parameters,
    create_detector,
    detector_config,
    load_detector,
    save_checkpoint,
)
from networks.folding import fold_batch_norms
from networks.scoring import prepare, score_batch
from tests.reference import PublishedNPR, randomise_norms


@pytest.mark.parametrize('size', [(224, 224), (256, 256), (240, 320)])
def test_published_weights_give_the_published_logits(tmp_path, size):
    published = randomise_norms(PublishedNPR())
    torch.save(published.state_dict(), tmp_path / 'NPR.pth')
    detector, config = load_detector(tmp_path / 'NPR.pth', model_type='single_scale')
    assert config['npr_scales'] == (0.5,) and 'assumed' in config
    image = torch.randn(2, 3, *size) * torch.tensor([0.3, 3.0]).view(2, 1, 1, 1)
    with torch.no_grad():
        expected, found = published(image), detector(image)
    assert expected.std() > 1e-2  # otherwise agreement would mean nothing
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_parameter_counts():
    assert count_parameters(SingleScaleNPR()) == 1_437_761
    assert count_parameters(SingleScaleNPR()) == count_parameters(PublishedNPR())
    branch = count_parameters(MultiScaleNPR((0.25, 0.5)).feature_branches[0])
    attention = 128 * 3 * 32 + 32 + 32 * 3 + 3
    assert count_parameters(MultiScaleNPR()) == 3 * branch + attention + 129 == 2_038_724


def test_fine_trunks_keep_full_resolution_in_the_stem():
    detector, image = SingleScaleNPR(fine=True).eval(), torch.randn(1, 3, 40, 24)
    assert detector.conv1(image).shape == (1, 32, 40, 24) and detector.maxpool(image) is image
    assert detector.maps(image).shape == (1, 64, 10, 6) and detector(image).shape == (1, 1)
    trunk = count_parameters(detector) - 65
    attention = 64 * 3 * 32 + 32 + 32 * 3 + 3
    assert count_parameters(MultiScaleNPR(fine=True)) == 3 * trunk + attention + 65 == 241_252


@pytest.mark.parametrize('build', [SingleScaleNPR, MultiScaleNPR])
def test_two_grids_double_what_the_stem_sees_and_no_more(build):
    plain, double = build(fine=True), build(fine=True, grids=2)
    stems = len(plain.npr_scales) * 32 * 3 * 9
    assert count_parameters(double) == count_parameters(plain) + stems
    doubled = torch.randn(1, 3, 16, 16).repeat_interleave(2, 2).repeat_interleave(2, 3)
    seen, halves = torch.cat([doubled, torch.zeros_like(doubled)]), (0.5,) * len(plain.npr_scales)
    with torch.no_grad():
        blind, seeing = (build(halves, fine=True, grids=grids).eval()(seen)[:, 0] for grids in (1, 2))
    assert blind[0] == blind[1] and seeing[0] != seeing[1]  # what is alike within every block of the first grid


def test_every_branch_has_its_own_grids():
    detector = MultiScaleNPR((0.5, 0.5), fine=True, fusion='evidence', grids=(1, 2)).eval()
    assert [branch.conv1.in_channels for branch in detector.feature_branches] == [3, 6]
    doubled = torch.randn(1, 3, 16, 16).repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        branches = detector(torch.cat([doubled, torch.zeros_like(doubled)]), return_branches=True)[2]
    assert branches[0, 0] == branches[1, 0] and branches[0, 1] != branches[1, 1]


@pytest.mark.parametrize('size', [(224, 224), (97, 131)])
@pytest.mark.parametrize('scales', [(0.25, 0.5, 0.75), (0.2, 0.4, 0.6, 0.8)])
def test_fused_logit_is_the_weighted_mean_of_branch_logits(scales, size):
    detector = randomise_norms(MultiScaleNPR(scales))
    with torch.no_grad():
        logits, weights, branches = detector(torch.randn(3, 3, *size), return_branches=True)
    assert logits.shape == (3, 1) and weights.shape == branches.shape == (3, len(scales))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    torch.testing.assert_close(logits[:, 0], (weights * branches).sum(1))


def test_each_branch_sees_its_own_scale():
    detector = randomise_norms(MultiScaleNPR((0.25, 0.5)))
    doubled = torch.randn(1, 3, 32, 32).repeat_interleave(2, 2).repeat_interleave(2, 3)
    empty = torch.zeros_like(doubled)
    with torch.no_grad():
        of_doubled = detector(doubled, return_branches=True)[2][0]
        of_empty = detector(empty, return_branches=True)[2][0]
    assert of_doubled[1] == of_empty[1]  # the residual at 0.5 of a doubled image is zero
    assert (of_doubled[0] - of_empty[0]).abs() > 1e-4


@pytest.mark.parametrize('scales', [(0.25, 0.5, 0.75), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize('fusion', ['uniform', 'constant'])
def test_controls_weigh_every_image_alike(scales, fusion):
    detector = randomise_norms(MultiScaleNPR(scales, fine=True, fusion=fusion)).train()
    images = torch.randn(5, 3, 24, 24)
    logits, weights, branches = detector(images, return_branches=True)
    torch.testing.assert_close(weights, torch.full((5, 3), 1 / 3))
    torch.testing.assert_close(logits[:, 0], branches.mean(1))
    logits.square().sum().backward()
    preference = detector.attention_fusion.preference
    assert (preference.grad is not None and preference.grad.abs().sum() > 0) == (fusion == 'constant')
    with torch.no_grad():
        preference.copy_(torch.tensor([0.0, 1.0, 3.0]).log().clamp_min(-50))
        weights = detector.eval()(images, return_attention=True)[1]
    torch.testing.assert_close(weights, torch.tensor([0, 0.25, 0.75]).expand(5, 3))


def test_evidence_weighs_scales_by_how_fake_they_find_an_image():
    detector, images = randomise_norms(MultiScaleNPR(fine=True, fusion='evidence')), torch.randn(4, 3, 24, 24)
    with torch.no_grad():
        detector.classifier.weight.mul_(20)
        logits, weights, branches = detector(images, return_branches=True)
    assert detector.has_attention and count_parameters(detector) == 3 * count_parameters(SingleScaleNPR(fine=True))
    torch.testing.assert_close(weights, branches.softmax(1))
    torch.testing.assert_close(logits[:, 0], (weights * branches).sum(1))
    torch.testing.assert_close(weights.argmax(1), branches.argmax(1))
    assert torch.all(logits[:, 0] > branches.mean(1)) and torch.all(logits[:, 0] < branches.amax(1))
    loop = [sum(b * np.exp(b) for b in row) / sum(np.exp(b) for b in row) for row in branches.double().numpy()]
    np.testing.assert_allclose(logits[:, 0].numpy(), loop, rtol=1e-4)


def test_branches_that_are_trained_apart_come_to_one_scale():
    detector = MultiScaleNPR(fine=True, fusion='evidence')
    head, rng = detector.classifier, np.random.default_rng(0)
    for scale in range(3):  # each logit is one feature, plus its number
        head.weight.data[scale], head.bias.data[scale] = torch.eye(64)[scale], float(scale)
    means, deviations = np.array([-5.0, -1.0, -9.0]), np.array([1.0, 0.5, 4.0])
    for _ in range(600):
        raw = torch.tensor(rng.normal(means, deviations, (40, 3)), dtype=torch.float32)
        labels = torch.tensor(rng.integers(0, 2, 40))
        head.observe(raw + 100 * labels[:, None], labels)  # fakes do not count
    features = torch.zeros(2000, 3, 64)
    reals = rng.normal(means, deviations, (2000, 3))
    for scale in range(3):
        features[:, scale, scale] = torch.tensor(reals[:, scale] - scale)
    torch.testing.assert_close(detector.train().classify(features), torch.tensor(reals, dtype=torch.float32))
    found = detector.eval().classify(features)
    torch.testing.assert_close(found.mean(0), torch.full((3,), -5.0), atol=0.2, rtol=0)
    torch.testing.assert_close(found.std(0), torch.full((3,), 5.5 / 3), atol=0.15, rtol=0)
    expected = means.mean() + (reals - means) / deviations * deviations.mean()
    assert np.abs(found.detach().numpy() - expected).max() < 0.8
    loop = [(w * b).sum() for w, b in zip(found.softmax(1), found, strict=True)]
    torch.testing.assert_close(detector.decide(features)[0][:, 0], torch.stack(loop))


def test_equal_scales_are_a_control_without_attention_to_tell_of(tmp_path):
    detector = MultiScaleNPR((0.5, 0.5, 0.5), fine=True)
    assert not detector.has_attention and MultiScaleNPR(fine=True).has_attention
    assert count_parameters(detector) == count_parameters(MultiScaleNPR(fine=True))
    config = detector_config('multiscale_attention', (0.5, 0.5, 0.5), fine=True)
    save_checkpoint(tmp_path / 'c.pth', config, detector.state_dict())
    found, _ = load_detector(tmp_path / 'c.pth')
    images = torch.randn(2, 3, 24, 24)
    logits, weights = score_batch(found, images, torch.device('cpu'))
    assert weights is None
    with torch.no_grad():
        torch.testing.assert_close(logits, detector.eval()(images)[:, 0])
    with pytest.raises(ValueError, match='different NPR scales'):
        MultiScaleNPR((0.5, 0.5, 0.75))
    with pytest.raises(ValueError, match='unknown fusion'):
        MultiScaleNPR(fusion='mean')


def test_training_aids():
    start = MultiScaleNPR(zero_init_attention=True).eval()
    _, weights = start(torch.randn(2, 3, 32, 32), return_attention=True)
    torch.testing.assert_close(weights, torch.full((2, 3), 1 / 3))

    dropping = MultiScaleNPR(scale_dropout=0.5).train()
    _, weights = dropping(torch.randn(64, 3, 16, 16), return_attention=True)
    left_out = (weights == 0).float().mean().item()
    assert 0.3 < left_out < 0.55  # half, less the scale that always stays
    assert torch.all(weights.sum(1) > 0.999)
    _, weights = dropping.eval()(torch.randn(8, 3, 16, 16), return_attention=True)
    assert torch.all(weights > 0)

    plain, normalised = MultiScaleNPR().eval(), MultiScaleNPR(normalize_features=True).eval()
    normalised.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for factor in (1, 100):  # without normalisation a hundredfold contrast multiplies the logit
            torch.testing.assert_close(normalised(image * factor), normalised(image), rtol=0.05, atol=0.02)
        assert not torch.allclose(plain(image * 100), plain(image), rtol=0.05, atol=0.02)


@pytest.mark.parametrize('fine', [False, True])
@pytest.mark.parametrize('model_type', DETECTORS)
def test_folding_batch_norms_keeps_the_logits(model_type, fine):
    detector = randomise_norms(create_detector(detector_config(model_type, fine=fine)))
    folded = fold_batch_norms(detector)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(folded(image), detector(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize('model_type', DETECTORS)
def test_bf16_is_close_and_does_not_tie(model_type):
    detector = prepare(randomise_norms(create_detector(detector_config(model_type))), torch.device('cpu'))
    images = torch.randn(48, 3, 16, 16)
    plain, _ = score_batch(detector, images, torch.device('cpu'), 'fp32')
    fast, weights = score_batch(detector, images, torch.device('cpu'), 'bf16')
    assert fast.dtype == torch.float32 and len(fast.unique()) == 48
    assert (fast - plain).abs().max() < 0.2 * plain.std()
    assert weights is None or torch.allclose(weights.sum(1), torch.ones(48))


@pytest.mark.parametrize('model_type', DETECTORS)
def test_checkpoint_rebuilds_its_detector(tmp_path, model_type):
    scales = (0.3,) if model_type == 'single_scale' else (0.3, 0.7)
    detector = create_detector(detector_config(model_type, scales)).eval()
    save_checkpoint(tmp_path / 'c.pth', detector_config(model_type, scales), detector.state_dict(), epoch=3)
    again, config = load_detector(tmp_path / 'c.pth')
    assert config == {'model_type': model_type, 'npr_scales': scales}
    image = torch.randn(1, 3, 40, 40)
    assert torch.equal(again(image), detector(image))
    assert [path.name for path in tmp_path.iterdir()] == ['c.pth']
