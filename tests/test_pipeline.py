"""The pipeline: what it plans, how steps are run, remembered, resumed and reported."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from pypdf import PdfReader

from options.train_options import get_parser as get_training_parser
from pipeline.__main__ import get_parser, make_plan, remember
from pipeline.estimate import _timed
from pipeline.plan import DESIGNS, RECIPES, Step, full_plan, quick_plan
from pipeline.queue import Queue
from tests.conftest import ROOT
from util.errors import UserError

SCRIPT = ROOT / 'run_multiscale_experiments.sh'


def script(*words, cwd=ROOT, **variables):
    environment = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': '', **variables}
    return subprocess.run(
        ['bash', SCRIPT, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )


def python(code, *words):
    return [sys.executable, '-c', code, *map(str, words)]


def test_script_explains_itself_and_refuses_mistakes(tmp_path):
    assert 'usage: run_multiscale_experiments.sh' in script('--help').stdout
    for words, message in (
        (['--fast'], 'unrecognized arguments: --fast'),
        (['--out'], 'expected one argument'),
        (['--quick', '--dataroot', 'x', '--testroot', 'y'], 'leave --dataroot, --testroot out'),
        (['--dataroot', tmp_path / 'nowhere'], 'nowhere: no such folder'),
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


def test_failures_skip_what_needs_them_and_nothing_else(tmp_path, capsys):
    steps = [
        Step('good', python('print("fine")')),
        Step('idle', python('print(0)')),
        Step('bad', python('import sys; print("the reason", file=sys.stderr); sys.exit(3)')),
        Step('needy', python('print(1)'), needs=('bad',)),
        Step(
            'last',
            lambda: python('import pathlib, sys; pathlib.Path(sys.argv[1]).touch()', tmp_path / 'x'),
            after=('bad',),
        ),
    ]
    expected = {'good': 'done', 'idle': 'done', 'bad': 'failed', 'needy': 'skipped', 'last': 'done'}
    assert Queue(steps, tmp_path).run() == expected
    out = capsys.readouterr().out
    assert 'bad: FAILED (exit status 3)' in out and '    the reason' in out and 'fine' in out
    assert (tmp_path / 'logs' / 'good.log').read_text() == 'fine\n'
    assert (tmp_path / 'x').exists()
    # The second run repeats what failed, what comes after it, and what has another command now; nothing else.
    steps[0] = Step('good', python('print("other")'))
    (tmp_path / 'x').unlink()
    assert Queue(steps, tmp_path).run() == expected
    out = capsys.readouterr().out
    assert (tmp_path / 'x').exists() and out.count('done before') == 1 and 'idle: done before' in out
    assert (tmp_path / 'logs' / 'good.log').read_text() == 'other\n'


def test_each_gpu_runs_one_step_at_a_time(tmp_path):
    code = """
import os, sys, time
from pathlib import Path
gpu = os.environ['CUDA_VISIBLE_DEVICES']
here = Path(sys.argv[1]) / f'gpu_{gpu}'
here.touch(exist_ok=False)
time.sleep(0.5)
here.unlink()
print(gpu)
"""
    steps = [Step(f's{i}', python(code, tmp_path)) for i in range(4)]
    assert set(Queue(steps, tmp_path, gpus=(2, 5)).run().values()) == {'done'}
    used = [(tmp_path / 'logs' / f's{i}.log').read_text().strip() for i in range(4)]
    assert sorted(used) == ['2', '2', '5', '5']


def test_a_gpu_named_twice_runs_two_steps_side_by_side(tmp_path):
    code = """
import sys, time
from pathlib import Path
here, other = (Path(sys.argv[1]) / name for name in sys.argv[2:])
here.touch()
for _ in range(600):
    if other.exists():
        sys.exit()
    time.sleep(0.05)
sys.exit('the other step did not start in 30 seconds')
"""
    steps = [Step('a', python(code, tmp_path, 'a', 'b')), Step('b', python(code, tmp_path, 'b', 'a'))]
    assert set(Queue(steps, tmp_path, gpus=(3, 3)).run().values()) == {'done'}


def test_steps_side_by_side_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr('pipeline.queue.cores', lambda: 6)
    code = 'import os, time; print(os.environ.get("OMP_NUM_THREADS"), time.monotonic()); time.sleep(0.5)'
    for slots, threads in (([None] * 2, '3'), ([None] * 9, '1'), ([None], 'None')):
        Queue([Step('a', python(code)), Step('b', python(code))], tmp_path / str(len(slots)), slots).run()
        found = [(tmp_path / str(len(slots)) / 'logs' / f'{name}.log').read_text().split() for name in 'ab']
        assert [words[0] for words in found] == [threads] * 2
        apart = abs(float(found[0][1]) - float(found[1][1]))
        assert (apart < 0.5) == (len(slots) > 1)


def test_the_quick_plan_freezes_a_threshold_before_it_tests(tmp_path):
    steps = {step.name: step for step in quick_plan(tmp_path, epochs=9).steps()}
    assert steps['test_baseline_seed_0'].needs == ('calibrate_baseline_seed_0',)
    assert steps['calibrate_baseline_seed_0'].needs == ('validate_baseline_seed_0',)
    assert '--frozen_threshold' in steps['comparison'].command() and 'controls' not in steps
    words = steps['train_multiscale_3_seed_0'].command()
    assert {'--pairs', '--cosine'} <= set(words) and words[words.index('--niter') + 1] == '9'
    other = full_plan(tmp_path, tmp_path, tmp_path, (0,), 3).steps()
    assert not any(step.name.startswith('calibrate') for step in other)


def test_recipes_decide_networks_and_fusion(tmp_path):
    def fusion(recipe, name):
        words = next(design for design in DESIGNS if design.name == name).flags(RECIPES[recipe])
        options = get_training_parser().parse_args(['--name', 'x', '--dataroot', 'y', *map(str, words)])
        return options.fusion, options.fine

    assert fusion('proposal', 'multiscale_3') == fusion('proposal', 'baseline') == ('attention', False)
    assert fusion('tuned', 'multiscale_3') == fusion('tuned', 'three_0.5') == ('evidence', True)
    assert fusion('tuned', 'uniform_3') == ('uniform', True) and fusion('tuned', 'attention_3') == ('attention', True)
    assert fusion('tuned', 'baseline') == ('attention', True)  # one scale: no fusion


RUN = """
import sys
from pathlib import Path
from pipeline.plan import Step
from pipeline.queue import Queue
folder = Path(sys.argv[1])
slow = '''
import signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / 'alone').touch(exist_ok=False)
def stop(*_):
    (folder / 'alone').unlink()
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print(sys.argv[2:], flush=True)
(folder / 'started').touch()
for _ in range(600 if len(sys.argv) < 3 else 1):
    time.sleep(0.1)
(folder / 'alone').unlink()
'''
again = lambda: ['again'] if (folder / 'started').exists() else []
steps = [
    Step('first', [sys.executable, '-c', 'print(1)']),
    Step('slow', [sys.executable, '-c', slow, folder], resume=again),
]
print(Queue(steps, folder).run())
"""


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on(tmp_path, number):
    words = [sys.executable, '-c', RUN, str(tmp_path)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / 'started').exists():
        time.sleep(0.02)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    if number == signal.SIGTERM:
        assert 'the same command goes on' in out
    while (tmp_path / 'alone').exists():  # its step was asked to stop, by the pipeline or, after SIGKILL, by the kernel
        time.sleep(0.02)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "{'first': 'done', 'slow': 'done'}" in done.stdout, done.stderr
    assert 'first: done before' in done.stdout and "['again']" in (tmp_path / 'logs' / 'slow.log').read_text()


def test_two_runs_in_one_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('pipeline.queue.PATIENCE', 2)
    first = Queue([], tmp_path)
    with pytest.raises(UserError, match='another run is going on'):
        Queue([], tmp_path)
    first.lock.file.close()
    assert Queue([], tmp_path).run() == {}


def test_what_builds_on_a_repeated_step_is_repeated_even_after_a_kill(tmp_path, capsys):
    """Training with more epochs makes old test results, and what was made of them, out of date."""

    def steps(epochs):
        return [
            Step('train', python('print(1)', epochs)),
            Step('test', python('print("the same command")'), needs=('train',)),
            Step('report', python('print(2)'), after=('test',)),
        ]

    assert set(Queue(steps(1), tmp_path).run().values()) == {'done'}
    queue = Queue(steps(2), tmp_path)
    queue._launch(queue.steps[0], None)  # and the pipeline is gone before the test
    queue.running[0].process.wait()
    queue.lock.file.close()
    capsys.readouterr()
    assert set(Queue(steps(2), tmp_path).run().values()) == {'done'}
    assert 'done before' not in capsys.readouterr().out
    assert set(Queue(steps(2), tmp_path).run().values()) == {'done'}
    assert capsys.readouterr().out.count('done before') == 3


def test_what_is_made_counts_as_done(tmp_path):
    step = Step('made', python('raise SystemExit(1)'), made=tmp_path / 'file')
    assert Queue([step], tmp_path / 'a').run() == {'made': 'failed'}
    (tmp_path / 'file').touch()
    assert Queue([step], tmp_path / 'b').run() == {'made': 'done'}


def test_all_tables_run_through_the_pipeline(tmp_path, forensynths):
    from data.tables import TABLES
    from tests.conftest import make_labelled

    for table in TABLES:
        for number, generator in enumerate(table.generators):
            make_labelled(tmp_path / 'tests' / table.folder / generator.name, 2, side=32, seed=number)
    words = ['--dataroot', forensynths, '--testroot', tmp_path / 'tests', '--out', tmp_path / 'out']
    words += ['--seeds', '0', '--epochs', '1', '--recipe', 'tuned', '--side_by_side', '2']
    words += ['--designs', 'single_0.25,three_0.5']
    done = script(*words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    comparison = json.loads((tmp_path / 'out' / 'comparison.json').read_text())
    assert list(comparison['detectors']) == ['baseline', 'multiscale_3', 'single_0.25', 'three_0.5']
    controls = json.loads((tmp_path / 'out' / 'controls' / 'comparison.json').read_text())
    assert controls['baseline'] == 'multiscale_3' and len(controls['detectors']) == 4
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
    assert again.stdout.count('done before') == 2 * 4 + 7
