"""torch.compile: the same numbers, and a machine that cannot."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

import train
from networks import create_detector, detector_config
from networks.compiling import compiled, problem
from networks.scoring import prepare, score_batch
from options.train_options import get_parser
from tests.conftest import ROOT, SMALL, train_arguments

CPU = torch.device('cpu')
can_compile = pytest.mark.skipif(not (shutil.which('g++') and shutil.which('python3-config')), reason='no C++ compiler')


@can_compile
def test_compiled_scores_are_those_of_the_plain_detector():
    torch.manual_seed(0)
    detector = create_detector(detector_config('multiscale_attention', (0.25, 0.5))).eval()
    images = torch.randn(4, 3, 32, 32)
    assert problem('cpu') is None
    fast = prepare(detector, CPU)
    fast.forward = compiled(fast.forward, CPU)
    logits, weights = score_batch(fast, images, CPU)
    expected = detector(images, return_attention=True)
    assert torch.allclose(logits, expected[0].squeeze(1), atol=1e-5)
    assert torch.allclose(weights, expected[1], atol=1e-5)
    assert torch.allclose(score_batch(fast, images[:3], CPU)[0], logits[:3], atol=1e-5)


def test_a_machine_without_a_compiler_says_so_and_goes_on():
    script = 'import torch; from networks.compiling import compiled; assert compiled(len, torch.device("cpu")) is len'
    none = {**os.environ, 'CXX': '/no/compiler'}
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, env=none, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('not compiled: torch.compile does not work here (')


def test_what_is_said_where_it_cannot(monkeypatch):
    monkeypatch.setattr('networks.compiling.problem', lambda kind: f'no compiler for a {kind}')
    said = []
    assert compiled(len, CPU, said.append) is len
    assert said == ['not compiled: torch.compile does not work here (no compiler for a cpu)']


def test_the_flag_reaches_training_and_scoring(forensynths, checkpoints, tmp_path, monkeypatch, call):
    networks = []

    def record(network, device, say):
        networks.append(network)
        return network

    monkeypatch.setattr('train.compiled', record)
    monkeypatch.setattr('session.compiled', record)
    words = train_arguments(forensynths, tmp_path, niter=1, classes='car')
    train.main(get_parser().parse_args(words))
    assert not networks
    train.main(get_parser().parse_args([*words, '--overwrite', '--compile']))
    assert len(networks) == 1
    words = ('--model_path', checkpoints['single_scale'], '--dataroot', forensynths / 'test', *SMALL, '--compile')
    assert call('test.py', *words, '--output_dir', tmp_path / 'out')[0] == 0
    assert len(networks) == 2
