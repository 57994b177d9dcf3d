"""Tests that compare detectors, on arrays: over generators (Wilcoxon, t, Friedman) and within one (McNemar, DeLong).

What is undefined is None, with a `note` that says why; an exact test of nothing but ties has p = 1.
"""

import numpy as np
from scipy import stats

from util.errors import UserError

PERMUTE_UP_TO = 13  # pairs: 2**13 sign patterns are enumerated, where ties in |difference| forbid Wilcoxon's tables


def paired_tests(differences):
    """Wilcoxon signed-rank and paired t-test, two-sided, of per-generator differences averaged over seeds.

    Args:
        differences: (n,) of detector minus baseline, one independent unit each.
    Returns:
        {'n', 'mean', 'wilcoxon': {'p', 'rank_biserial', 'smallest_p', 'note'}, 't': {'t', 'p', 'd_z', 'note'}}.
        rank_biserial: (sum of positive ranks - sum of negative) / sum of ranks, zeros dropped, in [-1, 1].
        smallest_p: what n units can reach at all (0.0625 for five). d_z: mean / standard deviation (n - 1).
    Raises:
        UserError: no differences, or one that is not finite.
    """
    differences = np.asarray(differences, float)
    if differences.ndim != 1 or not len(differences) or not np.isfinite(differences).all():
        raise UserError(f'paired tests: expected a list of finite differences, found {differences.tolist()}')
    # 0.7 - 0.6 and 0.3 - 0.2 are the same difference, whatever their last bits.
    differences = np.round(differences, 12)
    return {
        'n': len(differences),
        'mean': float(differences.mean()),
        'wilcoxon': _wilcoxon(differences),
        't': _t_test(differences),
    }


def _wilcoxon(differences):
    nonzero = differences[differences != 0]
    smallest = 2.0 ** (1 - len(differences))
    if len(differences) < 2:
        return {'p': None, 'rank_biserial': None, 'smallest_p': None, 'note': 'needs two generators or more'}
    if not len(nonzero):
        return {'p': 1.0, 'rank_biserial': 0.0, 'smallest_p': smallest, 'note': 'all differences are zero'}
    sizes = np.abs(nonzero)
    tied = len(np.unique(sizes)) < len(sizes)
    method = 'auto' if not tied else stats.PermutationMethod() if len(nonzero) <= PERMUTE_UP_TO else 'asymptotic'
    ranks = stats.rankdata(sizes)
    return {
        'p': float(stats.wilcoxon(nonzero, method=method).pvalue),
        'rank_biserial': float(np.sum(np.sign(nonzero) * ranks) / ranks.sum()),
        'smallest_p': smallest,
        'note': None,
    }


def _t_test(differences):
    if len(differences) < 2:
        return {'t': None, 'p': None, 'd_z': None, 'note': 'needs two generators or more'}
    deviation = differences.std(ddof=1)
    if deviation < 1e-12:
        return {'t': None, 'p': None, 'd_z': None, 'note': 'all differences are equal'}
    result = stats.ttest_1samp(differences, 0)
    return {
        't': float(result.statistic),
        'p': float(result.pvalue),
        'd_z': float(differences.mean() / deviation),
        'note': None,
    }


def mean_interval(values, alpha=0.05):
    """{'mean', 'low', 'high'} of independent values: Student's t interval, None for fewer than two of them."""
    values = np.asarray(values, float)
    mean, half = float(values.mean()), None
    if len(values) > 1:
        half = float(stats.t.ppf(1 - alpha / 2, len(values) - 1) * stats.sem(values))
    return {'mean': mean, 'low': None if half is None else mean - half, 'high': None if half is None else mean + half}


def holm(p_values):
    """p-values adjusted for the family they form (Holm 1979); None, a test that could not be made, stays None.

    Returns:
        list: max over smaller p of (m - rank) * p, at most 1; reject where it is <= alpha.
    """
    adjusted = list(p_values)
    made = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, i) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * p))
        adjusted[i] = largest
    return adjusted


def friedman_nemenyi(values, alpha=0.05):
    """Do three or more detectors differ over generators, and which pairs (Demsar, JMLR 2006, section 3.2)?

    Args:
        values: (n, k) metric, larger is better; rows generators averaged over seeds, columns detectors.
    Returns:
        {'n', 'ranks' (k mean ranks, 1 = best), 'chi2', 'p', 'critical_difference', 'pairs' (k x k p-values of
        Nemenyi's test), 'note'}
    Raises:
        UserError: fewer than three detectors or two generators, a value that is not finite.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 3 or not np.isfinite(values).all():
        raise UserError(
            f'Friedman test: expected finite values of 2 or more generators x 3 or more detectors, found {values.shape}'
        )
    n, k = values.shape
    values = np.round(values, 12)
    ranks = stats.rankdata(-values, axis=1).mean(axis=0)
    tied = bool((values == values[:, :1]).all())
    result = None if tied else stats.friedmanchisquare(*values.T)
    distance = np.abs(ranks[:, None] - ranks) / np.sqrt(k * (k + 1) / (6 * n))
    return {
        'n': n,
        'ranks': ranks.tolist(),
        'chi2': None if tied else float(result.statistic),
        'p': 1.0 if tied else float(result.pvalue),
        'critical_difference': critical_difference(k, n, alpha),
        'pairs': np.minimum(1, stats.studentized_range.sf(distance * np.sqrt(2), k, np.inf)).tolist(),
        'note': 'the detectors are equal on every generator' if tied else None,
    }


def critical_difference(detectors, generators, alpha=0.05):
    """Mean ranks further apart than this differ at `alpha` (Nemenyi; Demsar 2006, Eq. 6 and Table 5a)."""
    q = stats.studentized_range.ppf(1 - alpha, detectors, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(detectors * (detectors + 1) / (6 * generators)))


def mcnemar(correct_a, correct_b):
    """Are two detectors right equally often on the same images? Exact and mid-p binomial test, two-sided.

    Args:
        correct_a, correct_b: (n,) bool, image by image.
    Returns:
        {'only_a', 'only_b' (images that one of them gets right), 'p_exact', 'p_mid'}. The mid-p value counts half of
        the observed table's probability; the exact one is conservative (Fagerland et al., 2013).
    Raises:
        UserError: different lengths.
    """
    correct_a, correct_b = (np.asarray(correct, bool) for correct in (correct_a, correct_b))
    if correct_a.shape != correct_b.shape or correct_a.ndim != 1:
        raise UserError(f'McNemar test: {correct_a.shape} and {correct_b.shape} images; expected the same images')
    only_a, only_b = int(np.sum(correct_a & ~correct_b)), int(np.sum(correct_b & ~correct_a))
    split = stats.binom(only_a + only_b, 0.5)
    fewer = min(only_a, only_b)
    exact = min(1.0, 2 * float(split.cdf(fewer)))
    # With equal halves the observed table lies in both tails, and half of it in each makes 1.
    middle = 1.0 if only_a == only_b else 2 * float(split.cdf(fewer)) - float(split.pmf(fewer))
    return {'only_a': only_a, 'only_b': only_b, 'p_exact': exact, 'p_mid': middle}


def delong(labels, logits_a, logits_b, alpha=0.05):
    """Difference of two ROC AUCs on the same images, with its standard error.

    Args:
        labels: (n,) 0 or 1; logits_a, logits_b: (n,).
    Returns:
        {'auc_a', 'auc_b', 'difference' (a - b), 'standard_error', 'low', 'high' (normal interval at 1 - alpha),
        'z', 'p' (two-sided), 'note'}; without variance (both separate perfectly, or rank alike) z and p are None.
    Raises:
        UserError: other lengths, other labels, fewer than two images of a class.
    Source: DeLong et al., Biometrics 1988; in O(n log n) with midranks as in Sun and Xu, IEEE SPL 2014.
    """
    labels, logits = np.asarray(labels), np.array([logits_a, logits_b], float)
    if labels.ndim != 1 or logits.shape[1:] != labels.shape or not np.isin(labels, (0, 1)).all():
        raise UserError(
            f'DeLong test: labels {labels.shape} (0 or 1) and logits {logits.shape[1:]} do not belong together'
        )
    fake, real = logits[:, labels == 1], logits[:, labels == 0]
    m, n = fake.shape[1], real.shape[1]
    if min(m, n) < 2:
        raise UserError(f'DeLong test: {m} fake and {n} real images; expected two or more of each')
    ranks = stats.rankdata(np.concatenate([fake, real], axis=1), axis=1)
    # Of each fake: the share of reals below it; of each real: the share of fakes above it.
    over_real = (ranks[:, :m] - stats.rankdata(fake, axis=1)) / n
    under_fake = 1 - (ranks[:, m:] - stats.rankdata(real, axis=1)) / m
    auc = over_real.mean(axis=1)
    difference = float(auc[0] - auc[1])
    variance = np.var(over_real[0] - over_real[1], ddof=1) / m + np.var(under_fake[0] - under_fake[1], ddof=1) / n
    error = float(np.sqrt(variance))
    half = float(stats.norm.ppf(1 - alpha / 2)) * error
    result = {'auc_a': float(auc[0]), 'auc_b': float(auc[1]), 'difference': difference, 'standard_error': error}
    result |= {'low': max(-1.0, difference - half), 'high': min(1.0, difference + half)}
    if error < 1e-12:
        return {**result, 'z': None, 'p': None, 'note': 'the difference has no variance on these images'}
    return {**result, 'z': difference / error, 'p': float(2 * stats.norm.sf(abs(difference) / error)), 'note': None}
