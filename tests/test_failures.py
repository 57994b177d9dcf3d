"""The page of confident errors."""

import re

import pandas as pd
import pytest

from analysis.summary import right_verdict
from show_failures import describe, worst_errors
from tests.conftest import SMALL


def test_worst_errors_are_the_most_confident_of_each_generator():
    rows = [('t', 'a', 1, -1.0), ('t', 'a', 1, -9.0), ('t', 'a', 0, 4.0), ('t', 'a', 0, -50.0), ('t', 'b', 0, 0.5)]
    frame = pd.DataFrame(rows, columns=['table', 'generator', 'label', 'logit'])
    assert worst_errors(frame, 2).index.tolist() == [1, 2, 4]
    assert worst_errors(frame, 9).index.tolist() == [1, 2, 0, 4]
    assert worst_errors(frame[frame['logit'] < -20], 9).empty


def test_a_control_that_is_called_real_is_no_error():
    rows = [('U4_controls', 'factor1', 1, -9.0), ('U4_controls', 'factor1', 1, 2.0), ('U4_controls', 'factor1', 0, 1.0)]
    frame = pd.DataFrame([*rows, ('U1', 'a', 1, -0.5)], columns=['table', 'generator', 'label', 'logit'])
    assert worst_errors(frame, 9).index.tolist() == [1, 2, 3]
    assert right_verdict(frame).tolist() == [True, False, False, False]
    entries = frame.assign(score=0.5).to_dict('records')
    assert [describe(entry).partition(', score')[0] for entry in entries] == [
        'control, called real',
        'control, called fake',
        'control, called fake',
        'fake, called real',
    ]


@pytest.mark.parametrize('model_type', ['single_scale', 'multiscale_attention'])
def test_page_and_sheet(call, fails, checkpoints, forensynths, tmp_path, model_type):
    words = ('--dataroot', forensynths / 'test', '--output_dir', tmp_path / 'r', *SMALL)
    assert call('test.py', '--model_path', checkpoints[model_type], *words)[0] == 0
    frame = pd.read_csv(tmp_path / 'r' / 'scores.csv')
    frame['logit'] = [-3.0 if label else -1.0 for label in frame['label']]  # every fake is missed
    frame.to_csv(tmp_path / 'r' / 'scores.csv', index=False)
    status, _, _ = call('show_failures.py', '--results', tmp_path / 'r', '--worst', '2')
    page = (tmp_path / 'r' / 'failures' / 'index.html').read_text()
    assert status == 0 and (tmp_path / 'r' / 'failures' / 'failures.png').stat().st_size > 5000
    generators = frame['generator'].nunique()
    assert page.count('<figure>') == 2 * generators and page.count('0 wrongly called fake') == generators
    scales = 1 if model_type == 'single_scale' else 3
    assert len(re.findall('<img', page)) == 2 * generators * (1 + scales)
    assert ('weights' in page) == (model_type == 'multiscale_attention')
    (tmp_path / 'r' / 'metrics.json').unlink()
    assert 'no metrics.json' in fails('show_failures.py', '--results', tmp_path / 'r')
