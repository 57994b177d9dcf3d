"""Where one detector is right and another wrong."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.disagreement import (
    COMPARED,
    compare_traits,
    count_table,
    count_totals,
    high_frequency_energy,
    outcomes,
    report,
    sample_places,
    stratified_auc,
)
from analysis.scores import read_scores
from tests.conftest import SMALL, write_scores


def frames(first, second, labels):
    frame = pd.DataFrame({'table': 't', 'generator': 'g', 'label': labels, 'family': 'gan'})
    return frame.assign(logit=first), frame.assign(logit=second)


def test_outcomes_and_counts():
    pair = frames([1, 1, -1, -1, 2], [1, -1, 1, -1, 3], [1, 1, 1, 1, 0])
    found = outcomes(*pair)
    assert found.tolist() == ['both right', 'only first right', 'only second right', 'both wrong', 'both wrong']
    assert count_table(pair[0], found) == [['t/g', 'gan', 'fake', 4, 1, 1, 1, 1], ['t/g', 'gan', 'real', 1, 0, 0, 0, 1]]
    control = [frame.assign(table='U4_controls') for frame in pair]  # where "fake" is a false alarm
    assert outcomes(*control).tolist() == [
        'both wrong',
        'only second right',
        'only first right',
        'both right',
        'both wrong',
    ]
    places = sample_places(np.repeat(found[:3], 50), np.repeat([0, 1], 75), 10)
    assert len(places) == 40 and places == sorted(places)  # the middle outcome is in both strata


def test_totals_count_a_shared_real_image_once_and_no_control():
    rows = [('U1', 'a', 0, 'U1/a/0_real/photo_x_00.png'), ('U1', 'a', 1, 'U1/a/1_fake/photo_x_00.png')]
    rows += [('U1', 'b', 0, 'U1/b/0_real/photo_x_00.png'), ('U1', 'b', 1, 'U1/b/1_fake/photo_x_00.png')]
    rows += [
        ('U1', 'b', 0, 'U1/b/0_real/photo_x_01.png'),
        ('U4_controls', 'c', 1, 'U4_controls/c/1_fake/photo_x_01.png'),
    ]
    frame = pd.DataFrame(rows, columns=['table', 'generator', 'label', 'path'])
    totals = count_totals(frame, np.array(['both right', 'both wrong', 'both right', *['both wrong'] * 3]))
    assert [list(counts.values()) for counts in totals.values()] == [[1, 0, 0, 1], [0, 0, 0, 2]]
    other = frame.assign(path=[f'{i}/1.png' for i in range(6)])  # equal names elsewhere are not the same image
    assert sum(count_totals(other, np.array(['both right'] * 6))['real'].values()) == 3


def test_stratified_auc_is_the_auc_in_one_stratum_and_ignores_what_only_strata_explain():
    rng = np.random.default_rng(0)
    member, values = rng.random(80) < 0.4, rng.normal(size=80).round(1)
    values[member] += 0.5
    expected = roc_auc_score(member, values)
    assert stratified_auc(values, member, np.zeros(80, int)) == pytest.approx(expected)
    strata = np.repeat([0, 1], 40)
    members = np.concatenate([np.arange(40) < 30, np.arange(40) < 5])  # far more of them in the brighter stratum
    confounded = 10.0 * (strata == 0) + np.tile(np.arange(5), 16)
    assert roc_auc_score(members, confounded) > 0.75
    assert stratified_auc(confounded, members, strata) == pytest.approx(0.5, abs=0.02)
    assert stratified_auc(values, strata == 0, strata) is None


def test_traits_in_common_are_found_and_chance_is_not():
    rng = np.random.default_rng(4)
    strata, found = np.repeat([0, 1], 150), np.tile(['both right', 'only first right', 'only second right'], 100)
    traits = pd.DataFrame(
        {'telling': rng.normal(size=300) + 1.2 * (found == 'only first right'), 'idle': rng.normal(size=300)}
    )
    result = compare_traits(traits, found, strata)
    assert result['only first right']['images'] == 100
    told = result['only first right']['traits']
    assert told['telling']['auc'] > 0.7 and told['telling']['p_holm'] < 0.01 and told['idle']['p_holm'] > 0.05
    text = report([['t/g', '-', 'real', 300, 100, 100, 100, 0]], result, ('base', 'multi'))
    assert 'In common: more telling than' in text and 'nothing in common' in text and 'only base right' in text
    ps = []
    for seed in range(60):
        chance = pd.DataFrame({'x': np.random.default_rng([seed, 9]).normal(size=300)})
        ps.append(compare_traits(chance, found, strata, seed)['only first right']['traits']['x']['p'])
    assert stats.kstest(ps, 'uniform').pvalue > 0.01
    one_sided = compare_traits(traits, np.full(300, 'both right'), strata)
    assert all(one_sided[outcome] == {'images': 0, 'traits': {}} for outcome in COMPARED)


def test_high_frequency_energy():
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert high_frequency_energy(Image.fromarray(noise)) > 20
    assert high_frequency_energy(Image.new('RGB', (64, 64), (9, 99, 200))) == pytest.approx(0, abs=1e-4)


def test_disagreements_command(call, fails, checkpoints, forensynths, tmp_path):
    for name, path in checkpoints.items():
        data = ('--dataroot', forensynths / 'test', '--output_dir', tmp_path / name)
        assert call('test.py', '--model_path', path, *data, *SMALL)[0] == 0
    first, second = tmp_path / 'single_scale', tmp_path / 'multiscale_attention'
    frame = read_scores(second / 'scores.csv')
    rng = np.random.default_rng(3)  # the small detectors may agree on everything
    for folder in (first, second):
        frame = read_scores(folder / 'scores.csv').assign(logit=rng.normal(size=len(frame)))
        write_scores(frame, folder / 'scores.csv')
    for out in ('one', 'two'):
        status, text, _ = call('disagreements.py', first, second, '--out', tmp_path / out)
        assert status == 0 and 'only multiscale_attention right' in text and 'weight of 0.25' in text
    for name in ('disagreements.md', 'disagreements.json', 'disagreements.png'):
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()
    counts = json.loads((tmp_path / 'one' / 'disagreements.json').read_text())['counts']
    assert sum(row[3] for row in counts) == 24 and all(row[3] == sum(row[4:]) for row in counts)
    part = tmp_path / 'part'  # one image is gone, which may be of the sheet but not of those looked at
    shutil.copytree(forensynths / 'test', part)
    margin = (read_scores(first / 'scores.csv')['logit'] - frame['logit']).abs()
    (part / frame['path'][margin.idxmax()]).unlink()
    status, _, _ = call('disagreements.py', first, second, '--dataroot', part, '--out', tmp_path / 'four', '--most', 1)
    assert status == 0 and (tmp_path / 'four' / 'disagreements.png').is_file()
    moved = ('--dataroot', tmp_path / 'one', '--out', tmp_path / 'three')
    assert 'none of the images is there' in fails('disagreements.py', first, second, *moved)
