"""What a checkpoint's frozen thresholds (calibrate.py) say of logits."""

import numpy as np


def threshold(config):
    """Logit above which an image counts as fake: frozen on validation, 0 (a score of 0.5) where none was.

    config: a checkpoint, or the config of networks.load_detector, with 'calibration' or without.
    """
    return (config.get('calibration') or {'threshold': 0.0})['threshold']


def false_alarms(logits, config):
    """How rare such logits are among real validation images.

    Args:
        logits: (n,) float; config: as for threshold.
    Returns:
        (n,) float64: the lowest of the frozen rates of false alarms at whose threshold the image counts as fake, 1 for
        a logit below all thresholds; None where none were frozen.
    """
    frozen = (config.get('calibration') or {}).get('thresholds')
    if not frozen:
        return None
    rates, thresholds = np.array(frozen).T
    return np.where(np.asarray(logits, dtype=float)[:, None] > thresholds, rates, 1.0).min(1)
