"""The front doors as a user meets them: what they write, and the one clear error for each mistake."""

import re
import shutil

import numpy as np
import pytest
import torch

from analysis.scores import read_scores
from networks import load_detector
from tests.conftest import SMALL, make_image, make_labelled, train_arguments
from tests.test_data import broken_files
from util.files import read_json

SCRIPTS = (
    'train.py', 'test.py', 'detect.py', 'visualize_attention.py', 'visualize_cam.py', 'faithfulness.py',
    'disagreements.py', 'robustness.py', 'show_failures.py', 'make_benchmark.py', 'join_copy.py',
)  # fmt: skip

# -- test.py ---------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_detector(call, checkpoints, forensynths, tmp_path):
    from data.images import load_rgb
    from data.transforms import ScoreTransform, normalise

    path = checkpoints['multiscale_attention']
    status, out, _ = call(
        'test.py', '--model_path', path, '--dataroot', forensynths / 'test', '--output_dir', tmp_path, *SMALL
    )
    assert status == 0 and '2 generators in test; 24 images' in out and 'mean of 2' in out
    frame = read_scores(tmp_path / 'scores.csv')
    detector, _ = load_detector(path)
    for row in frame.iloc[::7].to_dict('records'):
        image = normalise(ScoreTransform(40, 32)(load_rgb(forensynths / 'test' / row['path'])))[None]
        with torch.no_grad():
            logit, weights = detector(image, return_attention=True)
        assert row['logit'] == pytest.approx(logit.item(), abs=1e-4)
        found = [row[f'attention_{scale}'] for scale in (0.25, 0.5, 0.75)]
        np.testing.assert_allclose(found, weights[0], atol=1e-5)
    metrics = read_json(tmp_path / 'metrics.json')
    assert [entry['generator'] for entry in metrics['generators']] == ['biggan', 'stylegan']
    assert metrics['pixels'] == {'load_size': 40, 'crop_size': 32, 'precision': 'fp32'}


def test_one_class_only_says_what_is_undefined(call, checkpoints, tmp_path):
    make_image(tmp_path / 'gen' / '1_fake' / 'a.png', 0, True)
    arguments = ('--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen', '--no_resize')
    status, out, _ = call('test.py', *arguments, '--output_dir', tmp_path / 'out', '--num_threads', '0')
    assert status == 0 and 'fake images only, so AP and AUC are undefined' in out
    metrics = read_json(tmp_path / 'out' / 'metrics.json')
    assert metrics['mean'] is None and metrics['generators'][0]['ap'] is None


def test_mistakes_in_testing(fails, checkpoints, forensynths, tmp_path):
    model = ('--model_path', checkpoints['multiscale_attention'])
    data = ('--dataroot', forensynths / 'test')
    assert 'no such checkpoint' in fails('test.py', '--model_path', tmp_path / 'x.pth', *data)
    assert 'no such folder' in fails('test.py', *model, '--dataroot', tmp_path / 'x')
    assert 'command line says single_scale' in fails('test.py', *model, *data, '--model_type', 'single_scale')
    assert 'command line says (0.5, 0.25, 0.75)' in fails('test.py', *model, *data, '--npr_scales', '0.5,0.25,0.75')
    (tmp_path / 'file').touch()
    assert 'cannot write there' in fails('test.py', *model, *data, '--output_dir', tmp_path / 'file' / 'out')
    assert '--classes needs one generator' in fails('test.py', *model, *data, '--classes', 'car')


@pytest.mark.parametrize('name', ['text.png', 'truncated.jpg', 'empty.png', 'bomb.png'])
def test_bad_images_stop_testing_and_no_result_is_written(fails, checkpoints, tmp_path, name):
    make_labelled(tmp_path / 'gen', 1)
    faults = broken_files(tmp_path)
    (tmp_path / name).rename(tmp_path / 'gen' / '1_fake' / name)
    model = ('--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen')
    message = fails('test.py', *model, '--output_dir', tmp_path / 'out', '--no_resize', '--num_threads', '1')
    assert faults[name] in message and f'1_fake/{name}' in message
    # what was scored before stays for the next try
    assert {path.name for path in (tmp_path / 'out').iterdir()} <= {'scores.part-0.jsonl'}


# -- train.py --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'change, message',
    [
        ({'npr_scales': '0'}, 'between 0 and 1'),
        ({'npr_scales': '0.5,1'}, 'between 0 and 1'),
        ({'npr_scales': 'abc'}, 'expected numbers separated by commas'),
        ({'npr_scales': '0.25,0.5'}, 'single_scale takes one NPR scale'),
        ({'model_type': 'resnet'}, "invalid choice: 'resnet'"),
        ({'model_type': 'multiscale_attention', 'npr_scales': '0.5,0.5,0.75'}, 'two or more different NPR scales'),
        ({'fusion': 'uniform'}, 'single_scale has no attention, so --fusion'),
        (
            {'model_type': 'multiscale_attention', 'fusion': 'uniform', 'entropy_weight': '0.1'},
            '--fusion uniform has no MLP',
        ),
        (
            {'model_type': 'multiscale_attention', 'fusion': 'evidence', 'aux_loss_weight': '1'},
            '--fusion evidence trains every branch alone',
        ),
        ({'model_type': 'multiscale_attention', 'patch_loss': True}, '--patch_loss is for single_scale, or --fusion'),
        ({'unknown_flag': True}, 'unrecognized arguments: --unknown_flag'),
        ({'blur': '0.5'}, 'unrecognized arguments: --blur'),  # no abbreviations either
        ({'gpu_ids': '0'}, '0 CUDA devices found'),
        ({'gpu_ids': '0,1'}, 'torchrun --nproc_per_node 2'),
        ({'classes': 'car,unicorn'}, "no class folder 'unicorn'"),
        ({'scale_dropout': '0.5'}, 'single_scale has no attention'),
        ({'jpg_qual': '90,10'}, 'LOW <= HIGH'),
        ({'cropSize': '64'}, '--cropSize 64 is larger than the side of 40'),
        ({'lr': '0'}, 'more than 0'),
        ({'pairs': True, 'batch_size': 7}, '--pairs takes an even --batch_size, found 7'),
        ({'dataroot': 'nowhere'}, 'no such folder'),
    ],
)
def test_mistakes_in_training(fails, forensynths, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert message in fails('train.py', *train_arguments(forensynths, tmp_path / 'ck', **change))
    assert not (tmp_path / 'ck').exists()


def test_empty_class_missing_real_and_unwritable_folder(fails, tmp_path):
    for split in ('train', 'val'):
        make_labelled(tmp_path / 'data' / split / 'car', 1)
    (tmp_path / 'data' / 'train' / 'cat' / '0_real').mkdir(parents=True)
    arguments = train_arguments(tmp_path / 'data', tmp_path / 'ck', classes='car,cat')
    assert 'train/cat: no images under 0_real/' in fails('train.py', *arguments)
    make_image(tmp_path / 'data' / 'train' / 'cat' / '1_fake' / 'x.png', 0, True)
    assert 'train/cat: no images under 0_real/' in fails('train.py', *arguments)
    (tmp_path / 'ck').touch()
    assert 'cannot write there' in fails(
        'train.py', *train_arguments(tmp_path / 'data', tmp_path / 'ck', classes='car')
    )


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_explains_and_unknown_flags_stop(call, fails, script):
    status, out, _ = call(script, '--help')
    assert status == 0 and '(default: ' in out and '(default: None)' not in out and '(default: False)' not in out
    assert 'error:' in fails(script, '--no_such_flag')
    assert not re.search(r'default: (\w+\)? \(default|[\[(])', ' '.join(out.split()))  # said twice, or as Python does


def test_help_says_defaults_as_they_are_typed(call):
    helps = {script: ' '.join(call(script, '--help')[1].split()) for script in (*SCRIPTS[:2], 'leave_one_out.py')}
    assert all(f'(default: {ends})' in helps['train.py'] for ends in ('0,3', '30,100', '0.5,1.5'))
    assert 'default: single_scale 0.5; multiscale_attention 0.25,0.5,0.75' in helps['train.py']
    assert 'default: those of the checkpoint; of a bare state dict: single_scale 0.5;' in helps['test.py']
    assert 'of the trainings (default: 0) --niter' in helps['leave_one_out.py']


def test_results_of_other_images_are_not_replaced(call, fails, checkpoints, forensynths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = checkpoints['single_scale']
    words = ('--model_path', path, '--dataroot', forensynths / 'test' / 'biggan', *SMALL)
    assert call('test.py', *words)[0] == call('test.py', *words)[0] == 0  # the same again is no other
    message = fails('test.py', *words[:4], '--mode', 'native', *SMALL[4:])
    assert 'holds results of other pixels' in message and '--output_dir' in message
    make_labelled(tmp_path / 'other' / 'biggan')
    assert 'results of other dataroot' in fails('test.py', *words[:3], tmp_path / 'other' / 'biggan', *SMALL)
    copied = tmp_path / 'elsewhere' / path.parent.name / path.name  # as another design's seed_0
    copied.parent.mkdir(parents=True)
    shutil.copy(path, copied)
    assert 'results of other model_path' in fails('test.py', '--model_path', copied, *words[2:])


def test_scoring_other_pixels_than_trained_on_is_said(call, checkpoints, forensynths, tmp_path):
    words = ('--model_path', checkpoints['single_scale'], '--dataroot', forensynths / 'test' / 'biggan')
    last = ('--output_dir', tmp_path / 'out', *SMALL[4:])
    _, out, _ = call('test.py', *words, '--mode', 'native', *last)
    assert 'warning: trained on resized pixels, scores native ones; leave out --mode' in out
    assert 'warning' not in call('test.py', *words, *last, *SMALL[:4])[1]


def test_pixels_follow_the_detector(call, fails, checkpoints, forensynths, tmp_path):
    state = torch.load(checkpoints['single_scale'], weights_only=True)
    native, frozen = tmp_path / 'native' / 'a.pth', tmp_path / 'frozen' / 'a.pth'
    calibration = {'threshold': 0.0, 'temperature': None, 'pixels': {'load_size': None, 'crop_size': 48}}
    for path, extras in ((native, {}), (frozen, {'calibration': calibration})):
        path.parent.mkdir()
        torch.save(state | {'pixels': {'load_size': None, 'crop_size': 32}} | extras, path)
    data, last = ('--dataroot', forensynths / 'test' / 'biggan'), SMALL[4:]
    for number, (path, words, expected) in enumerate(
        (
            (native, (), 'native, centre crop of 224'),
            (native, ('--cropSize', '32'), 'native, centre crop of 32'),
            (frozen, (), 'native, centre crop of 48'),
            (frozen, ('--mode', 'native'), 'native, centre crop of 224'),
            (native, ('--loadSize', '64', '--cropSize', '32'), 'resized to 64 x 64'),
            (checkpoints['single_scale'], (), 'resized to 40 x 40, centre crop of 32'),  # as it was trained
        )
    ):
        out_folder = ('--output_dir', tmp_path / str(number))
        status, out, error = call('test.py', '--model_path', path, *data, *words, *out_folder, *last)
        assert status == 0 and f'pixels: {expected}' in out, (out, error)
        assert ('scores resized ones; leave out --loadSize' in out) == ('--loadSize' in words)
        assert ('the threshold was frozen on other pixels' in out) == ('--mode' in words)
    both = ('--model_path', native, frozen)
    message = fails('robustness.py', *both, *data, '--out', tmp_path / 'r', *last)
    assert 'wants native, centre crop of 224' in message and 'wants native, centre crop of 48' in message


# -- analysis.compare ------------------------------------------------------------------------------------------------


def test_compare_two_results(call, checkpoints, forensynths, tmp_path):
    for name, path in checkpoints.items():
        data = ('--dataroot', forensynths / 'test', '--output_dir', tmp_path / name)
        assert call('test.py', '--model_path', path, *data, *SMALL)[0] == 0
    status, out, error = call('analysis/compare.py', *(tmp_path / name for name in checkpoints), '--out', tmp_path)
    assert status == 0, error
    assert 'AP single_scale' in out and (tmp_path / 'comparison.md').read_text() in out
    assert (tmp_path / 'comparison.png').stat().st_size > 20_000
