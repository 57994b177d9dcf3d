"""Verdicts that are read against those of a smaller copy: the copy, the fit, the script, the study that uses it."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import minimize
from torchvision.transforms.v2.functional import pil_to_tensor

from analysis.copies import fit_join
from analysis.scores import read_scores
from data.transforms import normalise, wanted_pixels
from leave_one_out import get_parser, main
from networks import create_detector, detector_config, load_checkpoint, load_detector, save_checkpoint
from networks.copies import smaller_copy
from networks.scoring import prepare, score_batch
from report import release_field
from tests.conftest import make_labelled
from util.errors import UserError
from util.files import read_json

CPU = torch.device('cpu')
NATIVE = ['--no_resize', '--no_crop', '--num_threads', '0', '--precision', 'fp32']


def fresh(**options):
    return create_detector(detector_config('single_scale', fine=True, **options)).eval()


def test_a_copy_is_what_pillow_makes_of_the_image():
    rows, columns = np.mgrid[:72, :59]
    pixels = (127 + 60 * np.sin(rows / 5) + 40 * np.cos(columns / 3))[..., None] + [0, 9, -9]
    image = Image.fromarray(pixels.round().astype(np.uint8))
    expected = pil_to_tensor(image.resize((40, 48), Image.Resampling.BICUBIC)).float()
    found = smaller_copy(pil_to_tensor(image)[None].float(), 0.75)[0]
    assert found.shape == (3, 48, 40)  # 54 x 44.25, cut to multiples of 8
    assert (found - expected).abs().max() < 1
    assert smaller_copy(torch.zeros(1, 3, 9, 30), 0.5).shape == (1, 3, 8, 8)
    assert smaller_copy(torch.zeros(1, 3, 80, 80, dtype=torch.bfloat16), 0.7).shape == (1, 3, 56, 56)  # not 55.99...


def test_a_detector_joins_both_logits_and_starts_with_the_image_alone():
    plain, joined = fresh(), fresh(copy=0.75)
    for detector in (plain, joined):
        for module in detector.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.fill_(0.05)
                module.running_var.fill_(0.7)
    joined.load_state_dict({**joined.state_dict(), **plain.state_dict()})
    images = normalise(torch.randint(0, 256, (3, 3, 64, 48), dtype=torch.uint8))
    with torch.no_grad():
        own, copy = plain(images), plain(smaller_copy(images, 0.75))
        torch.testing.assert_close(joined(images), own)
        joined.join.weight.copy_(torch.tensor([[3.0, -2.0]]))
        joined.join.bias.fill_(0.25)
        torch.testing.assert_close(joined(images), 3 * own - 2 * copy + 0.25)
        torch.testing.assert_close(joined(images, return_patches=True), plain(images, return_patches=True))
    scored = score_batch(prepare(joined, CPU), images, CPU)[0]  # batch norms folded
    torch.testing.assert_close(scored, (3 * own - 2 * copy + 0.25)[:, 0], rtol=1e-4, atol=1e-4)
    for wrong in (0, 1, 1.5):
        with pytest.raises(ValueError, match='between 0 and 1'):
            fresh(copy=wrong)


def test_copies_are_scored_in_the_precision_of_images_and_joined_in_full():
    plain, joined = fresh(), fresh(copy=0.75)
    joined.load_state_dict({**joined.state_dict(), **plain.state_dict()})
    images = normalise(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    own, copy = (score_batch(plain, x, CPU, 'bf16')[0] for x in (images, smaller_copy(images, 0.75)))
    assert not torch.equal(copy, score_batch(plain, smaller_copy(images, 0.75), CPU)[0])
    for weights in ((0.0, 1.0), (300.0, -299.0)):  # in bf16 differences of such products would be lost
        with torch.no_grad():
            joined.join.weight.copy_(torch.tensor([weights]))
        found = score_batch(joined, images, CPU, 'bf16')[0]
        torch.testing.assert_close(found, weights[0] * own + weights[1] * copy, rtol=1e-6, atol=1e-4)


def test_the_fit_is_a_logistic_regression_with_equal_shares():
    rng = np.random.default_rng(0)
    labels, sources = np.repeat([0, 1], 150), np.tile(['a', 'a', 'b'], 100)
    copy = rng.normal(1, 2, 300)
    own = 0.6 * copy + labels + (sources == 'b') + rng.normal(size=300)
    shares = np.array([1 / ((labels == x) & (sources == s)).sum() for x, s in zip(labels, sources, strict=True)])
    shares *= 300 / 4  # four groups, each as heavy as a quarter of the images
    logits = (np.stack([own, copy], 1) - [own.mean(), copy.mean()]) / [own.std(), copy.std()]

    def cost(w):
        return shares @ np.logaddexp(0, np.where(labels, -1, 1) * (logits @ w[:2] + w[2])) + w[:2] @ w[:2] / 2

    w = minimize(cost, np.zeros(3), method='BFGS').x
    found = fit_join(own, copy, labels, sources)
    expected = w[0] / own.std(), w[1] / copy.std()
    assert found[:2] == pytest.approx(expected, rel=5e-3) and found[1] < 0 < found[0]
    assert found[2] == pytest.approx(w[2] - expected[0] * own.mean() - expected[1] * copy.mean(), abs=5e-3)
    with pytest.raises(UserError, match='takes real and fake'):
        fit_join(own, copy, np.zeros(300), sources)
    with pytest.raises(UserError, match='are the same'):
        fit_join(own, np.ones(300), labels, sources)


def test_from_validation_images_to_a_detector(call, fails, checkpoints, tmp_path):
    for number, source in enumerate(('a', 'b')):
        make_labelled(tmp_path / 'val' / source, 6, side=64, seed=number)
    trained = tmp_path / 'trained.pth'
    content = load_checkpoint(checkpoints['single_scale'])
    save_checkpoint(trained, **content | {'calibration': {'threshold': 7.0}})
    before = trained.read_bytes()
    out = tmp_path / 'new' / 'joined.pth'
    words = ['--dataroot', tmp_path / 'val', *NATIVE]
    status, printed, _ = call('join_copy.py', '--model_path', trained, '--out', out, '--copy', 0.5, *words)
    assert status == 0 and 'fitted on 24 images' in printed and trained.read_bytes() == before
    config = load_detector(out)[1]
    assert config['copy'] == 0.5 and 'calibration' not in config and config['pixels'] == content['pixels']
    assert wanted_pixels(config) == (None, None)  # those the join was fitted on, not the default crop
    assert call('test.py', '--model_path', out, '--output_dir', tmp_path / 'scores', *words)[0] == 0
    frame = read_scores(tmp_path / 'scores' / 'scores.csv')
    plain, own, copies = load_detector(trained)[0], [], []
    with torch.no_grad():
        for path in frame['path']:
            image = normalise(pil_to_tensor(Image.open(tmp_path / 'val' / path))[None])
            own.append(float(plain(image)))
            copies.append(float(plain(smaller_copy(image, 0.5))))
    weights = fit_join(own, copies, frame['label'], frame['generator'])
    joined = weights[0] * np.array(own) + weights[1] * np.array(copies) + weights[2]
    assert frame['logit'].to_numpy() == pytest.approx(joined, rel=1e-3, abs=5e-3)
    assert np.ptp(joined) > 0.1
    words = ['--dataroot', tmp_path / 'val', '--out', tmp_path / 'x.pth', *NATIVE]
    for place, why in ((trained, 'stays as it is'), (tmp_path, 'a folder; give a file in it')):
        message = fails('join_copy.py', '--model_path', trained, *words[:2], '--out', place, *NATIVE)
        assert why in message and trained.read_bytes() == before
    for path in (out, checkpoints['multiscale_attention']):
        assert 'expected a single_scale detector' in fails('join_copy.py', '--model_path', path, *words)
    assert '--copy: 1: expected between 0 and 1, both excl' in fails(
        'join_copy.py', '--model_path', trained, '--copy', 1, *words
    )
    words = ['--dataroot', tmp_path / 'val', '--output_dir', tmp_path / 'cams', *NATIVE[:2], '--num_samples', 4]
    assert call('visualize_cam.py', '--model_path', out, *words)[0] == 0
    entries = read_json(tmp_path / 'cams' / 'cams.json')['images']
    logits = dict(zip(frame['path'], frame['logit'], strict=True))
    for entry in entries:
        assert entry['logit'] == pytest.approx(logits[entry['path']], rel=1e-3, abs=5e-3)
        assert entry['weights'] == pytest.approx(list(weights[:2]), rel=1e-2)


def test_generators_are_left_out_with_copies(field):
    shutil.rmtree(field / 'two')
    words = ['--dataroot', field, '--out', field.parent / 'out', '--reals', 'lender', '--niter', 1, '--copy', 0.75]
    words += ['--false_alarm_rate', 0.5, '--side_by_side', 2, '--', '--cropSize', 32, '--batch_size', 8]
    main(get_parser().parse_args([*map(str, words), '--num_threads', '0']))
    out = field.parent / 'out'
    found = read_json(out / 'leave_one_out.json')
    assert found['asked']['copy'] == 0.75
    joined = load_checkpoint(out / 'checkpoints' / 'one_seed_0' / 'model_epoch_joined.pth')
    frame = read_scores(out / 'scores' / 'one' / 'one_seed_0' / 'as_is' / 'scores.csv')
    real = frame['logit'][frame['label'] == 0] <= joined['calibration']['threshold']
    assert found['generators']['as_is']['one']['real_accuracy'] == [real.mean()]
    release_field.main(release_field.get_parser().parse_args([str(out), '--out', str(field.parent / 'released')]))
    assert load_detector(field.parent / 'released' / 'fine_npr_copy.pth')[1]['copy'] == 0.75
    card = ' '.join((field.parent / 'released' / 'fine_npr_copy.md').read_text().split())
    own = load_checkpoint(out / 'checkpoints' / 'all_seed_0' / 'model_epoch_joined.pth')['model']['join.weight'][0, 0]
    assert f'`join_copy.py` fitted {own:.2f} x image' in card
