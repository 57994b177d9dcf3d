"""What holds the house together: the environment check, where continuous integration puts it, atomic folders."""

import os
import subprocess
from pathlib import Path

import pytest

from util.environment import unmet
from util.files import discard


def test_environment_check_knows_what_is_missing():
    assert unmet(['# comment', '', 'numpy>=1.0  # remark']) == []
    assert unmet(['numpy>=999', 'no-such-package>=1']) == ['numpy>=999', 'no-such-package>=1']


def test_discard_removes_a_folder_and_what_an_earlier_attempt_left(tmp_path):
    for name in ('a', '.a.old'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'file').touch()
    discard(tmp_path / 'a')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('free_here, elsewhere', [(8, True), (9, False)])
def test_the_environment_moves_from_a_full_disk(tmp_path, free_here, elsewhere):
    stubs = {
        'df': f'echo Avail; [ "${{@: -1}}" = . ] && echo {free_here} || echo 40',
        'make': 'echo "$VENV" > "$TMPDIR/told"; exit 1',  # the first thing that would be made
    }
    for name, text in stubs.items():
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{text}\n')
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'TMPDIR': str(tmp_path)}
    environment.pop('VENV', None)
    script = Path(__file__).resolve().parents[1] / '.ci/run'
    assert subprocess.run(['bash', script], env=environment, capture_output=True).returncode == 1
    assert ((tmp_path / 'told').read_text().startswith(f'{tmp_path}/environment.')) == elsewhere
    assert not list(tmp_path.glob('environment.*'))  # gone with the run
