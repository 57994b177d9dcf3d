"""What holds the house together: the pipeline script's flags, the environment check, atomic folders."""

import subprocess

from tests.conftest import ROOT
from util.environment import unmet
from util.files import discard


def pipeline(*words):
    return subprocess.run(
        ['bash', ROOT / 'run_multiscale_experiments.sh', *words], capture_output=True, text=True, timeout=60
    )


def test_pipeline_explains_itself_and_refuses_mistakes():
    assert 'usage: bash run_multiscale_experiments.sh' in pipeline('--help').stdout
    for words, message in (
        (['--fast'], 'unknown flag --fast'),
        (['--out'], '--out needs a value'),
        (['--quick', '--dataroot', 'x'], '--quick makes its own data'),
    ):
        done = pipeline(*words)
        assert done.returncode == 2 and message in done.stderr


def test_pipeline_runs_where_its_file_is_but_reads_flags_where_the_user_is(tmp_path):
    (tmp_path / 'here').mkdir()
    done = subprocess.run(
        ['bash', ROOT / 'run_multiscale_experiments.sh', '--dataroot', 'here', '--out', 'out'],
        cwd=tmp_path,
        env={'PATH': '/usr/bin:/bin', 'PYTHON': 'echo'},  # prints the first command instead of running it
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f'--dataroot {tmp_path}/here' in done.stdout and f'--checkpoints_dir {tmp_path}/out/' in done.stdout


def test_environment_check_knows_what_is_missing():
    assert unmet(['# comment', '', 'numpy>=1.0  # remark']) == []
    assert unmet(['numpy>=999', 'no-such-package>=1']) == ['numpy>=999', 'no-such-package>=1']


def test_discard_removes_a_folder_and_what_an_earlier_attempt_left(tmp_path):
    for name in ('a', '.a.old'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'file').touch()
    discard(tmp_path / 'a')
    assert not list(tmp_path.iterdir())
