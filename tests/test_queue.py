"""The queue of the pipeline: steps run side by side, fail, are remembered, and go on after a kill."""

import signal
import subprocess
import sys
import time

import pytest

from pipeline.plan import Step
from pipeline.queue import Queue
from tests.conftest import ROOT
from util.errors import UserError


def python(code, *words):
    return [sys.executable, '-c', code, *map(str, words)]


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


def test_each_gpu_runs_one_step_at_a_time(tmp_path, monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
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
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '7,4')  # what the user leaves to this program
    assert Queue([Step('last', python(code, tmp_path))], tmp_path, gpus=(1,)).run() == {'last': 'done'}
    assert (tmp_path / 'logs' / 'last.log').read_text().strip() == '4'


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
