"""analysis.compare from score files to tables, tests, sentences and pictures."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.comparison import HYPOTHESES, over_seeds
from analysis.comparison_text import outcome, sentence
from analysis.metrics import binary_metrics
from analysis.runs import read_results
from analysis.scores import read_scores, score_frame
from analysis.statistics import paired_tests
from analysis.summary import summarise
from tests.conftest import write_scores
from util.files import read_json, write_json

GENERATORS = {
    ('U1', 'a'): 0.2, ('U1', 'b'): 0.8, ('U1', 'ldm_100'): 0.5, ('U1', 'ldm_200'): 0.6,
    ('U0_seen', 'd'): 2.0, ('U4_controls', 'c'): 0.1,
}  # fmt: skip


def write_run(folder, better=0.0, seeds=1, generators=GENERATORS, family=False, count=24, attention=False):
    """Score files of a detector whose logits separate by `better` more; the images' own noise is always the same."""
    names = list(generators)
    rows = [
        (*name, label, f'{name[0]}/{name[1]}/{("0_real", "1_fake")[label]}/{i}.png')
        for name in names
        for label in (0, 1)
        for i in range(count // (1 + names.index(name) % 2))
    ]
    labels = np.array([row[2] for row in rows])
    strength = np.array([generators[row[:2]] for row in rows]) + better
    images = np.random.default_rng(0).normal(size=len(rows))
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(100 * (better + 1))])
        logits = (2 * labels - 1) * strength + 0.7 * images + 0.9 * rng.normal(size=len(rows)) - 0.2
        weights = rng.dirichlet((1, 2), len(rows)) if attention else None
        frame = score_frame(rows, logits.astype(np.float32), weights, (0.25, 0.5))
        if family:
            frame['family'] = ['diffusion' if 'ldm' in row[1] else 'gan' for row in rows]
        where = folder / f'seed_{seed}' if seeds > 1 else folder
        where.mkdir(parents=True)
        write_scores(frame, where / 'scores.csv')
    return folder


@pytest.fixture
def compare(call):
    def run(*words):
        return call('analysis/compare.py', *words, '--resamples', '500')

    return run


def by_loops(folder, key='ap'):
    """{generator: [metric of each seed]}, straight from the files."""
    found = {}
    for path in sorted(folder.glob('**/scores.csv')):
        for generator, rows in pd.read_csv(path).groupby('generator'):
            found.setdefault(generator, []).append(binary_metrics(rows['label'], rows['logit'])[key])
    return found


def test_three_detectors_over_seeds(compare, tmp_path):
    runs = [
        write_run(tmp_path / 'base', 0.0, 3),  # written before families were
        write_run(tmp_path / 'more', 0.4, 3, family=True, attention=True),
        write_run(tmp_path / 'less', -0.1, 2, family=True),
    ]
    status, out, error = compare(*runs, '--out', tmp_path / 'out')
    assert status == 0, error
    found = read_json(tmp_path / 'out' / 'comparison.json')
    result = found['comparison']
    assert result['generators'] == ['U1/a', 'U1/b', 'U1/ldm_100', 'U1/ldm_200'] and result['units'] == 3
    values = {run.name: {metric: by_loops(run, metric) for metric in ('ap', 'accuracy')} for run in runs}
    inside = ('a', 'b', 'ldm_100', 'ldm_200')

    summary = found['detectors']['more']
    means = [np.mean(values['more']['ap'][g]) for g in inside]
    assert summary['mean']['ap'] == pytest.approx(np.mean(means))
    per_seed = np.mean([values['more']['ap'][g] for g in inside], axis=0)
    assert summary['mean']['std']['ap'] == pytest.approx(np.std(per_seed, ddof=1))
    assert summary['mean_by_images']['ap'] == pytest.approx(np.average(means, weights=[48, 24, 48, 24]))
    assert summary['std_over_generators']['ap'] == pytest.approx(np.std(means, ddof=1))
    assert summary['minimum']['ap'] == pytest.approx(min(means))
    assert summary['generators'][0]['std']['accuracy'] == pytest.approx(np.std(values['more']['accuracy']['a'], ddof=1))

    assert [(t['detector'], t['metric'], t['family']) for t in result['tests']] == [
        (name, *hypothesis) for name in ('more', 'less') for hypothesis in HYPOTHESES
    ]
    test = result['tests'][1]  # accuracy of `more`
    base, more = ([np.mean(values[name]['accuracy'][g]) for g in inside] for name in ('base', 'more'))
    differences = np.subtract(more, base)
    assert test['interval']['estimate'] == pytest.approx(differences.mean())
    assert test['interval']['low'] < test['interval']['estimate'] < test['interval']['high']
    assert test['interval']['levels'] == ['seed', 'generator', 'image']
    units = [differences[0], differences[1], differences[2:].mean()]  # the two ldm are one unit
    expected = paired_tests(units)
    assert test['n'] == 3 and test['generators'] == 4
    assert test['wilcoxon']['p'] == expected['wilcoxon']['p'] and test['t']['p'] == pytest.approx(expected['t']['p'])
    assert test['t']['p_holm'] > test['t']['p']
    diffusion = result['tests'][2]
    assert (diffusion['generators'], diffusion['n'], diffusion['wilcoxon']['p']) == (2, 1, None)

    within = {row['generator']: row for row in result['per_generator']['more']}
    logits = {
        run.name: np.mean([pd.read_csv(p)['logit'] for p in sorted(run.glob('*/scores.csv'))], axis=0) for run in runs
    }
    frame = pd.read_csv(runs[0] / 'seed_0' / 'scores.csv')
    for generator in inside:
        rows = (frame['generator'] == generator).to_numpy()
        right = {name: (values[rows] > 0) == frame['label'][rows] for name, values in logits.items()}
        only_more, only_base = (right['more'] & ~right['base']).sum(), (right['base'] & ~right['more']).sum()
        mcnemar, tested = within[generator]['mcnemar'], within[generator]['delong']
        assert (mcnemar['only_a'], mcnemar['only_b']) == (only_more, only_base)
        assert mcnemar['p_exact'] == pytest.approx(stats.binomtest(only_more, only_more + only_base).pvalue)
        assert tested['auc_a'] == pytest.approx(binary_metrics(frame['label'][rows], logits['more'][rows])['auc'])
    assert result['friedman']['ap']['n'] == 3 and np.argmin(result['friedman']['ap']['ranks']) == 1

    text = (tmp_path / 'out' / 'comparison.md').read_text()
    assert text in out and 'over clusters of related generators' in text and 'Friedman' in text
    assert 'Preliminary: fewer than 5 seeds (base 3, more 3, less 2)' in text and 'One seed' not in text
    assert 'over 2 diffusion generators' in text
    upper = text[: text.index('Controls')]
    assert '| a ' in upper and '| minimum ' in upper and '| c ' not in upper and ' ± ' in upper
    pictures = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}
    assert {'comparison.png', 'differences.png', 'critical_difference.png'} < set(pictures)

    # Twice the same, in any order of rows: the same bytes. Fewer detectors: nothing old stays behind.
    path = runs[1] / 'seed_1' / 'scores.csv'
    write_scores(read_scores(path).sample(frac=1, random_state=0), path)
    assert compare(*runs, '--out', tmp_path / 'out')[0] == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == pictures
    assert compare(runs[0], '--out', tmp_path / 'out')[0] == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'comparison.md', 'comparison.json', 'comparison.png',
    }  # fmt: skip


def test_each_table_has_its_mean_and_its_difference(compare, tmp_path):
    generators = {('U1', 'a'): 0.2, ('U1', 'b'): 0.8, ('U2', 'c'): 0.5, ('U0_seen', 'd'): 2.0, ('U2', 'e'): 0.1}
    runs = [write_run(tmp_path / 'base', 0.0, 2, generators), write_run(tmp_path / 'more', 0.6, 2, generators)]
    assert compare(*runs, '--out', tmp_path)[0] == 0
    found = read_json(tmp_path / 'comparison.json')
    for metric in ('ap', 'accuracy'):
        values = {run.name: by_loops(run, metric) for run in runs}
        for table, inside in (('U1', 'ab'), ('U2', 'ce')):
            means = {name: np.mean([values[name][g] for g in inside], axis=0) for name in values}  # of each seed
            for name, mean in means.items():
                entry = found['detectors'][name]['tables'][table]
                assert entry[metric] == pytest.approx(mean.mean())
                assert entry['std'][metric] == pytest.approx(mean.std(ddof=1))
            interval = found['comparison']['by_table']['more'][table][metric]
            assert interval['estimate'] == pytest.approx(means['more'].mean() - means['base'].mean())
            assert interval['low'] < interval['estimate'] < interval['high']
    assert list(found['detectors']['more']['tables']) == ['U1', 'U2']
    assert re.search(r'\| mean +\| U2 +\|', (tmp_path / 'comparison.md').read_text())


def test_one_seed_says_so_and_the_baseline_can_be_chosen(compare, fails, tmp_path):
    runs = write_run(tmp_path / 'one'), write_run(tmp_path / 'two', 0.3)
    status, out, error = compare(*runs, '--out', tmp_path, '--baseline', 'two')
    assert status == 0, error
    assert "One seed only (one, two): the seed's luck is not included" in out
    assert 'Nothing is said about diffusion models' in out and 'that one has a higher mean AP than two' in out
    assert 'cannot go below p = 0.5' in out and '±' not in out and '## one against two' in out
    words = ('analysis/compare.py', *runs, '--out', tmp_path)
    assert 'there are one, two' in fails(*words, '--baseline', 'three')
    assert 'at least 100' in fails(*words, '--resamples', '5')


def test_accuracies_at_frozen_thresholds(compare, fails, tmp_path):
    runs = write_run(tmp_path / 'one', seeds=2), write_run(tmp_path / 'two', 0.3, seeds=2)
    words = (*runs, '--out', tmp_path, '--frozen_threshold')
    assert 'no frozen threshold in metrics.json; run calibrate.py' in fails('analysis/compare.py', *words)
    thresholds = {'one': (0.4, -0.3), 'two': (1.0, 0.0)}
    for run in runs:
        for seed, threshold in enumerate(thresholds[run.name]):
            facts = {'detector': {'calibration': {'threshold': threshold}}, 'dataroot': 'nowhere'}
            write_json(run / f'seed_{seed}' / 'metrics.json', facts)
    compare(*runs, '--out', tmp_path / 'half')
    status, out, error = compare(*words)
    assert status == 0 and 'at the threshold that was frozen on validation images' in out, error
    found, half = (read_json(folder / 'comparison.json') for folder in (tmp_path, tmp_path / 'half'))
    assert found['frozen_threshold'] and not half['frozen_threshold']
    for run in runs:
        summary = found['detectors'][run.name]
        expected = []
        for seed, threshold in enumerate(thresholds[run.name]):
            frame = pd.read_csv(run / f'seed_{seed}' / 'scores.csv')
            rows = frame[frame['generator'] == 'a']
            expected.append(((rows['logit'] > threshold) == rows['label']).mean())
        assert summary['generators'][0]['accuracy'] == pytest.approx(np.mean(expected))
        for key in ('ap', 'ece'):
            assert summary['mean'][key] == pytest.approx(half['detectors'][run.name]['mean'][key])


def test_equal_detectors_do_not_differ(compare, tmp_path):
    runs = write_run(tmp_path / 'x'), write_run(tmp_path / 'y'), write_run(tmp_path / 'z')
    status, out, error = compare(*runs, '--out', tmp_path / 'out')
    assert status == 0, error
    assert out.count('Not supported by these data: that') == 4 and '\nSupported' not in out
    result = read_json(tmp_path / 'out' / 'comparison.json')['comparison']
    assert result['friedman']['ap']['p'] == 1 and result['tests'][0]['t']['p'] is None
    assert (result['tests'][0]['interval']['low'], result['tests'][0]['interval']['high']) == (0, 0)


def test_nothing_to_average_and_one_class_still_give_a_table(compare, tmp_path):
    run = write_run(tmp_path / 'run', generators={('U4_controls', 'c'): 0.5})
    other = write_run(tmp_path / 'other', 0.1, generators={('U4_controls', 'c'): 0.5})
    status, out, error = compare(run, other, '--out', tmp_path)
    assert status == 0, error
    assert 'the mean is over 0 generators (not in it: U4_controls/c)' in out and 'Against' not in out
    assert (
        read_json(tmp_path / 'comparison.json')['comparison'] is None
        and 'Nothing is tested: no generator is in the mean' in out
    )


def test_means_over_seeds_keep_what_is_undefined(tmp_path):
    run = write_run(tmp_path / 'run', seeds=2)
    frames = [frame[~((frame['generator'] == 'a') & (frame['label'] == 0))] for frame in read_results(run).frames]
    summary = over_seeds([summarise(frame) for frame in frames])
    entry = summary['generators'][0]
    assert entry['ap'] is None and entry['std']['ap'] is None and 0 <= entry['accuracy'] <= 1
    assert summary['mean_over'] == 3


@pytest.mark.parametrize(
    'low, high, p, smallest, expected, words',
    [
        (0.01, 0.05, 0.01, 0.001, 'higher', 'Supported by these data: new has a higher mean AP than old'),
        (-0.05, -0.01, 0.01, 0.001, 'lower', 'Not supported by these data: that new has .* it is lower'),
        (-0.05, 0.01, 0.01, 0.001, 'open', 'Not supported .* interval, wider by seeds and images, includes zero'),
        (0.01, 0.05, 0.20, 0.001, 'open', 'Not supported .* interval excludes zero, but the test'),
        (
            0.01,
            0.05,
            0.0625,
            0.0625,
            'open',
            r'can never decide it by this test \(after Holm it cannot go below p = 0.0625\)',
        ),
        (0.01, 0.05, None, None, 'open', 'Not supported .* p after Holm -.*can never decide it by this test'),
    ],
)
def test_sentences_follow_the_outcome(low, high, p, smallest, expected, words):
    test = {
        'detector': 'new', 'metric': 'ap', 'family': None, 'generators': 7, 'n': 7,
        'interval': {'estimate': (low + high) / 2, 'low': low, 'high': high},
        'wilcoxon': {'p_holm': p, 'smallest_p_holm': smallest},
    }  # fmt: skip
    assert outcome(test, 0.05) == expected
    assert re.search(words, sentence(test, 'old', 0.05))
    assert 'over 7 generators' in sentence(test, 'old', 0.05)
    assert 'over 1 diffusion generator' in sentence({**test, 'family': 'diffusion', 'generators': 1}, 'old', 0.05)
