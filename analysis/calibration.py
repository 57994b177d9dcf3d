"""From validation scores to a temperature and a threshold that stay fixed on test images."""

import numpy as np
from matplotlib import pyplot as plt
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit

from analysis.figures import COLOURS, save_figure
from analysis.metrics import CALIBRATION_BINS, calibration_error
from util.errors import UserError

RATES = 0.5, 0.2, 0.1, 0.05, 0.02, 0.01  # of false alarms that a checkpoint gets a threshold for
HOTTEST = 1000.0  # temperatures are sought between 1 / HOTTEST and HOTTEST


def fit_temperature(labels, logits):
    """The T > 0 that minimises the mean binary cross-entropy of logits / T.

    Args:
        labels: (n,) 0 or 1; logits: (n,) float.
    Returns:
        float; above 1 the detector was too sure of itself. None where there is no best one: T = 0 would be where a
        threshold at 0 separates the classes perfectly, T = infinity where logits tell nothing, or lie so far from 0
        that a score of 0.5 for all were better.
    Raises:
        UserError: one class only.
    Source: Guo et al., ICML 2017, arXiv:1706.04599, section 4.2.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    _need_both(labels)
    signed = np.where(labels == 1, -logits, logits)
    if signed.max() < 0:
        return None
    limit = np.log(HOTTEST)
    # Convex in 1 / T; the logarithm keeps T positive and the search well scaled.
    found = minimize_scalar(
        lambda log_t: np.logaddexp(0, signed * np.exp(-log_t)).mean(),
        bounds=(-limit, limit),
        method='bounded',
        options={'xatol': 1e-6},
    )
    return None if found.x > limit - 1e-3 else float(np.exp(found.x))


def threshold_at(labels, logits, false_alarm_rate):
    """The lowest logit threshold at which at most `false_alarm_rate` of the real images are called fake.

    An image is called fake when its logit is above the threshold.

    Returns:
        (threshold, rate, (low, high)): the rate of false alarms on these images (<= `false_alarm_rate`), and its exact
        95% interval (Clopper and Pearson) for images like these.
    Raises:
        UserError: no real images, or too few for the rate (one image is more than the rate allows).
    """
    real = np.sort(np.asarray(logits, dtype=float)[np.asarray(labels) == 0])[::-1]
    allowed = int(np.floor(false_alarm_rate * len(real) + 1e-9))
    if not allowed:
        raise UserError(
            f'{len(real)} real images are too few for a false-alarm rate of {false_alarm_rate:g}: '
            f'at least {int(np.ceil(1 / false_alarm_rate))} are needed'
        )
    threshold = float(real[min(allowed, len(real) - 1)])
    alarms = int((real > threshold).sum())
    interval = stats.binomtest(alarms, len(real)).proportion_ci(0.95, 'exact')
    return threshold, alarms / len(real), (float(interval.low), float(interval.high))


def frozen_thresholds(labels, logits, false_alarm_rate=0.05):
    """[[rate, threshold]] for that rate and those of RATES that the real images are enough for; see threshold_at."""
    rates = sorted({*RATES, false_alarm_rate}, reverse=True)
    enough = [rate for rate in rates if rate * (np.asarray(labels) == 0).sum() >= 1 - 1e-9]
    return [[rate, threshold_at(labels, logits, rate)[0]] for rate in enough]


def reliability(labels, logits, temperature=1.0, bins=CALIBRATION_BINS):
    """Mean score, share of fakes and count in `bins` equally wide bins of the score.

    Returns:
        (scores, shares, counts): (bins,) each; NaN where a bin is empty.
    """
    labels, scores = np.asarray(labels, dtype=float), expit(np.asarray(logits, dtype=float) / temperature)
    place = np.minimum((scores * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid='ignore'):
        sums = (np.bincount(place, weights=values, minlength=bins) for values in (scores, labels))
        mean_scores, shares = (total / counts for total in sums)
    return mean_scores, shares, counts


def reliability_figure(labels, logits, temperature, path):
    """Share of fakes against score, before and after the temperature, above the number of images in each bin."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(5, 6), height_ratios=(3, 1), sharex=True, layout='constrained')
    upper.plot([0, 1], [0, 1], color='0.6', linewidth=1, linestyle=':', label='perfect')
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    for place, (name, value) in enumerate({'as trained': 1.0, f'temperature {temperature:.2f}': temperature}.items()):
        scores, shares, counts = reliability(labels, logits, value)
        error = calibration_error(labels, expit(logits / value))
        filled = counts > 0
        style = {'color': COLOURS[place], 'marker': 'os'[place], 'markersize': 5}
        upper.plot(scores[filled], shares[filled], label=f'{name} (ECE {100 * error:.1f}%)', **style)
        lower.stairs(counts, edges, color=COLOURS[place])
    upper.set(ylim=(-0.02, 1.02), ylabel='share of fakes among images', title=f'Reliability ({len(labels)} images)')
    upper.legend(fontsize=9, loc='best')
    lower.set(xlim=(0, 1), xlabel='score (probability of fake)', ylabel='images', yscale='log')
    save_figure(figure, path)


def _need_both(labels):
    if len(set(labels.tolist())) < 2:
        raise UserError('calibration needs scores of real and of fake images')
