"""The pipeline: what it plans, and a run of it from data to report."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pypdf import PdfReader

from networks import create_detector
from options.train_options import get_config
from options.train_options import get_parser as get_training_parser
from pipeline.__main__ import get_parser, make_plan, remember
from pipeline.estimate import _timed
from pipeline.plan import BASELINE, DESIGNS, PROPOSED, RECIPES, full_plan, quick_plan
from tests.conftest import ROOT
from util.errors import UserError

SCRIPT = ROOT / 'run_multiscale_experiments.sh'


def script(*words, cwd=ROOT, **variables):
    environment = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': '', **variables}
    return subprocess.run(
        ['bash', SCRIPT, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )


def test_script_explains_itself_and_refuses_mistakes(tmp_path):
    assert 'usage: run_multiscale_experiments.sh' in script('--help').stdout
    for words, message in (
        (['--fast'], 'unrecognized arguments: --fast'),
        (['--out'], 'expected one argument'),
        (['--quick', '--dataroot', 'x', '--testroot', 'y'], 'leave --dataroot, --testroot out'),
        (['--dataroot', tmp_path / 'nowhere'], 'nowhere: no such folder'),
        (['--dataroot', tmp_path, '--wide'], '--wide is for --quick'),
        (['--quick', '--gpus', '0', '--side_by_side', '2'], '--side_by_side is for a CPU'),
        (['--designs', 'multiscale_4,single'], 'unknown: single; known: baseline, multiscale_3'),
        (['--quick', '--out', tmp_path / 'x', '--gpus', '0,1'], '--gpus 1: 0 CUDA devices found'),
    ):
        done = script(*words)
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_dry_run_prints_every_command_with_folders_of_the_user(tmp_path, forensynths):
    words = ['--dry_run', '--dataroot', forensynths, '--out', 'out', '--seeds', '3,4', '--epochs', '2']
    done = script(*words, '--testroot', forensynths / 'test', cwd=tmp_path)
    names = re.findall(r'^# (.*)', done.stdout, re.MULTILINE)
    assert len(names) == 2 * 2 * (len(DESIGNS) - 1) + 7 and names[0] == 'train_baseline_seed_3'
    assert f'--checkpoints_dir {tmp_path}/out/checkpoints/multiscale_4 ' in done.stdout and '--niter 2' in done.stdout
    assert f'{tmp_path}/out/results/single_0.25' in done.stdout
    assert '32 training and 24 test images' in done.stdout and 'MB of disk' in done.stdout
    assert not (tmp_path / 'out').exists()
    missing = script('--dry_run', '--dataroot', tmp_path, '--testroot', tmp_path)
    assert 'no estimate: no images found' in missing.stdout


@pytest.mark.parametrize('words, names', [
    (['--quick'], {'baseline', 'multiscale_3'}),
    (['--quick', '--designs', 'all'], {design.name for design in DESIGNS}),
    (['--designs', 'single_0.25'], {'baseline', 'multiscale_3', 'single_0.25'}),
    (['--designs', 'none'], {'baseline', 'multiscale_3'}),
    ([], {design.name for design in DESIGNS} - {'attention_3'}),  # which is the proposal itself
])  # fmt: skip
def test_designs_are_chosen_by_name(words, names):
    assert {design.name for design in make_plan(get_parser().parse_args(words)).designs} == names


def test_a_stalled_step_does_not_decide_the_estimate():
    durations = iter([0, 0.3, 0, 0])

    assert _timed(lambda: time.sleep(next(durations)), 3) < 0.1


def test_commands_of_an_experiment_are_kept_once_each(tmp_path):
    for command in ('a', 'b', 'a'):
        remember(tmp_path / 'experiment.json', command, {'epochs': 3})
    found = json.loads((tmp_path / 'experiment.json').read_text())
    assert found == {'commands': ['a', 'b'], 'settings': {'epochs': 3}}
    with pytest.raises(UserError, match=r'holds another experiment \(a; b\); choose another --out'):
        remember(tmp_path / 'experiment.json', 'c', {'epochs': 4})


def test_plans_are_in_order_and_complete(tmp_path):
    for plan in (quick_plan(tmp_path), full_plan(tmp_path, tmp_path, tmp_path, (0, 1), 50)):
        names = [step.name for step in plan.steps()]
        assert len(set(names)) == len(names)
        for place, step in enumerate(plan.steps()):
            assert set(step.needs + step.after) <= set(names[:place])
    assert {design.scales for design in DESIGNS if design.model_type == 'multiscale_attention'} == {
        (0.25, 0.5, 0.75), (0.25, 0.5), (0.5, 0.75), (0.2, 0.4, 0.6, 0.8), (0.5, 0.5, 0.5),
    }  # fmt: skip


def test_the_quick_plan_freezes_a_threshold_before_it_tests(tmp_path):
    steps = {step.name: step for step in quick_plan(tmp_path, epochs=9).steps()}
    assert steps['test_baseline_seed_0'].needs == ('calibrate_baseline_seed_0',)
    assert steps['calibrate_baseline_seed_0'].needs == ('validate_baseline_seed_0',)
    assert '--frozen_threshold' in steps['comparison'].command() and 'controls' not in steps
    words = steps['train_multiscale_3_seed_0'].command()
    assert {'--pairs', '--cosine'} <= set(words) and words[words.index('--niter') + 1] == '9'
    other = full_plan(tmp_path, tmp_path, tmp_path, (0,), 3).steps()
    assert not any(step.name.startswith('calibrate') for step in other)


def test_a_wide_training_is_validated_on_its_own_decoders(tmp_path):
    def flags(*words):
        steps = make_plan(get_parser().parse_args(['--quick', *words, '--out', str(tmp_path)])).steps()
        found = {step.name.partition('_')[0]: step.command() for step in steps if step.name.endswith('baseline_seed_0')}
        options = get_training_parser().parse_args(found['train'][2:])
        validated = found['validate'][found['validate'].index('--dataroot') + 1]
        return options.train_split, options.val_split, Path(validated).name

    assert flags('--wide') == ('train_wide', 'val_wide', 'val_wide')
    assert flags() == ('train', 'val', 'val')


def test_recipes_decide_networks_and_fusion(tmp_path):
    def training(recipe, design):
        words = map(str, design.flags(RECIPES[recipe]))
        return get_training_parser().parse_args(['--name', 'x', '--dataroot', 'y', *words])

    def fusion(recipe, name):
        options = training(recipe, next(design for design in DESIGNS if design.name == name))
        return options.fusion, options.fine

    for recipe in RECIPES:
        for design in DESIGNS:
            config = get_config(training(recipe, design))
            assert tuple(config['npr_scales']) == design.scales and create_detector(config)

    assert fusion('proposal', 'multiscale_3') == fusion('proposal', 'baseline') == ('attention', False)
    assert fusion('tuned', 'multiscale_3') == fusion('tuned', 'three_0.5') == ('evidence', True)
    assert fusion('tuned', 'uniform_3') == ('uniform', True) and fusion('tuned', 'attention_3') == ('attention', True)
    assert fusion('tuned', 'baseline') == ('attention', True)  # one scale: no fusion


def test_all_tables_run_through_the_pipeline(tmp_path, forensynths):
    from data.tables import TABLES
    from tests.conftest import make_labelled

    for table in TABLES:
        for number, generator in enumerate(table.generators):
            make_labelled(tmp_path / 'tests' / table.folder / generator.name, 2, side=32, seed=number)
    words = ['--dataroot', forensynths, '--testroot', tmp_path / 'tests', '--out', tmp_path / 'out']
    words += ['--seeds', '0', '--epochs', '1', '--recipe', 'tuned', '--side_by_side', '2']
    words += ['--designs', 'multiscale_4,three_0.5,uniform_3']  # of the others, the flags are checked above
    run = [BASELINE, PROPOSED, *(design for design in DESIGNS if design.name in words[-1].split(','))]
    done = script(*words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    comparison = json.loads((tmp_path / 'out' / 'comparison.json').read_text())
    assert list(comparison['detectors']) == [design.name for design in run]
    controls = json.loads((tmp_path / 'out' / 'controls' / 'comparison.json').read_text())
    assert controls['baseline'] == 'multiscale_3'
    assert list(controls['detectors']) == ['baseline', 'multiscale_3', 'three_0.5', 'uniform_3']
    options = json.loads((tmp_path / 'out' / 'checkpoints' / 'three_0.5' / 'seed_0' / 'opt.json').read_text())
    assert options['detector'] | {'npr_scales': [0.5] * 3, 'fine': True} == options['detector']
    tables = {entry['table'] for entry in comparison['detectors']['multiscale_3']['generators']}
    assert tables == {table.name for table in TABLES}
    assert (tmp_path / 'out' / 'faithfulness' / 'faithfulness.md').is_file()
    pages = PdfReader(tmp_path / 'out' / 'report.pdf').pages
    text = ''.join(''.join(page.extract_text() for page in pages).split())
    assert len(pages) <= 6 and 'Notamongtheseresults' not in text and 'Publictablesinpart' not in text
    for table in TABLES:
        assert f'{table.name},table{table.number}oftheNPRpaper' in text
        ours = comparison['detectors']['multiscale_3']['tables'][table.name]
        assert f'{100 * ours["ap"]:.1f}' in text
        assert all(generator.name.replace('_', '') in text for generator in table.generators)
    assert (tmp_path / 'out' / 'slides.pptx').is_file()
    again = script(*words)
    assert again.stdout.count('done before') == 2 * len(run) + 7
