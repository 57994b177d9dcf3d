"""Training runs that are killed, signalled, continued, protected."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from networks.trainer import Trainer
from tests.conftest import ROOT, command, train_arguments
from tests.test_train import AIDS, assert_same_state, run
from util.errors import UserError
from util.files import read_json, write_json
from util.runs import LATER_FLAGS


def test_killed_and_continued_is_bit_for_bit_the_same(forensynths, tmp_path):
    words = {'model_type': 'multiscale_attention', 'niter': 8, **AIDS, 'noise_prob': 0.5, 'cosine': True}
    command('train.py', *train_arguments(forensynths, tmp_path, 'whole', **words))
    log = tmp_path / 'killed' / 'train_log.jsonl'
    for attempt in range(3):  # two random kills, the first before any checkpoint may exist; then to the end
        extra = {'continue_train': True} if (tmp_path / 'killed' / 'opt.json').exists() else {}
        arguments = train_arguments(forensynths, tmp_path, 'killed', **words, **extra)
        process = subprocess.Popen(
            [sys.executable, 'train.py', *arguments],
            cwd=ROOT,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if attempt == 2:
            assert process.wait(timeout=240) == 0, process.stderr.read()
            break
        before = log.stat().st_mtime_ns if log.exists() else None
        while attempt and (not log.exists() or log.stat().st_mtime_ns == before) and process.poll() is None:
            time.sleep(0.02)  # the second kill waits for an epoch to be finished first
        while not (tmp_path / 'killed' / 'opt.json').exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 1.0))
        assert process.poll() is None, 'the run ended before it could be killed: make it longer'
        process.kill()
        process.wait()
    assert len(log.read_text().splitlines()) == 8
    assert_same_state(tmp_path / 'whole/model_epoch_last.pth', tmp_path / 'killed/model_epoch_last.pth')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_within_an_epoch_and_the_run_goes_on(forensynths, tmp_path, monkeypatch, capsys, number):
    words = {'model_type': 'multiscale_attention', 'scale_dropout': 0.3, 'batch_size': 5, 'cosine': True}
    run(train_arguments(forensynths, tmp_path, 'whole', **words))
    step, steps = Trainer.step, []

    def interrupted(self, images, labels):
        steps.append(None)
        if len(steps) == 10:  # the third of seven steps of the second epoch
            os.kill(os.getpid(), number)
        return step(self, images, labels)

    monkeypatch.setattr(Trainer, 'step', interrupted)
    with pytest.raises(SystemExit) as stop:
        run(train_arguments(forensynths, tmp_path, 'stopped', **words))
    assert stop.value.code == 128 + number
    assert 'stopped at epoch 2, step 3; go on with --continue_train' in capsys.readouterr().out
    run(train_arguments(forensynths, tmp_path, 'stopped', **words, continue_train=True))
    assert len(steps) == 14
    assert_same_state(tmp_path / 'whole/model_epoch_last.pth', tmp_path / 'stopped/model_epoch_last.pth')
    losses = [
        [json.loads(line)['train/loss'] for line in (tmp_path / name / 'train_log.jsonl').read_text().splitlines()]
        for name in ('whole', 'stopped')
    ]
    assert losses[0] == losses[1]


def signal_group(program, ready):
    """Start a program in a session of its own, send SIGTERM to the whole group when `ready()`; (status, out, err)."""
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not ready() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


def test_a_signal_to_the_whole_group_stops_cleanly(forensynths, tmp_path):
    """`timeout`, systemd and schedulers signal every process."""
    words = train_arguments(forensynths, tmp_path, niter=200)
    words[words.index('--num_threads') + 1] = '2'
    checkpoint = tmp_path / 'run' / 'model_epoch_last.pth'
    status, out, error = signal_group(['train.py', *words], checkpoint.exists)
    assert status == 128 + signal.SIGTERM, error
    assert 'go on with --continue_train' in out and 'Traceback' not in error


LOADING = """
import sys, time
from pathlib import Path
import torch
from data.datasets import TrainBatches, make_loader
from data.listing import list_samples
from data.transforms import TrainTransform
from util.interrupt import StopRequest
samples = list_samples(sys.argv[1])
batches = TrainBatches(samples.labels, 4, seed=0)
loader = make_loader(samples, TrainTransform(40, 32), batches, 2, torch.device('cuda'))
with StopRequest() as stop:
    while not stop.requested:
        for batch in loader:
            Path(sys.argv[2]).touch()
            time.sleep(0.01)
    count = sum(len(batch.labels) for batch in loader)
print(f'{count} of {len(samples)} images after the signal')
"""


def test_loading_processes_outlive_a_signal_to_the_group(forensynths, tmp_path):
    ready = tmp_path / 'ready'
    status, out, error = signal_group(['-c', LOADING, forensynths / 'train', ready], ready.exists)
    assert status == 0, error
    assert '32 of 32 images after the signal' in out


def test_existing_runs_are_protected(forensynths, tmp_path):
    words = train_arguments(forensynths, tmp_path, niter=1, classes='car')
    with pytest.raises(UserError, match='no run to continue'):
        run([*words, '--continue_train'])
    run(words)
    with pytest.raises(UserError, match=r'exists already; use --continue_train .* --overwrite'):
        run(words)
    with pytest.raises(UserError, match=r'same options as before:\n  --lr: 0.001 before, 0.01 now'):
        run([*words, '--lr', '0.01', '--continue_train'])
    with pytest.raises(UserError, match='contradict each other'):
        run([*words, '--overwrite', '--continue_train'])
    run([*words, '--overwrite'])
    record = read_json(tmp_path / 'run' / 'opt.json')
    for flag in LATER_FLAGS:  # a run from before there were these
        del record['options'][flag.removeprefix('--')]
    write_json(tmp_path / 'run' / 'opt.json', record)
    with pytest.raises(UserError, match='--accumulate: 1 before, 2 now'):
        run([*words, '--continue_train', '--accumulate', '2'])
    run([*words, '--continue_train', '--niter', '2'])
    assert len((tmp_path / 'run' / 'train_log.jsonl').read_text().splitlines()) == 2
    (tmp_path / 'holiday').mkdir()
    (tmp_path / 'holiday' / 'photo.jpg').touch()
    with pytest.raises(UserError, match='exists already; use another --name'):
        run(train_arguments(forensynths, tmp_path, 'holiday', overwrite=True))
    with pytest.raises(UserError, match='plain folder name'):
        run(train_arguments(forensynths, tmp_path, '../elsewhere'))


def test_a_finished_run_keeps_saying_which_machine_made_it(forensynths, tmp_path):
    words = train_arguments(forensynths, tmp_path, niter=1, classes='car')
    run(words)
    record, weights = tmp_path / 'run' / 'opt.json', (tmp_path / 'run' / 'model_epoch_last.pth').read_bytes()
    made = read_json(record)
    made['machine']['commit'] = 'that of then'
    write_json(record, made)
    (tmp_path / 'run' / 'train_log.jsonl').unlink()  # lost by a kill after the last checkpoint
    run([*words, '--continue_train'])
    assert read_json(record) == made and (tmp_path / 'run' / 'model_epoch_last.pth').read_bytes() == weights
    assert len((tmp_path / 'run' / 'train_log.jsonl').read_text().splitlines()) == 1
    run([*words, '--continue_train', '--niter', '2'])
    assert read_json(record)['machine']['commit'] != 'that of then'
