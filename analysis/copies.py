"""From validation scores of images and of their smaller copies to one logit of both."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from util.errors import UserError


def fit_join(own, copy, labels, sources):
    """Logistic regression of an image's logit and its copy's, as networks.single_scale joins them.

    Both are standardised, with the default penalty of scikit-learn; real and fake images weigh the same, and within a
    class all sources do.

    Args:
        own, copy: (n,) logits; labels: (n,) 0 or 1; sources: (n,) anything that tells where an image is from.
    Returns:
        (weight of own, weight of copy, bias), for logits as they are.
    Raises:
        UserError: one class only, or logits that do not differ.
    """
    logits, labels = np.stack([own, copy], 1).astype(float), np.asarray(labels)
    if len(set(labels.tolist())) < 2:
        raise UserError('to join the verdicts on images and copies takes real and fake validation images')
    centre, spread = logits.mean(0), logits.std(0)
    if not spread.all():
        raise UserError('logits of all images, or of all copies, are the same: nothing can be joined')
    _, groups, counts = np.unique(
        [f'{label} {s}' for label, s in zip(labels, sources, strict=True)], return_inverse=True, return_counts=True
    )
    weights = 1 / counts[groups]
    for label in (0, 1):
        weights[labels == label] *= len(labels) / 2 / weights[labels == label].sum()
    found = LogisticRegression().fit((logits - centre) / spread, labels, sample_weight=weights)
    slopes = found.coef_[0] / spread
    return float(slopes[0]), float(slopes[1]), float(found.intercept_[0] - slopes @ centre)
