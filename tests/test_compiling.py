"""torch.compile: the same numbers, one shape, and a machine that cannot."""

import os
import subprocess
import sys

import pytest
import torch

from networks import create_detector, detector_config
from networks.compiling import compiled, problem
from networks.scoring import prepare, score_batch
from tests.conftest import ROOT

CPU = torch.device('cpu')
can_compile = pytest.mark.skipif(problem('cpu') is not None, reason=f'torch.compile: {problem("cpu")}')


@can_compile
def test_compiled_scores_are_those_of_the_plain_detector():
    torch.manual_seed(0)
    detector = create_detector(detector_config('multiscale_attention', (0.25, 0.5))).eval()
    images = torch.randn(4, 3, 32, 32)
    fast = prepare(detector, CPU)
    fast.forward = compiled(fast.forward, CPU, images.shape)
    logits, weights = score_batch(fast, images, CPU)
    expected = detector(images, return_attention=True)
    assert torch.allclose(logits, expected[0].squeeze(1), atol=1e-5)
    assert torch.allclose(weights, expected[1], atol=1e-5)
    assert torch.allclose(score_batch(fast, images[:3], CPU)[0], logits[:3], atol=1e-5)


def test_only_one_shape_is_compiled(monkeypatch):
    monkeypatch.setattr('networks.compiling.problem', lambda kind: None)
    monkeypatch.setattr(torch, 'compile', lambda function, dynamic: lambda x: ('compiled', function(x)))
    function = compiled(lambda x: len(x), CPU, (4, 2))
    assert [function(torch.zeros(n, 2)) for n in (4, 3, 4)] == [('compiled', 4), 3, ('compiled', 4)]


def test_a_machine_without_a_compiler_says_so_and_goes_on():
    script = (
        'import torch; from networks.compiling import compiled; assert compiled(len, torch.device("cpu"), ()) is len'
    )
    none = {**os.environ, 'CXX': '/no/compiler', 'TORCHINDUCTOR_FORCE_DISABLE_CACHES': '1'}
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, env=none, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('not compiled: torch.compile does not work here (')


def test_what_is_said_where_it_cannot(monkeypatch):
    monkeypatch.setattr('networks.compiling.problem', lambda kind: f'no compiler for a {kind}')
    said = []
    assert compiled(len, CPU, (1,), said.append) is len
    assert said == ['not compiled: torch.compile does not work here (no compiler for a cpu)']
