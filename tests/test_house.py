"""What holds the house together: the environment check, where continuous integration puts it, atomic folders."""

import os
import shutil
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


ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ('free', 'given', 'expected'),
    [
        ({'.': 8, 'disk': 40}, None, 'disk/environment.'),
        ({'.': 9, 'disk': 40}, None, ''),
        pytest.param(
            {'.': 8, 'disk': 8, '/dev/shm': 40},
            None,
            '/dev/shm/environment.',
            marks=pytest.mark.skipif(not Path('/dev/shm').is_dir(), reason='no memory disk'),
        ),
        ({'.': 8, 'disk': 8, '/dev/shm': 8}, None, ''),
        ({'.': 8, 'disk': 40}, '/my/own', '/my/own'),
    ],
)
def test_the_environment_moves_from_a_full_disk(tmp_path, free, given, expected):
    """df says what is free, make what it was given; mktemp and rm are told not to leave the test's folder."""
    disk = str(tmp_path / 'disk')
    sizes = ' '.join(f'[{disk if place == "disk" else place}]={size}' for place, size in free.items())
    stubs = {
        'df': f'declare -A free=({sizes}); echo header; echo "x x x $((${{free[$2]}} * 1048576)) x"',
        'mktemp': 'echo "$2"',
        'rm': f'echo "$2" >> {tmp_path}/removed',
        'make': f'echo "$NPR_VENV" "$PIP_NO_CACHE_DIR" > {tmp_path}/told; exit 1',  # the first thing to be made
    }
    for folder in ('bin', 'disk', 'clone/.ci'):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in stubs.items():
        (tmp_path / 'bin' / name).write_text(f'#!/usr/bin/env bash\n{text}\n')
        (tmp_path / 'bin' / name).chmod(0o755)
    shutil.copy(ROOT / '.ci/run', tmp_path / 'clone/.ci/run')
    environment = {**os.environ, 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}', 'TMPDIR': disk}
    environment.pop('NPR_VENV', None)
    environment |= {'NPR_VENV': given} if given else {}
    done = subprocess.run(['bash', tmp_path / 'clone/.ci/run'], env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    told, no_cache = (tmp_path / 'told').read_text().split(' ')
    expected = expected.replace('disk', disk)
    assert told.startswith(expected) if expected else not told
    assert no_cache == '1\n' and ('no disk has room' in done.stderr) == (max(free.values()) < 9)
    moved = [told.removesuffix('/venv')] if 'environment.' in told else []
    assert moved == ((tmp_path / 'removed').read_text().split() if (tmp_path / 'removed').exists() else [])


def test_make_puts_the_environment_where_it_is_told():
    words = ['make', '--dry-run', 'demo', 'clean-venv', 'NPR_VENV=some/where', 'PYTHON=no-such-python']
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout
    assert 'no-such-python -m venv some/where' in said and 'PYTHON=some/where/bin/python bash run_' in said
    assert 'if [ -f some/where/ready ]; then rm -rf some/where; fi' in said and '.venv' not in said
