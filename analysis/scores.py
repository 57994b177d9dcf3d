"""Score files: one row for each image. Everything else is derived from them."""

import numpy as np
import pandas as pd

from util.errors import UserError
from util.files import atomic_path

COLUMNS = ('table', 'generator', 'label', 'path', 'logit', 'score')
FAMILY = 'family'  # optional, '' where it is not known; files of earlier versions lack it
ATTENTION = 'attention_'


def score_frame(rows, logits, weights, scales):
    """Data frame of scores.

    Args:
        rows: list of (table, generator, label, path), or of five values, with the family of the generator.
        logits: (n,) float32, kept to five decimals.
        weights: (n, S) attention weights or None; scales: the S scales they belong to.
    """
    frame = pd.DataFrame(rows, columns=[*COLUMNS[:4], FAMILY][: len(rows[0]) if rows else 4])
    # Five decimals: the last bits of a float32 depend on how many threads computed it, and nothing else should.
    frame['logit'] = np.round(np.asarray(logits, np.float64), 5)
    frame['score'] = 1 / (1 + np.exp(-frame['logit']))
    if weights is not None:
        for scale, column in zip(scales, weights.T, strict=True):
            frame[f'{ATTENTION}{scale:g}'] = np.round(column.astype(np.float64), 5)
    return frame


def write_scores(frame, path):
    """Write a score file whole."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, float_format='%.9g')


def read_scores(path):
    """Read a score file.

    Raises:
        UserError: missing file or columns.
    """
    try:
        frame = pd.read_csv(
            path, dtype={'table': str, 'generator': str, 'path': str, FAMILY: str}, keep_default_na=False
        )
    except FileNotFoundError:
        raise UserError(f'{path}: no such score file; test.py writes one into its --output_dir') from None
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise UserError(f'{path}: not a score file, columns missing: {", ".join(missing)}; found {list(frame.columns)}')
    return frame


def attention_scales(frame):
    """The scales whose attention weights a score file holds, in its order."""
    return [float(name.removeprefix(ATTENTION)) for name in frame.columns if name.startswith(ATTENTION)]
