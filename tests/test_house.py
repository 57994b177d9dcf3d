"""What holds the house together: the environment check, atomic folders."""

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
