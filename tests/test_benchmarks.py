"""Benchmarks: what they report is what they measured."""

import pytest
import torch
from torch import nn

from benchmarks import grouped, plan, stages, stem, training
from networks.npr import npr_residual
from networks.resnet import FINE, Trunk
from util.errors import UserError
from util.files import read_json


def test_stages_add_up_and_leave_no_path(tmp_path, capsys):
    words = ['--batch_size', '2', '--rounds', '1', '--gpu_ids', '-1', '--precision', 'fp32', '--out']
    stages.main(stages.get_parser().parse_args([*words, str(tmp_path / 'stages.json')]))
    result = read_json(tmp_path / 'stages.json')
    assert set(result['ms_per_image']) == {'plain', 'ours'} and str(tmp_path) not in str(result)
    for found in result['ms_per_image'].values():
        parts = [found[stage] for stage in stages.STAGES]
        assert min(parts) > 0
        assert found['training, all'] == pytest.approx(sum(parts[:-1]))
        assert found['training step'] == pytest.approx(sum(found[s] for s in ('forward', 'backward', 'optimiser')))
    forward, step = result['operations_per_image']['inference'], result['operations_per_image']['training step']
    assert 3e9 < forward < 4e9 and 2.5 < step / forward < 3.1  # of the baseline at 224 px; backward is twice forward
    expected = forward / (result['ms_per_image']['ours']['inference'] / 1000)
    assert result['share_of_matrix_peak']['inference'] == pytest.approx(
        expected / (result['roofline']['matrix_tflops'] * 1e12)
    )
    assert 'matrix products' in capsys.readouterr().out


def test_the_plan_is_projected_from_epochs_and_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plan, 'measure', lambda design, folder, args, more: (9.0, 4.0, 0.002))
    plan.main(plan.get_parser().parse_args(['--images', '64', '--out', str(tmp_path / 'plan.json')]))
    result = read_json(tmp_path / 'plan.json')
    assert list(result['detectors']) == [
        'baseline',
        'multiscale_3',
        'multiscale_2_coarse',
        'multiscale_2_fine',
        'multiscale_4',
    ]
    each = (5.0 + 50 * 4.0 * 40_000 / 64 + 5 * 60_000 * 0.002) / 3600
    assert result['detectors']['baseline']['hours'] == pytest.approx(each)
    assert result['hours'] == pytest.approx(5 * each)
    assert f'{5 * each:.2f} hours' in capsys.readouterr().out


def test_training_is_measured_whole_shared_and_in_memory(tmp_path, capsys):
    words = ['--images', '16', '--batch_size', '4', '--epochs', '2', '--more_images', '24', '--gpu_ids', '-1']
    training.main(training.get_parser().parse_args([*words, '--precision', 'fp32', '--out', str(tmp_path / 'x.json')]))
    result = read_json(tmp_path / 'x.json')
    whole, shared = result['whole'], result['processes']
    before, after = whole['bare_step_images_per_s']
    assert whole['kept'] == pytest.approx(2 * whole['train_images_per_s'] / (before + after)) and whole['kept'] > 0.1
    assert shared['kept'] == pytest.approx(shared['all_images_per_s'] / shared['one_images_per_s'] / 2)
    assert 0 <= shared['relative_distance_of_parameters'] < 1e-3  # the same work, perhaps in another order of sums
    assert [line['images'] for line in result['memory']] == [16, 24]
    assert result['memory'][1]['largest_process_mib'] >= result['memory'][0]['largest_process_mib'] > 200
    assert str(tmp_path) not in str(result) and 'kept' in capsys.readouterr().out


def test_grouped_branches_do_the_work_of_separate_ones(tmp_path, capsys, monkeypatch):
    trunks = [Trunk(*FINE).train() for _ in range(3)]
    images = [torch.randn(2, 3, 16, 16) for _ in range(3)]
    together = grouped.grouped(trunks)
    found = together.features(torch.cat(images, 1))
    found[:, : trunks[0].channels].sum().backward()
    separate = [trunk.features(image) for trunk, image in zip(trunks, images, strict=True)]
    separate[0].sum().backward()
    torch.testing.assert_close(found, torch.cat(separate, 1), rtol=1e-4, atol=1e-5)
    mine, others = together.conv1.weight.grad.split((32, 64))
    torch.testing.assert_close(mine, trunks[0].conv1.weight.grad, rtol=1e-3, atol=1e-4)
    assert not others.any()
    torch.testing.assert_close(together.bn1.running_mean[32:64], trunks[1].bn1.running_mean)
    monkeypatch.setattr(grouped, 'KINDS', {'fine': (FINE, 16)})
    words = ['--batch_size', '1', '--branches', '2', '--rounds', '1', '--gpu_ids', '-1', '--out']
    grouped.main(grouped.get_parser().parse_args([*words, str(tmp_path / 'x.json')]))
    result = read_json(tmp_path / 'x.json')['milliseconds']
    assert len(result) == 4 and 'fine 16 scoring fp32' in capsys.readouterr().out
    for each in result.values():
        assert each['times_as_fast_grouped'] == pytest.approx(each['one_after_the_other'] / each['grouped'])


def test_a_folded_stem_does_the_work_of_residual_and_stem(tmp_path, capsys):
    convolution = nn.Conv2d(3, 5, 3, 2, 1)
    images = torch.randn(2, 3, 12, 20)
    torch.testing.assert_close(
        stem.FoldedStem(convolution)(images), convolution(npr_residual(images, 0.5)), rtol=1e-4, atol=1e-5
    )
    words = ['--batch_size', '1', '--side', '16', '--rounds', '1', '--gpu_ids', '-1', '--out', str(tmp_path / 'x.json')]
    stem.main(stem.get_parser().parse_args(words))
    with pytest.raises(UserError, match='--side 15: expected an even number'):
        stem.main(stem.get_parser().parse_args(['--side', '15']))
    result = read_json(tmp_path / 'x.json')['milliseconds']
    assert len(result) == 4 and 'branch bf16' in capsys.readouterr().out
    for each in result.values():
        assert each['times_as_fast_folded'] == pytest.approx(each['residual_first'] / each['folded'])
