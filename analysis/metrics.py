"""Metrics of labels (0 = real, 1 = fake) and logits (> 0 = fake)."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def binary_metrics(labels, logits):
    """Accuracy at score 0.5, accuracies of both classes, average precision, ROC AUC, counts.

    Ranking uses logits, because scores (sigmoids) of confident detectors saturate and tie.

    Args:
        labels: (n,) 0 or 1; logits: (n,) finite float.
    Returns:
        dict; what is undefined is None (AP and AUC of one class, accuracies of a class without images).
    Raises:
        ValueError: different lengths, labels other than 0 and 1, a logit that is not finite.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=float)
    if labels.shape != logits.shape or labels.ndim != 1:
        raise ValueError(f'labels {labels.shape} and logits {logits.shape}: expected two lists of one length')
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f'labels: expected 0 (real) and 1 (fake), found {sorted(set(labels.tolist()))[:5]}')
    if not np.isfinite(logits).all():
        raise ValueError(f'{np.sum(~np.isfinite(logits))} of {len(logits)} logits are not finite')
    correct = (logits > 0) == labels
    real, fake = labels == 0, labels == 1
    both = bool(real.any() and fake.any())
    return {
        'real_images': int(real.sum()),
        'fake_images': int(fake.sum()),
        'accuracy': _mean(correct),
        'real_accuracy': _mean(correct[real]),
        'fake_accuracy': _mean(correct[fake]),
        'ap': float(average_precision_score(labels, logits)) if both else None,
        'auc': float(roc_auc_score(labels, logits)) if both else None,
    }


def _mean(values):
    return float(np.mean(values)) if len(values) else None
