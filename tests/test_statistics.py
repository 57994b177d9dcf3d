"""Metrics and statistical tests against scikit-learn, scipy and plain loops."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analysis.bootstrap import metric_tables
from analysis.metrics import accuracy_at, binary_metrics
from analysis.statistics import critical_difference, delong, friedman_nemenyi, holm, mcnemar, paired_tests
from util.errors import UserError

# -- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('seed', range(5))
def test_threshold_metrics_equal_loops(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], (25, 40)))
    logits = np.round(rng.normal(size=65) + labels, 1)  # with ties
    found = binary_metrics(labels, logits)
    parts = [np.mean((logits[labels == label] > 0) == label) for label in (0, 1)]
    assert found['balanced_accuracy'] == pytest.approx(np.mean(parts))
    thresholds = [-np.inf, *logits]
    best = max(np.mean([(x > t) == y for x, y in zip(logits, labels, strict=True)]) for t in thresholds)
    assert found['oracle_accuracy'] == pytest.approx(best)
    assert accuracy_at(labels, logits, 0.5) == np.mean([(x > 0.5) == y for x, y in zip(logits, labels, strict=True)])
    scores, error = 1 / (1 + np.exp(-logits)), 0
    for k in range(15):
        inside = [i for i in range(65) if k / 15 <= scores[i] < (k + 1) / 15]
        if inside:
            error += len(inside) / 65 * abs(scores[inside].mean() - labels[inside].mean())
    assert found['ece'] == pytest.approx(error)


def test_oracle_calls_all_fake_or_all_real_if_that_is_best():
    assert binary_metrics([1, 1, 0], [1.0, 2.0, 3.0])['oracle_accuracy'] == pytest.approx(2 / 3)
    assert binary_metrics([0, 0, 1], [2.0, 3.0, 1.0])['oracle_accuracy'] == pytest.approx(2 / 3)
    assert binary_metrics([0, 1], [5.0, 5.0])['oracle_accuracy'] == 0.5


def test_metrics_of_one_class_and_of_nothing():
    alone = binary_metrics([1, 1], [2.0, -1.0])
    assert alone['balanced_accuracy'] is alone['oracle_accuracy'] is None and 0 < alone['ece'] < 1
    assert binary_metrics([], [])['ece'] is None and accuracy_at([], [], 0) is None


def test_metrics_of_a_foreign_file(call, fails, tmp_path):
    file = tmp_path / 'foreign.csv'
    file.write_text('\ufefflabel,score,name\n0,0.1,a\n1,1.0,b\n1,0.4,c\n0,0,d\n')
    status, out, _ = call('analysis/metrics.py', file)
    values = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert status == 0 and values['ap'] == '1.0000' and values['accuracy'] == '0.7500' and values['fake_images'] == '2'
    file.write_text('label,logit,score\n0,2.0,0\n1,3.0,1\n')  # the logit counts, not the score
    assert 'accuracy           0.5000' in call('analysis/metrics.py', file)[1]
    for text, message in (
        ('label,prob\n1,0.5\n', "found ['label', 'prob']"),
        ('score\n0.5\n', 'expected the columns label'),
        ('label,score\n0,0.5\n1,1.5\n', "column score, line 3: found '1.5'"),
        ('label,score\n0,\n', 'column score, line 2'),
        ('label,score\nfake,0.5\n', "column label, line 2: found 'fake', expected 0 (real) or 1 (fake)"),
        ('label,logit\n0,inf\n', 'expected a finite number'),
        ('label,logit\n', 'no rows'),
        ('', 'not a CSV'),
    ):
        file.write_text(text)
        assert message in fails('analysis/metrics.py', file)
    assert 'no such file' in fails('analysis/metrics.py', tmp_path / 'nothing.csv')


# -- tests over generators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'differences',
    [
        [0.3, -0.1, 0.25, 0.7, 0.05, -0.2],
        [0.1, 0.1, -0.1, 0.2, 0.2, 0.4, -0.2],  # ties
        [0.7 - 0.6, 0.3 - 0.2, 0.0, -0.3, 0.5, 0.25],  # ties but for the last bit, and a zero
    ],
)
def test_paired_tests_equal_enumeration_and_scipy(differences):
    found = paired_tests(differences)
    nonzero = np.round([d for d in differences if d], 9)
    ranks = stats.rankdata(np.abs(nonzero))
    positive = ranks[nonzero > 0].sum()
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=len(ranks))
    ]
    centre = ranks.sum() / 2
    p = np.mean([abs(s - centre) >= abs(positive - centre) - 1e-9 for s in sums])
    assert found['wilcoxon']['p'] == pytest.approx(p)
    assert found['wilcoxon']['rank_biserial'] == pytest.approx((2 * positive - ranks.sum()) / ranks.sum())
    assert found['wilcoxon']['smallest_p'] == 2 / 2 ** len(differences)
    expected = stats.ttest_rel(differences, np.zeros(len(differences)))
    assert (found['t']['t'], found['t']['p']) == pytest.approx((expected.statistic, expected.pvalue))
    assert found['t']['d_z'] == pytest.approx(np.mean(differences) / np.std(differences, ddof=1))


def test_degenerate_pairs_are_said_not_invented():
    zero, one, equal = paired_tests([0.0, 0.0, 0.0]), paired_tests([0.2]), paired_tests([0.1, 0.1, 0.1])
    assert zero['wilcoxon']['p'] == 1 and zero['t']['p'] is None and 'equal' in zero['t']['note']
    assert one['wilcoxon']['p'] is one['t']['p'] is one['t']['d_z'] is None and one['mean'] == 0.2
    assert equal['t']['p'] is None and equal['wilcoxon']['p'] == 0.25
    for nothing in ([], [np.nan, 1.0]):
        with pytest.raises(UserError, match='finite differences'):
            paired_tests(nothing)


def test_holm_by_hand_and_by_loop():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.6]) == [1.0, None, 1.0] and holm([]) == []
    p = np.random.default_rng(0).random(12) ** 3
    for alpha in (0.01, 0.05, 0.2):  # step down by the book: stop at the first that is too large
        rejected = set()
        for step, i in enumerate(np.argsort(p)):
            if p[i] > alpha / (12 - step):
                break
            rejected.add(int(i))
        assert rejected == {i for i, q in enumerate(holm(p)) if q <= alpha}


def test_nemenyi_equals_demsars_table():
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]  # Demsar 2006, Table 5a
    for k, q in enumerate(published, start=2):
        assert critical_difference(k, 14) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), rel=5e-4)


def test_friedman_equals_its_formula_and_ranks_the_best_first():
    rng = np.random.default_rng(1)
    values = rng.normal((0, 0, 0.5, 2), size=(12, 4))
    found = friedman_nemenyi(values)
    ranks = np.array([[sum(row > x) + 1 for x in row] for row in values]).mean(0)  # no ties
    assert found['ranks'] == pytest.approx(ranks) and np.argmin(found['ranks']) == 3
    chi2 = 12 * 12 / (4 * 5) * (np.sum(ranks**2) - 4 * 5**2 / 4)
    assert (found['chi2'], found['p']) == pytest.approx((chi2, stats.chi2.sf(chi2, 3)))
    apart = np.abs(ranks[:, None] - ranks) > found['critical_difference']
    np.testing.assert_array_equal(np.array(found['pairs']) < 0.05, apart)
    assert apart.any() and not apart.all()
    tied = friedman_nemenyi(np.ones((5, 3)))
    assert (tied['p'], tied['chi2'], tied['ranks']) == (1, None, [2, 2, 2])
    for shape in ((1, 3), (5, 2)):
        with pytest.raises(UserError, match='3 or more detectors'):
            friedman_nemenyi(np.ones(shape))


# -- tests within a generator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('only_a, only_b', [(0, 0), (3, 3), (1, 9), (7, 2), (180, 230)])
def test_mcnemar_equals_binomial_test(only_a, only_b):
    a = np.repeat([1, 0, 1, 0], (only_a, only_b, 20, 5))
    b = np.repeat([0, 1, 1, 0], (only_a, only_b, 20, 5))
    found = mcnemar(a, b)
    n = only_a + only_b
    assert (found['only_a'], found['only_b']) == (only_a, only_b)
    assert found['p_exact'] == pytest.approx(stats.binomtest(only_a, n).pvalue if n else 1)
    chances = stats.binom.pmf(range(n + 1), n, 0.5)
    far = [abs(k - n / 2) - abs(only_a - n / 2) for k in range(n + 1)]
    beyond = sum(c for c, f in zip(chances, far, strict=True) if f > 0)
    same = sum(c for c, f in zip(chances, far, strict=True) if f == 0)
    assert found['p_mid'] == pytest.approx(1 if only_a == only_b else beyond + same / 2)
    with pytest.raises(UserError, match='the same images'):
        mcnemar([True], [True, False])


def two_detectors(rng, n=60, gap=0.0, rho=0.7):
    """Labels, and logits of two detectors that share a part of their noise."""
    labels = rng.permutation(np.repeat([0, 1], (n // 3, n - n // 3)))
    shared = rng.normal(size=n)
    noise = [np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=n) for _ in range(2)]
    return labels, labels + noise[0], (1 + gap) * labels + noise[1]


def test_delong_equals_loops_and_the_bootstrap():
    rng = np.random.default_rng(3)
    labels, a, b = two_detectors(rng, 90, gap=0.5)
    a = np.round(a, 1)  # ties
    found = delong(labels, a, b)
    components = []
    for logits in (a, b):
        wins = np.array(
            [[(f > r) + 0.5 * (f == r) for r in logits[labels == 0]] for f in logits[labels == 1]], dtype=float
        )
        components.append((wins.mean(1), wins.mean(0)))
    variance = sum(np.cov(*side).dot([1, -1]).dot([1, -1]) / len(side[0]) for side in zip(*components, strict=True))
    assert found['standard_error'] == pytest.approx(np.sqrt(variance))
    assert found['auc_a'] == pytest.approx(roc_auc_score(labels, a))
    assert found['difference'] == pytest.approx(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    assert found['p'] == pytest.approx(2 * stats.norm.sf(abs(found['difference']) / np.sqrt(variance)))
    table = metric_tables([labels], [[a[None]], [b[None]]], resamples=2000)['auc']
    bootstrap = np.std(table[0][1:] - table[1][1:])
    assert found['standard_error'] == pytest.approx(bootstrap, rel=0.1)
    single = np.hypot(*(np.std(each[1:]) for each in table))  # what unpaired detectors would have
    assert single > 1.3 * bootstrap


def test_delong_without_variance():
    labels = np.array([0, 0, 1, 1])
    for a, b in (([1, 2, 3, 4], [1, 2, 3, 4]), ([1, 2, 3, 4], [4, 3, 2, 1])):
        found = delong(labels, a, b)
        assert found['p'] is found['z'] is None and 'no variance' in found['note']
    with pytest.raises(UserError, match='two or more of each'):
        delong([0, 0, 1], [1, 2, 3], [1, 2, 3])
    with pytest.raises(UserError, match='do not belong together'):
        delong(labels, [1, 2, 3], [1, 2, 3])


def test_p_values_are_uniform_when_nothing_differs():
    rng = np.random.default_rng(4)
    p = {'delong': [], 't': [], 'wilcoxon': [], 'mcnemar': []}
    for _ in range(400):
        labels, a, b = two_detectors(rng, 120)
        p['delong'].append(delong(labels, a, b)['p'])
        p['mcnemar'].append(mcnemar((a > 0.5) == labels, (b > 0.5) == labels)['p_exact'])
        tests = paired_tests(rng.normal(size=9))
        p['t'].append(tests['t']['p'])
        p['wilcoxon'].append(tests['wilcoxon']['p'])
    for name in ('delong', 't'):
        assert stats.kstest(p[name], 'uniform').pvalue > 0.01, name
    for name in ('wilcoxon', 'mcnemar'):  # discrete: never too often below a level, and not never
        for level in (0.05, 0.2, 0.5):
            often = np.mean(np.array(p[name]) <= level)
            assert 0.3 * level < often < level + 2.5 * np.sqrt(level * (1 - level) / 400), (name, level)
