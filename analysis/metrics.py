"""Metrics of labels (0 = real, 1 = fake) and logits (> 0 = fake); of anybody's CSV: python -m analysis.metrics FILE"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, roc_auc_score

from util.errors import UserError, friendly_errors

CALIBRATION_BINS = 15


def binary_metrics(labels, logits):
    """Accuracies at score 0.5, average precision, ROC AUC, oracle accuracy, calibration error, counts.

    Ranking uses logits, because scores (sigmoids) of confident detectors saturate and tie.

    Args:
        labels: (n,) 0 or 1; logits: (n,) finite float.
    Returns:
        dict; what is undefined is None (AP, AUC, balanced and oracle accuracy of one class, accuracies of a class
        without images).
    Raises:
        ValueError: different lengths, labels other than 0 and 1, a logit that is not finite.
    """
    labels, logits = _checked(labels, logits)
    correct = (logits > 0) == labels
    real, fake = labels == 0, labels == 1
    both = bool(real.any() and fake.any())
    return {
        'real_images': int(real.sum()),
        'fake_images': int(fake.sum()),
        'accuracy': _mean(correct),
        'real_accuracy': _mean(correct[real]),
        'fake_accuracy': _mean(correct[fake]),
        'balanced_accuracy': (_mean(correct[real]) + _mean(correct[fake])) / 2 if both else None,
        'oracle_accuracy': _oracle_accuracy(labels, logits) if both else None,
        'ap': float(average_precision_score(labels, logits)) if both else None,
        'auc': float(roc_auc_score(labels, logits)) if both else None,
        'ece': calibration_error(labels, expit(logits)),
    }


def accuracy_at(labels, logits, threshold):
    """Accuracy when logits above `threshold` count as fake, e.g. one frozen on validation; None without images.

    Raises:
        ValueError: as `binary_metrics`.
    """
    labels, logits = _checked(labels, logits)
    return _mean((logits > threshold) == labels)


def _checked(labels, logits):
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    if labels.shape != logits.shape or labels.ndim != 1:
        raise ValueError(f'labels {labels.shape} and logits {logits.shape}: expected two lists of one length')
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f'labels: expected 0 (real) and 1 (fake), found {sorted(set(labels.tolist()))[:5]}')
    if not np.isfinite(logits).all():
        raise ValueError(f'{np.sum(~np.isfinite(logits))} of {len(logits)} logits are not finite')
    return labels, logits


def _oracle_accuracy(labels, logits):
    """Best accuracy over all thresholds, chosen on the very images it is measured on: an upper bound, not a result."""
    order = np.argsort(logits)
    # With the i lowest called real, i - 1 = place: right are the real among them and the fake above.
    right = np.cumsum(1 - 2 * labels[order]) + labels.sum()
    last_of_ties = np.append(np.diff(logits[order]) > 0, True)  # equal logits lie on one side of a threshold
    return float(max(labels.sum(), right[last_of_ties].max()) / len(labels))


def calibration_error(labels, scores):
    """Expected calibration error: sum over bins of (images in the bin / all) * |mean score - share of fakes|.

    The bins are 15 intervals of equal width of the score (probability of fake), [k/15, (k+1)/15), the last one
    closed; so both classes count, and a score of 0.5 for everything is calibrated where half are fake.
    Source: Guo et al., ICML 2017, arXiv:1706.04599, Eq. 5, with the probability of one class as the confidence.
    """
    if not len(labels):
        return None
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return float(np.abs(np.bincount(bins, scores - labels, CALIBRATION_BINS)).sum() / len(labels))


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def read_labels_and_logits(path):
    """Labels and logits of a CSV with columns `label` and `logit`, or `label` and `score`.

    A score s in [0, 1] becomes log(s / (1 - s)), finite at 0 and 1; a score above 0.5 means fake.

    Returns:
        (labels (n,) int, logits (n,) float)
    Raises:
        UserError: no such file, no table, missing columns, impossible values.
    """
    try:
        frame = pd.read_csv(path, encoding='utf-8-sig')
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f'{path}: not a CSV file that can be read ({error})') from error
    column = 'logit' if 'logit' in frame.columns else 'score'
    if 'label' not in frame.columns or column not in frame.columns:
        raise UserError(
            f'{path}: expected the columns label (0 = real, 1 = fake) and logit or score, found {list(frame.columns)}'
        )
    if frame.empty:
        raise UserError(f'{path}: no rows below the heading')
    labels = pd.to_numeric(frame['label'], errors='coerce')
    _refuse_rows(path, frame['label'], ~labels.isin((0, 1)), 'label', '0 (real) or 1 (fake)')
    values = pd.to_numeric(frame[column], errors='coerce').astype(float)
    if column == 'logit':
        _refuse_rows(path, frame[column], ~np.isfinite(values), column, 'a finite number')
        return labels.to_numpy(int), values.to_numpy()
    _refuse_rows(path, frame[column], ~values.between(0, 1), column, 'a probability of fake between 0 and 1')
    return labels.to_numpy(int), logit(values.clip(np.nextafter(0, 1), np.nextafter(1, 0)).to_numpy())


def _refuse_rows(path, values, wrong, column, expected):
    if wrong.any():
        raise UserError(
            f'{path}: column {column}, line {int(np.argmax(wrong)) + 2}: found {str(values[wrong].iloc[0])!r}, '
            f'expected {expected} ({int(wrong.sum())} of {len(wrong)} rows are wrong)'
        )


def main(args):
    metrics = binary_metrics(*read_labels_and_logits(args.file))
    for name, value in metrics.items():
        shown = 'undefined (one class only)' if value is None else str(value) if 'images' in name else f'{value:.4f}'
        print(f'{name:18} {shown}')


if __name__ == '__main__':
    from options.base_options import StrictParser

    parser = StrictParser(prog='python -m analysis.metrics', description='Print the metrics of a CSV file of scores.')
    parser.add_argument('file', help='CSV with the columns label (0 = real, 1 = fake) and logit or score')
    with friendly_errors('analysis.metrics'):
        main(parser.parse_args())
