"""The audit of files, and conditions under which formats are alike."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from analysis.robustness import summarise_conditions
from analysis.scores import read_scores
from data.file_audit import audit_generator, differing_containers, jpeg_quality, separability
from data.listing import list_samples
from networks import load_checkpoint, save_checkpoint
from robustness import get_parser, named
from tests.conftest import SMALL
from util.errors import UserError
from util.files import read_json


def photo_like(side, seed):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((48, 48))


def make(folder, count, save):
    for label, name in enumerate(('0_real', '1_fake')):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            save(photo_like(20, 2 * i + label), folder / name / str(i), label)


@pytest.mark.parametrize('quality', [25, 30, 49, 75, 90, 96])
def test_jpeg_quality_is_read_from_the_tables(quality):
    buffer = io.BytesIO()
    photo_like(20, 0).save(buffer, 'JPEG', quality=quality)
    assert abs(jpeg_quality(Image.open(buffer)) - quality) <= 1
    assert jpeg_quality(photo_like(20, 0)) == 0


def test_a_difference_in_format_is_found_and_equal_files_are_not(tmp_path):
    def by_class(image, stem, label):
        image.save(f'{stem}.png') if label else image.save(f'{stem}.jpg', quality=80 + label)

    def alike(image, stem, label):
        image.save(f'{stem}.png')

    make(tmp_path / 'biased', 30, by_class)
    make(tmp_path / 'fair', 60, alike)
    biased = audit_generator(list_samples(tmp_path / 'biased'), 100)
    fair = audit_generator(list_samples(tmp_path / 'fair'), 100)
    assert biased['file_auc'] == 1.0 and fair['file_auc'] < 0.65 and fair['pixel_auc'] < 0.65
    assert biased['real']['formats'] == {'JPEG': 30} and biased['fake']['formats'] == {'PNG': 30}
    assert biased['real']['jpeg_quality'] == [80, 80] and biased['fake']['jpeg_quality'] is None
    assert fair['real']['sizes'] == {'48x48': 60}


def test_separability_needs_images_and_knows_noise():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    assert separability(labels, rng.normal(size=(400, 3))) < 0.6
    assert separability(labels, rng.normal(size=(400, 3)) + labels[:, None]) > 0.8
    assert separability([0, 1, 1], np.zeros((3, 2))) is None


def test_a_real_image_and_its_fake_are_kept_together():
    rng = np.random.default_rng(0)
    photographs = rng.normal(size=(60, 4))
    facts = np.concatenate([photographs, photographs + np.array([0.3, 0, 0, 0])])  # fakes a little brighter
    labels, names = np.repeat([0, 1], 60), np.tile(np.arange(60), 2)
    apart, together = separability(labels, facts), separability(labels, facts, names)
    assert apart == 0.5 and together > 0.52


def test_audit_of_a_tree(call, fails, tmp_path):
    make(tmp_path / 'gen', 12, lambda image, stem, label: image.save(f'{stem}.png'))
    (tmp_path / 'gen' / '0_real' / '3.png').write_bytes(b'text')
    words = (tmp_path / 'gen', '--out', tmp_path / 'out')
    status, out, _ = call('data/audit.py', *words)
    assert status == 0 and 'PNG 11' in out and '1 files could not be read' in out
    (facts,) = read_json(tmp_path / 'out' / 'audit.json').values()
    assert facts['fake']['images'] == 12 and facts['unreadable'] == 1
    assert Image.open(tmp_path / 'out' / 'audit.png').width > 300
    for path in (tmp_path / 'gen').rglob('*.png'):
        path.write_bytes(b'version https://git-lfs...')
    status, out, _ = call('data/audit.py', *words)
    assert status == 0 and '24 files could not be read' in out
    assert 'no such folder' in fails('data/audit.py', tmp_path / 'missing')


def test_robustness_scores_each_condition_once(call, checkpoints, forensynths, tmp_path):
    content, frozen = load_checkpoint(checkpoints['single_scale']), tmp_path / 'frozen.pth'
    save_checkpoint(frozen, **content | {'calibration': {'threshold': -50.0}})
    models = ['--model_path', *checkpoints.values(), frozen]
    words = [*models, '--dataroot', forensynths / 'test', '--out', tmp_path / 'r', *SMALL]
    status, out, _ = call('robustness.py', *words, '--perturbations', 'shift', 'jpeg', 'resize_0.9', 'shift_3')
    assert status == 0 and 'jpeg 50' in out and 'shift 3' in out
    assert 'pixels: resized to 40 x 40' in out and 'fake what scores above 0.500 (' in out and ' 0.000 (frozen)' in out
    conditions = read_json(tmp_path / 'r' / 'robustness.json')['conditions']
    assert set(conditions) == {*checkpoints, 'frozen'} and len(conditions['single_scale']) == 1 + 3 + 4 + 1
    assert 'resize 0.9' in out and (tmp_path / 'r' / 'frozen' / 'resize_0.9' / 'scores.csv').is_file()
    assert [conditions['frozen']['jpeg_50'][key] for key in ('real_accuracy', 'fake_accuracy')] == [0, 1]
    assert conditions['frozen']['jpeg_50']['ap'] == conditions['single_scale']['jpeg_50']['ap']
    as_is = conditions['single_scale']['as_is']
    assert as_is['ap_change'] is None and as_is['ap']['low'] <= as_is['ap']['estimate'] <= as_is['ap']['high']
    changed = conditions['single_scale']['jpeg_50']
    assert changed['ap_change']['estimate'] == pytest.approx(changed['ap']['estimate'] - as_is['ap']['estimate'])
    assert (tmp_path / 'r' / 'robustness_ap.png').stat().st_size > 5000
    score_files = {path: path.stat().st_mtime_ns for path in (tmp_path / 'r').rglob('scores.csv')}
    before = (tmp_path / 'r' / 'robustness.json').read_bytes()
    with pytest.raises(SystemExit):
        get_parser().parse_args([*map(str, words), '--perturbations', 'resize_90'])
    assert call('robustness.py', *words, '--perturbations', 'shift', 'jpeg', 'resize_0.9', 'shift_3')[0] == 0
    assert score_files == {path: path.stat().st_mtime_ns for path in (tmp_path / 'r').rglob('scores.csv')}
    assert (tmp_path / 'r' / 'robustness.json').read_bytes() == before
    averaged = summarise_conditions(tmp_path / 'r' / 'single_scale', ['as_is', 'shift_1'])
    for path in score_files:  # of a table that enters no mean beside others, but is alone
        read_scores(path).assign(table='U3_factor_sweep').to_csv(path, index=False)
    alone = summarise_conditions(tmp_path / 'r' / 'single_scale', ['as_is', 'shift_1'])
    assert alone[0]['shift_1']['ap'] == averaged[0]['shift_1']['ap'] and len(alone[1]) == len(averaged[1])


def test_what_fails_under_one_condition_is_left_out_of_all(call, checkpoints, tmp_path):
    for label, name in enumerate(('0_real', '1_fake')):
        (tmp_path / 'gen' / name).mkdir(parents=True)
        for i, side in enumerate((48, 40, 48, 8)):  # a real image of 8 pixels is too small to be shifted
            photo_like(20, 2 * i + label).resize((side + 8 * label,) * 2).save(tmp_path / 'gen' / name / f'{i}.png')
    words = ['--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen', '--out', tmp_path / 'r']
    words += ['--no_resize', '--num_threads', '0', '--perturbations', 'shift_1', 'jpeg_90']
    status, out, _ = call('robustness.py', *words, '--on_bad_image', 'skip')
    assert status == 0 and 'not be scored under every condition are in no number: 1 (single_scale)' in ' '.join(
        out.split()
    )
    assert 'Means over 1 generator: ' in out and '95% intervals over images. Acc' in ' '.join(out.split())
    folder = tmp_path / 'r' / 'single_scale'
    sizes = [len(scored(folder / condition)) for condition in ('as_is', 'shift_1', 'jpeg_90')]
    assert sizes == [8, 7, 8]
    both = scored(folder / 'jpeg_90').loc[scored(folder / 'shift_1').index]
    expected = average_precision_score(both.index.str.contains('1_fake'), both)
    found = read_json(tmp_path / 'r' / 'robustness.json')
    assert found['conditions']['single_scale']['jpeg_90']['ap']['estimate'] == pytest.approx(expected)
    assert found['detectors']['single_scale']['left_out'] == 1
    (tmp_path / 'gen' / '0_real' / '3.png').unlink()
    status, out, _ = call('robustness.py', *words)
    assert status == 0 and 'in no number' not in out


@pytest.mark.parametrize(
    'paths, names',
    [
        (['a/one/model_epoch_last.pth', 'a/two/model_epoch_best.pth'], ['one', 'two']),
        (['a/one/model_epoch_last.pth', 'b/one/model_epoch_last.pth'], ['a_one', 'b_one']),
        (['a/one/model_epoch_last.pth', 'a/one/model_epoch_best.pth'], ['model_epoch_last', 'model_epoch_best']),
        (['pretrained/single_scale.pth', 'a/three_0.5.pth', 'a/one/model_epoch_last.pth'],
         ['single_scale', 'three_0.5', 'one']),
    ],
)  # fmt: skip
def test_checkpoints_are_named_by_what_tells_them_apart(paths, names):
    assert list(named(paths).items()) == list(zip(names, paths, strict=True))
    with pytest.raises(UserError, match='a checkpoint is given twice'):
        named([*paths, f'x/../{paths[0]}'])


def test_formats_alike(call, fails, checkpoints, tmp_path):
    for label, (name, side) in enumerate((('0_real', 72), ('1_fake', 48))):  # sizes give the class away
        (tmp_path / 'gen' / name).mkdir(parents=True)
        for i in range(3):
            photo_like(20, 2 * i + label).resize((side, side)).save(tmp_path / 'gen' / name / f'{i}.png')
    words = ['--model_path', checkpoints['single_scale'], '--dataroot', tmp_path / 'gen', '--out', tmp_path / 'r']
    words += ['--formats', '--num_threads', '0', '--precision', 'fp32']
    assert 'compares native pixels' in fails('robustness.py', *words)
    status, out, _ = call('robustness.py', *words, '--no_resize', '--cropSize', '64')
    assert status == 0 and 'changes no pixel' in out and 'Means over 1 generator:' in out
    conditions = read_json(tmp_path / 'r' / 'formats.json')['conditions']['single_scale']
    assert list(conditions) == ['as_is', 'jpeg_96', 'crop_48', 'crop_48_jpeg_96']
    logits = {name: scored(tmp_path / 'r' / 'single_scale' / name) for name in conditions}
    fakes = logits['as_is'].index.str.contains('1_fake')
    change = (logits['crop_48'] - logits['as_is']).abs()
    assert change[fakes].max() < 5e-5  # 48 pixels before and after, in batches of other sizes
    assert change[~fakes].min() > 1e-3  # 64, then 48
    assert (logits['as_is'] != logits['jpeg_96']).all()
    with pytest.raises(SystemExit):
        get_parser().parse_args([*map(str, words), '--perturbations', 'jpeg'])


def scored(folder):
    return read_scores(folder / 'scores.csv').set_index('path')['logit']


def test_containers_are_compared(tmp_path):
    real, fake = tmp_path / 'real' / 'a.png', tmp_path / 'fake' / 'a.png'
    for path in (real, fake):
        path.parent.mkdir()
        photo_like(20, len(str(path))).save(path)
        os.utime(path, (5, 5))
    assert differing_containers(real, fake) == []
    os.utime(fake, (5, 6))
    assert 'time of change' in differing_containers(real, fake)[0]
    photo_like(20, 1).convert('L').resize((9, 9)).save(fake, 'JPEG')
    os.utime(fake, (5, 5))
    found = ' '.join(differing_containers(real, fake))
    assert all(word in found for word in ('format JPEG', 'mode L', 'size (9, 9)', 'metadata'))
    other = fake.rename(fake.with_name('b.png'))
    assert 'name b.png' in differing_containers(real, other)[0]
