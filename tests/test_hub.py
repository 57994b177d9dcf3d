"""Detectors that are handed over: torch.hub, checksums, the release."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import hubconf
from analysis.calibration import RATES
from analysis.leave_one_out import table
from analysis.metrics import binary_metrics
from leave_one_out import SIDE
from networks import load_checkpoint, load_detector, save_checkpoint, weights_fingerprint
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.evidence import load, validation_ap
from tests.conftest import ROOT
from util.files import read_json

RESULTS = ROOT / 'results' / 'upsamplebench'
PRETRAINED = ROOT / 'checkpoints' / 'pretrained'


def by_hand(ready, path, load_size, crop_size):
    """Score of an image, resized if load_size and cropped in the middle on multiples of 8."""
    image = Image.open(path).convert('RGB')
    if load_size:
        image = image.resize((load_size, load_size), Image.Resampling.BILINEAR)
    start = [(side - crop_size) // 2 for side in image.size]
    left, top = start if load_size else (place // 8 * 8 for place in start)
    pixels = np.asarray(image.crop((left, top, left + crop_size, top + crop_size)), np.float32) / 255
    pixels = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.inference_mode():
        return ready.detector(torch.tensor(pixels.transpose(2, 0, 1)[None]).float()).sigmoid().item()


@pytest.mark.parametrize('design', [BASELINE, PROPOSED])
def test_hub_gives_the_detector_that_was_tested(design, tmp_path, call):
    detector = torch.hub.load(str(ROOT), design.model_type, source='local')
    assert detector.config['npr_scales'] == design.scales and not detector.training
    fingerprint = weights_fingerprint(detector.detector.state_dict())
    tested = [read_json(path)['weights'] for path in RESULTS.glob(f'results/{design.name}/seed_*/metrics.json')]
    card = (ROOT / 'checkpoints' / 'pretrained' / f'{design.model_type}.md').read_text()
    assert fingerprint in tested and fingerprint in card
    Image.effect_noise((300, 264), 40).convert('RGB').save(tmp_path / 'a.png')
    path = ROOT / 'checkpoints' / 'pretrained' / f'{design.model_type}.pth'
    words = ['--model_path', path, '--precision', 'fp32', '--output', tmp_path / 'scores.csv']
    assert call('detect.py', tmp_path / 'a.png', *words)[0] == 0
    score = float((tmp_path / 'scores.csv').read_text().splitlines()[1].split(',')[2])
    assert detector.score([tmp_path / 'a.png']).item() == pytest.approx(score, abs=1e-5)
    assert detector.score([tmp_path / 'a.png']).item() == pytest.approx(
        by_hand(detector, tmp_path / 'a.png', None, 128)
    )
    assert detector.score([tmp_path / 'a.png'], 64).item() == pytest.approx(
        by_hand(detector, tmp_path / 'a.png', None, 64)
    )
    assert detector.score(Image.open(tmp_path / 'a.png')).shape == (1,) and detector.score([]).shape == (0,)


def test_hub_refuses_a_damaged_file_and_builds_fresh_ones(tmp_path, monkeypatch):

    folder = ROOT / 'checkpoints' / 'pretrained'
    for file in ('single_scale.pth', 'SHA256SUMS'):
        shutil.copy(folder / file, tmp_path)
    monkeypatch.setattr(hubconf, 'PRETRAINED', tmp_path)
    assert hubconf.single_scale()(torch.zeros(1, 3, 32, 32)).shape == (1, 1)
    data = bytearray((tmp_path / 'single_scale.pth').read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / 'single_scale.pth').write_bytes(data)
    with pytest.raises(ValueError, match='not the file that SHA256SUMS names'):
        hubconf.single_scale()
    fresh = hubconf.single_scale(pretrained=False)
    assert weights_fingerprint(fresh.detector.state_dict()) != weights_fingerprint(
        load_detector(folder / 'single_scale.pth')[0].state_dict()
    )


def test_checksums_are_those_of_the_files():
    folder = ROOT / 'checkpoints' / 'pretrained'
    for line in (folder / 'SHA256SUMS').read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / name).stat().st_size < 12e6


@pytest.mark.parametrize('load_size', [256, 320, None])
def test_detectors_score_the_pixels_they_were_trained_on(load_size, tmp_path, call):
    """So does detect.py, unless a flag says otherwise; with a frozen threshold it gives a verdict."""
    config, model = (load_checkpoint(PRETRAINED / 'single_scale.pth')[key] for key in ('config', 'model'))
    Image.effect_noise((300, 264), 40).convert('RGB').save(tmp_path / 'a.png')
    words = ['--model_path', tmp_path / 'm.pth', '--precision', 'fp32', '--output', tmp_path / 'scores.csv']
    for threshold in (None, -1e6, 1e6):
        rates = [[0.5, -1e6], [0.1, threshold]]
        earlier = threshold == 1e6  # a version without rates
        frozen = {'threshold': threshold, **({} if earlier else {'thresholds': rates})}
        extras = {} if threshold is None else {'calibration': frozen}
        save_checkpoint(tmp_path / 'm.pth', config, model, pixels={'load_size': load_size, 'crop_size': 64}, **extras)
        status, out, _ = call('detect.py', tmp_path / 'a.png', *words)
        assert status == 0 and f'{load_size or 224}' in out.partition('pixels: ')[2].partition('\n')[0]
        assert ('fake above a score of' in out) == (threshold is not None)
        line = pd.read_csv(tmp_path / 'scores.csv').iloc[0]
        assert line.get('verdict') == {None: None, -1e6: 'fake', 1e6: 'real'}[threshold]
        ready = hubconf.Ready(*load_detector(tmp_path / 'm.pth'))
        expected = by_hand(ready, tmp_path / 'a.png', load_size, 64 if load_size else 224)
        assert ready.score([tmp_path / 'a.png']).item() == pytest.approx(expected, abs=1e-5)
        assert line['score'] == pytest.approx(expected, abs=1e-5)
        assert ready.fake(tmp_path / 'a.png').item() == ((threshold or 0) < line['logit'])
        assert ('false_alarms: ' in out) == ('false_alarms' in line) == (threshold == -1e6)
        rate = 0.1 if threshold == -1e6 else None
        assert ready.false_alarms(tmp_path / 'a.png') == line.get('false_alarms') == rate
    assert call('detect.py', tmp_path / 'a.png', *words, '--mode', 'native' if load_size else 'paper')[0] == 0
    assert pd.read_csv(tmp_path / 'scores.csv')['score'][0] != pytest.approx(line['score'], abs=1e-5)


def file_of(design):
    """Where a design is published, below checkpoints/pretrained and without its suffix."""
    return design.model_type if design in (BASELINE, PROPOSED) else f'ablations/{design.name}'


@pytest.fixture
def experiment(tmp_path):
    """The published results, with the weights that the released detectors were taken from."""
    folder = tmp_path / 'experiment'
    shutil.copytree(RESULTS, folder, ignore=shutil.ignore_patterns('*.png', '*.pdf', '*.pptx', 'scores.csv', '*.pth'))
    evidence = load(folder)
    for design in DESIGNS:
        if not evidence.tests.get(design.name):
            continue
        runs = sorted(folder.glob(f'checkpoints/{design.name}/seed_*'))
        values = [validation_ap(run, last=True) for run in runs]
        best = runs[values.index(max(values))] / 'model_epoch_last.pth'
        published = load_checkpoint(PRETRAINED / f'{file_of(design)}.pth')
        kept = {key: published[key] for key in ('pixels', 'calibration')}
        save_checkpoint(best, published['config'], published['model'], **kept, optimizer={'a': 1})
    return folder


def test_release_takes_the_seed_with_the_best_validation_and_is_what_is_published(experiment, tmp_path, call, fails):
    assert call('report/release.py', experiment, '--out', tmp_path / 'out')[0] == 0
    files = {path for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    names = {str(path.relative_to(tmp_path / 'out')) for path in files} - {'SHA256SUMS'}
    tested = [design for design in DESIGNS if (RESULTS / 'results' / design.name).is_dir()]
    assert names == {f'{file_of(design)}.{kind}' for design in tested for kind in ('pth', 'md')} and len(tested) > 2
    sums = (set((folder / 'SHA256SUMS').read_text().splitlines()) for folder in (tmp_path / 'out', PRETRAINED))
    assert set.issubset(*sums)  # there are others beside them
    for name in sorted(names):
        made, published = ((folder / name).read_bytes() for folder in (tmp_path / 'out', PRETRAINED))
        made = made.replace(bytes(experiment.as_posix(), 'utf-8'), b'results/upsamplebench')
        made = made.replace(bytes((tmp_path / 'out').as_posix(), 'utf-8'), b'checkpoints/pretrained')
        assert made == published, name
    logs = list(experiment.glob('checkpoints/baseline/*/train_log.jsonl'))
    lines = [json.loads(line)['val/ap'] for line in logs[0].read_text().splitlines()]
    assert validation_ap(logs[0].parent) == max(lines) and validation_ap(logs[0].parent, last=True) == lines[-1]
    assert 'optimizer' not in load_checkpoint(tmp_path / 'out' / 'single_scale.pth')
    for path in experiment.glob('results/baseline/*/metrics.json'):
        path.write_text(path.read_text().replace(read_json(path)['weights'], 'other'))
    assert 'not those that were tested' in fails('report/release.py', experiment, '--out', tmp_path / 'out')
    logs[0].unlink()
    assert 'without a log of validation AP' in fails('report/release.py', experiment, '--out', tmp_path / 'out')


def test_thresholds_know_the_pixels_they_were_frozen_on():
    for design in DESIGNS:
        if tests := list(RESULTS.glob(f'results/{design.name}/seed_*/metrics.json')):
            frozen = load_checkpoint(PRETRAINED / f'{file_of(design)}.pth')['calibration']['pixels']
            for test in tests:  # validation and tests were scored with the same flags
                assert {key: read_json(test)['pixels'][key] for key in frozen} == frozen != {}
    frozen = load_checkpoint(PRETRAINED / 'fine_npr.pth')['calibration']['pixels']
    assert frozen == {'load_size': None, 'crop_size': SIDE}


def test_every_detector_carries_thresholds_of_several_rates():
    files = sorted(PRETRAINED.rglob('*.pth'))
    assert len(files) == 11
    for path in files:
        frozen = load_checkpoint(path)['calibration']
        rates, thresholds = zip(*frozen['thresholds'], strict=True)
        own = frozen['false_alarm_rate'], frozen['threshold']
        assert {*rates} == {*RATES, own[0]} and [*rates] == sorted(rates, reverse=True), path
        assert list(own) in frozen['thresholds'] and list(thresholds) == sorted(thresholds), path


@pytest.mark.parametrize(
    ('name', 'rate', 'numbers', 'scores'),
    [
        ('fine_npr', 0.05, 'leave_one_out.json', 'scores.csv.gz'),
        ('fine_npr_copy', 0.04, 'e31_joined.json', 'e31_joined.csv.gz'),
    ],
)
def test_the_detectors_for_use_are_what_their_cards_and_results_say(name, rate, numbers, scores):
    ready, fresh = getattr(hubconf, name)(), getattr(hubconf, name)(pretrained=False)
    assert ready.config['fine'] and ready.config['pixels']['load_size'] is None
    assert {name: ready.config[name] for name in fresh.config} == fresh.config
    assert ready.config['calibration']['false_alarm_rate'] == rate and ready.config['calibration']['real_images'] > 100
    card = (PRETRAINED / f'{name}.md').read_text()
    assert f"torch.hub.load('.', '{name}', source='local')" in card
    assert weights_fingerprint(ready.detector.state_dict()) in card
    assert weights_fingerprint(fresh.detector.state_dict()) not in card
    found = read_json(ROOT / 'results' / 'field' / numbers)
    assert table(found) in card and f'** {sum(found["asked"]["trained_on"].values())} images' in card
    frame = pd.read_csv(ROOT / 'results' / 'field' / scores)
    for (name, seed), part in frame[frame['condition'] == 'jpeg_95'].groupby(['left_out', 'seed']):
        value = found['generators']['jpeg_95'][name]['auc'][found['seeds'].index(seed)]
        assert binary_metrics(part['label'], part['logit'])['auc'] == pytest.approx(value)


def test_both_detectors_for_use_have_the_weights_of_one_training():
    plain, joined = hubconf.fine_npr().detector.state_dict(), hubconf.fine_npr_copy().detector.state_dict()
    assert set(joined) - set(plain) == {'join.weight', 'join.bias'} and set(plain) <= set(joined)
    assert all(torch.equal(value, joined[key]) for key, value in plain.items())
    assert joined['join.weight'][0, 1] < 0 < joined['join.weight'][0, 0]  # against its copy
