"""Temperature, frozen threshold and reliability against plain loops and known truth."""

import numpy as np
import pandas as pd
import pytest

from analysis.calibration import RATES, fit_temperature, frozen_thresholds, reliability, threshold_at
from analysis.metrics import calibration_error
from networks import load_checkpoint
from networks.verdict import false_alarms
from tests.conftest import SMALL
from util.errors import UserError
from util.files import read_json, write_json


def drawn(count, temperature, seed=0):
    """Labels drawn from the scores of logits, which are then made `temperature` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return (rng.random(count) < 1 / (1 + np.exp(-logits))).astype(int), logits * temperature


@pytest.mark.parametrize('temperature', [0.4, 1.0, 5.0])
def test_the_temperature_is_found_again(temperature):
    labels, logits = drawn(20_000, temperature)
    fitted = fit_temperature(labels, logits)
    assert fitted == pytest.approx(temperature, rel=0.06)

    def loss(t):
        scores = 1 / (1 + np.exp(-logits / t))
        return -np.mean(np.log(np.where(labels == 1, scores, 1 - scores)))

    grid = np.geomspace(0.1, 20, 2001)
    assert fitted == pytest.approx(grid[np.argmin([loss(t) for t in grid])], rel=0.003)


def test_no_temperature_for_logits_that_separate_perfectly():
    for margin in (0.01, 0.5, 1.0, 2.0, 5.0):
        assert fit_temperature([0, 0, 1, 1], [-2 * margin, -margin, margin, 2 * margin]) is None
    assert fit_temperature([0, 1, 0, 1], [1.0, 1.0, -1.0, -1.0]) is None  # they tell nothing
    rng = np.random.default_rng(0)
    offset = rng.normal(np.repeat([5.0, 8.0], [500, 50]), 1)  # they tell a lot, but far from 0
    assert fit_temperature(np.repeat([0, 1], [500, 50]), offset) is None
    with pytest.raises(UserError, match='real and of fake'):
        fit_temperature([1, 1], [1.0, 2.0])


@pytest.mark.parametrize('rate', [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize('digits', [0, 8])  # rounded to whole numbers, many logits tie
def test_the_threshold_is_the_lowest_that_keeps_the_rate(rate, digits):
    labels, logits = drawn(700, 1)
    logits = logits.round(digits)
    threshold, found, (low, high) = threshold_at(labels, logits, rate)
    real = logits[labels == 0]
    allowed = [value for value in real if (real > value).mean() <= rate]
    assert threshold == min(allowed)
    assert found == (real > threshold).mean() <= rate and low <= found <= high


def test_too_few_real_images_for_a_rate():
    labels, logits = np.repeat([0, 1], 10), np.arange(20.0)
    with pytest.raises(UserError, match='at least 20 are needed'):
        threshold_at(labels, logits, 0.05)
    assert threshold_at(labels, logits, 0.1)[:2] == (8.0, 0.1)


@pytest.mark.parametrize('count, rates', [(700, RATES), (30, (0.5, 0.2, 0.1, 0.05)), (1, ())])
def test_a_score_is_as_rare_as_the_rate_says(count, rates):
    real = np.random.default_rng(count).normal(0, 2, count).round(1)  # with ties
    thresholds = frozen_thresholds([0] * count + [1], [*real, 5.0])
    assert tuple(rate for rate, _ in thresholds) == rates
    logits = np.linspace(-8, 8, 81)
    found = false_alarms(logits, {'calibration': {'threshold': 0.0, 'thresholds': thresholds}})
    if not rates:
        assert found is None
        return
    for logit, rate in zip(logits, found, strict=True):
        assert (real >= logit).mean() <= rate and rate in (*rates, 1)
        lower = [other for other in rates if other < rate]
        assert not lower or logit <= dict(thresholds)[max(lower)]  # at no lower rate it counts as fake
    assert false_alarms(logits, {}) is None and false_alarms(logits, {'calibration': {'threshold': 0.0}}) is None


def test_reliability_equals_a_plain_loop():
    labels, logits = drawn(4000, 3)
    scores = 1 / (1 + np.exp(-logits))
    error = 0
    for k, found in enumerate(zip(*reliability(labels, logits, bins=15), strict=True)):
        inside = [i for i, s in enumerate(scores) if k / 15 <= s < (k + 1) / 15 or (k == 14 and s == 1)]
        assert found[2] == len(inside)
        assert found[0] == pytest.approx(np.mean([scores[i] for i in inside]))
        assert found[1] == pytest.approx(np.mean([labels[i] for i in inside]))
        error += abs(found[0] - found[1]) * len(inside) / 4000
    assert calibration_error(labels, scores) == pytest.approx(error)
    assert calibration_error(labels, 1 / (1 + np.exp(-logits / 3))) < error / 2


def test_a_checkpoint_carries_what_was_fitted(call, fails, checkpoints, forensynths, tmp_path):
    import shutil

    model = shutil.copy(checkpoints['multiscale_attention'], tmp_path / 'model.pth')
    data = ('--dataroot', forensynths / 'test', *SMALL)
    assert call('test.py', '--model_path', model, *data, '--output_dir', tmp_path / 'val')[0] == 0
    scores = tmp_path / 'val' / 'scores.csv'
    before = scores.read_bytes()
    words = ('--model_path', model, '--scores', scores, '--false_alarm_rate', '0.2')
    status, out, _ = call('calibrate.py', *words)
    assert status == 0 and 'temperature' in out and (tmp_path / 'val' / 'reliability.png').stat().st_size > 5000
    assert call('test.py', '--model_path', model, *data, '--output_dir', tmp_path / 'out')[0] == 0
    assert (tmp_path / 'out' / 'scores.csv').read_bytes() == before  # the score file stays as the network says
    metrics = read_json(tmp_path / 'out' / 'metrics.json')
    fitted = metrics['detector']['calibration']
    frame, alarms = pd.read_csv(scores), []
    for entry in metrics['generators']:
        rows = frame[frame['generator'] == entry['generator']]
        called_fake = rows['logit'] > fitted['threshold']
        assert entry['frozen_accuracy'] == pytest.approx((called_fake == (rows['label'] == 1)).mean())
        assert entry['frozen_false_alarms'] == pytest.approx(called_fake[rows['label'] == 0].mean())
        alarms += called_fake[rows['label'] == 0].tolist()
    assert fitted['pixels'] == {'load_size': 40, 'crop_size': 32}
    labels, logits = frame['label'].to_numpy(), frame['logit'].to_numpy()
    assert fitted['thresholds'] == frozen_thresholds(labels, logits, 0.2)
    assert np.mean(alarms) <= fitted['false_alarm_rate'] == 0.2  # these are the scores it was fitted on
    assert 'Acc. at frozen threshold' in (tmp_path / 'out' / 'metrics.md').read_text()
    other = ('--model_path', checkpoints['single_scale'], '--scores', scores)
    assert 'these scores are not of' in fails('calibrate.py', *other)
    more = pd.concat([frame, frame.assign(table='U3_factor_sweep', path='more/' + frame['path'])])
    more.to_csv(scores, index=False)
    status, out, _ = call('calibrate.py', *words)
    assert status == 0 and f'{len(frame)} images of controls or of the sweep over factors do not count' in out
    assert load_checkpoint(model)['calibration'] == fitted
    few = pd.concat([frame[frame['label'] == 0], frame[frame['label'] == 1].head(2)])
    few.assign(logit=few['logit'] + 30).to_csv(scores, index=False)
    status, out, _ = call('calibrate.py', *words)
    assert status == 0 and ('none fits, because scores are worse' in out) and 'threshold: logit > ' in out
    frame.assign(table='U4_controls').to_csv(scores, index=False)
    assert 'all images are of controls or of the sweep' in fails('calibrate.py', *words)
    facts = read_json(tmp_path / 'val' / 'metrics.json')
    facts['pixels'] = {'by_table': {'a': {'load_size': None, 'crop_size': 32}, 'b': facts['pixels']}}
    write_json(tmp_path / 'val' / 'metrics.json', facts)
    assert 'tables were scored on different pixels' in fails('calibrate.py', *words)
