"""Training: learns, logs, resumes bit for bit, stops cleanly, shares work among processes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train
from analysis.scores import read_scores
from networks import create_detector, detector_config, load_checkpoint, load_detector
from networks.trainer import NonFiniteLoss, Trainer, learning_rate
from options.train_options import get_parser
from tests.conftest import ROOT, command, make_image, make_labelled, train_arguments
from util.errors import UserError
from util.files import read_json


def run(words):
    train.main(get_parser().parse_args(words))


def assert_same_state(one, other):
    """Equal to the last bit: weights, batch-norm statistics, optimiser moments, random state."""
    one, other = load_checkpoint(one), load_checkpoint(other)
    for name, value in one['model'].items():
        assert torch.equal(value, other['model'][name]), name
    moments, others = one['trainer']['optimizer']['state'], other['trainer']['optimizer']['state']
    for key, values in moments.items():
        assert torch.equal(values['exp_avg_sq'], others[key]['exp_avg_sq'])
    assert torch.equal(one['trainer']['rng'][0]['cpu'], other['trainer']['rng'][0]['cpu'])


AIDS = {'aux_loss_weight': 0.5, 'entropy_weight': 0.01, 'scale_dropout': 0.3, 'normalize_features': True}


def test_a_run_leaves_what_it_promises(checkpoints):
    folder = checkpoints['multiscale_attention'].parent
    lines = [json.loads(line) for line in (folder / 'train_log.jsonl').read_text().splitlines()]
    assert [line['epoch'] for line in lines] == [1, 2, 3]
    assert lines[-1]['train/loss'] < lines[0]['train/loss']
    assert {'val/loss', 'val/accuracy', 'val/ap', 'val/real_accuracy', 'val/fake_accuracy'} <= lines[0].keys()
    assert sum(lines[0][f'attention/{scale}'] for scale in (0.25, 0.5, 0.75)) == pytest.approx(1, abs=1e-5)
    best = load_checkpoint(folder / 'model_epoch_best.pth')
    assert best['best_ap'] == max(line['val/ap'] for line in lines)
    assert best['epoch'] == 1 + int(np.argmax([line['val/ap'] for line in lines]))
    record = read_json(folder / 'opt.json')
    assert record['parameters'] == 2_038_724 and record['options']['lr'] == 0.001
    assert record['machine']['torch'] == torch.__version__
    assert any(path.stat().st_size > 500 for path in (folder / 'events').iterdir())


def test_the_proposals_commands_run_as_printed(forensynths, tmp_path):
    datasets = tmp_path / 'datasets'
    (datasets / 'Generalization_Test').mkdir(parents=True)
    (datasets / 'ForenSynths_train_val').symlink_to(forensynths)
    (datasets / 'Generalization_Test' / 'ForenSynths_test').symlink_to(forensynths / 'test')
    training = (
        '--name multiscale_attention_3scales --model_type multiscale_attention --npr_scales 0.25,0.5,0.75 '
        '--dataroot ./datasets/ForenSynths_train_val --classes car,cat,chair,horse '
        '--batch_size 32 --lr 0.0002 --niter 50 --delr_freq 10'
    )
    training = training.replace('--niter 50', '--niter 1')  # 50 epochs would test nothing more
    command(ROOT / 'train.py', *training.split(), cwd=tmp_path)
    testing = (
        '--model_path ./checkpoints/multiscale_attention_3scales/model_epoch_last.pth '
        '--model_type multiscale_attention --npr_scales 0.25,0.5,0.75 '
        '--dataroot ./datasets/Generalization_Test/ForenSynths_test/stylegan --batch_size 64'
    )
    done = command(ROOT / 'test.py', *testing.split(), cwd=tmp_path)
    assert 'one generator, stylegan; 14 images' in done.stdout
    assert (
        len(read_scores(tmp_path / 'results/multiscale_attention_3scales/model_epoch_last/stylegan/scores.csv')) == 14
    )


def test_four_scales_at_224_and_odd_sizes(forensynths, tmp_path):
    four = train_arguments(
        forensynths,
        tmp_path,
        'four',
        model_type='multiscale_attention',
        npr_scales='0.2,0.4,0.6,0.8',
        niter=1,
        classes='car',
        loadSize=256,
        cropSize=224,
    )
    run(four)
    run(train_arguments(forensynths, tmp_path, 'odd', niter=1, classes='car', no_resize=True, cropSize=45))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.cache', 'four', 'odd']


def test_seed_decides(forensynths, tmp_path):
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        run(train_arguments(forensynths, tmp_path, name, niter=1, classes='car', seed=seed))
    assert_same_state(tmp_path / 'a/model_epoch_last.pth', tmp_path / 'b/model_epoch_last.pth')
    with pytest.raises(AssertionError):
        assert_same_state(tmp_path / 'a/model_epoch_last.pth', tmp_path / 'c/model_epoch_last.pth')


def test_two_processes_train_as_one_that_takes_batches_in_two_parts(forensynths, tmp_path):
    weights = []
    for name, launch, parts in (
        ('two', ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2'), 1),
        ('one', (), 2),
    ):
        words = {'batch_size': 4, 'precision': 'fp32', 'optim': 'sgd', 'lr': 0.01, 'accumulate': parts}
        command(*launch, 'train.py', *train_arguments(forensynths, tmp_path, name, **words))
        weights.append(load_checkpoint(tmp_path / name / 'model_epoch_last.pth')['model'])
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')  # both parts reach one process's
    two, one = ({key: each[key] for key in each if not key.endswith(buffers)} for each in weights)
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)


def test_each_process_gets_its_own_losses_back(tmp_path):
    config = detector_config('single_scale', fine=True)
    detector = create_detector(config)
    trainer = SimpleNamespace(detector=detector, optimizer=torch.optim.SGD(detector.parameters(), lr=0.1))
    opt = get_parser().parse_args(['--name', 'x', '--dataroot', 'x', '--no_resize'])
    runs = []
    for rank in (0, 1):
        processes = SimpleNamespace(rank=rank, first=not rank, gather=lambda own: [own, [3.0] if own == [1.0] else own])
        runs.append(train.Run(opt, config, trainer, tmp_path, processes))
    runs[0].losses = [1.0]
    runs[0].save()
    for each in runs:
        each.restore()
    assert [each.losses for each in runs] == [[1.0], [3.0]]


def test_patch_loss_is_what_is_minimised_if_the_flag_says_so(forensynths, tmp_path):
    losses = []
    for flags in ({}, {'patch_loss': True}):
        run(train_arguments(forensynths, tmp_path, niter=1, classes='car', overwrite=True, **flags))
        losses.append(json.loads((tmp_path / 'run' / 'train_log.jsonl').read_text())['train/loss'])
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_detector_of_two_grids_is_trained_kept_and_built_again(forensynths, tmp_path):
    run(train_arguments(forensynths, tmp_path, niter=1, classes='car', fine=True, grids=2))
    detector, config = load_detector(tmp_path / 'run' / 'model_epoch_last.pth')
    assert config['grids'] == 2 and detector.grids == (2,) and detector.conv1.in_channels == 6
    assert detector(torch.randn(1, 3, 33, 40)).isfinite().all()


def test_a_loss_that_is_not_finite_stops_the_run(forensynths, tmp_path):
    with pytest.raises(NonFiniteLoss, match='lower --lr'):
        run(train_arguments(forensynths, tmp_path, lr=1e30, optim='sgd', niter=3))


def test_bad_images_in_training_stop_or_are_reported(forensynths, tmp_path, capsys):
    import shutil

    shutil.copytree(forensynths, tmp_path / 'data')
    bad = tmp_path / 'data' / 'train' / 'car' / '0_real' / '1.png'
    bad.write_bytes(bad.read_bytes()[:200])
    words = {'classes': 'car', 'niter': 2}
    with pytest.raises(UserError, match=r'car/0_real/1\.png'):
        run(train_arguments(tmp_path / 'data', tmp_path, 'stop', **words))
    run(train_arguments(tmp_path / 'data', tmp_path, 'skip', **words, on_bad_image='skip'))
    assert '1 bad images left out:' in capsys.readouterr().out


def test_whole_images_of_different_sizes_are_named_and_skipping_them_is_not_offered(tmp_path, capsys):
    for split in ('train', 'val'):
        make_labelled(tmp_path / 'data' / split, 3)
    make_image(tmp_path / 'data/train/1_fake/1.png', 0, True, side=64)
    words = {'niter': 3, 'no_resize': True, 'no_crop': True, 'no_cache': True}
    with pytest.raises(UserError, match=r'1_fake/1\.png: 64 x 64 pixels, others .* 48 x 48 pixels; leave') as refused:
        run(train_arguments(tmp_path / 'data', tmp_path, 'stop', **words))
    assert 'on_bad_image' not in str(refused.value)
    run(train_arguments(tmp_path / 'data', tmp_path, 'skip', **words, on_bad_image='skip'))
    assert f'1 bad images left out:\n  {refused.value}' in capsys.readouterr().out


def test_torchrun_trains_and_tests_with_the_same_numbers(forensynths, tmp_path):
    launch = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2')
    words = train_arguments(
        forensynths, tmp_path, 'two', model_type='multiscale_attention', batch_size=6, precision='fp32'
    )
    done = command(*launch, 'train.py', *words)
    assert '2 processes' in done.stdout and done.stdout.count('epoch   2') == 1
    checkpoint = tmp_path / 'two' / 'model_epoch_last.pth'
    testing = ['test.py', '--model_path', checkpoint, '--dataroot', forensynths / 'test', '--batch_size', '4']
    testing += ['--loadSize', '40', '--cropSize', '32', '--num_threads', '0', '--precision', 'fp32', '--output_dir']
    command(*launch, *testing, tmp_path / 'shared')
    command(*testing, tmp_path / 'alone', threads=2)
    assert (tmp_path / 'shared/metrics.csv').read_bytes() == (tmp_path / 'alone/metrics.csv').read_bytes()
    shared, alone = (read_scores(tmp_path / name / 'scores.csv') for name in ('shared', 'alone'))
    assert shared['path'].tolist() == alone['path'].tolist()
    np.testing.assert_allclose(shared['logit'], alone['logit'], rtol=0, atol=2e-5)
    # What validation logged is what the saved detector scores: statistics are shared before validating.
    validation = ['test.py', '--model_path', checkpoint, '--dataroot', forensynths / 'val', *testing[5:-1]]
    command(*validation, '--output_dir', tmp_path / 'val')
    frame = read_scores(tmp_path / 'val' / 'scores.csv')
    losses = np.logaddexp(0, np.where(frame['label'] == 1, -frame['logit'], frame['logit']))
    last = json.loads((tmp_path / 'two' / 'train_log.jsonl').read_text().splitlines()[-1])
    assert last['val/loss'] == pytest.approx(losses.mean(), abs=1e-4)


def test_a_cosine_falls_to_zero_step_by_step_and_belongs_to_its_epochs(tmp_path, forensynths, monkeypatch):
    rates = [learning_rate(2e-3, epoch, 10, cosine=4) for epoch in range(5)]
    assert rates == pytest.approx([2e-3, 2e-3 * (1 + 0.5**0.5) / 2, 1e-3, 2e-3 * (1 - 0.5**0.5) / 2, 0], abs=1e-12)
    words = train_arguments(forensynths, tmp_path, niter=2, cosine=True)
    taken = []
    monkeypatch.setattr(Trainer, 'set_rate', lambda self, lr: taken.append(lr))
    run(words)
    assert len(taken) > 4 and taken == pytest.approx(
        0.001 * (1 + np.cos(np.pi * np.linspace(0, 1, len(taken), False))) / 2
    )
    lines = [json.loads(line) for line in (tmp_path / 'run' / 'train_log.jsonl').read_text().splitlines()]
    assert [line['lr'] for line in lines] == pytest.approx([0.001, 0.0005])
    with pytest.raises(UserError, match='--cosine: 2 before, 3 now'):
        run([*train_arguments(forensynths, tmp_path, niter=3, cosine=True), '--continue_train'])
