"""Score files: one row for each image. Everything else is derived from them."""

import zlib
from lzma import LZMAError
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError
from util.files import atomic_path, five_decimals

COLUMNS = ('table', 'generator', 'label', 'path', 'logit', 'score')
FAMILY = 'family'  # optional, '' where it is not known; files of earlier versions lack it
ATTENTION = 'attention_'
TABLE_ERRORS = pd.errors.ParserError, pd.errors.EmptyDataError
CHUNK = 50_000  # rows that are text in memory at once


def score_frame(rows, logits, weights, scales):
    """Data frame of scores.

    Args:
        rows: list of (table, generator, label, path), or of five values, with the family of the generator.
        logits: (n,) float32, kept to five decimals.
        weights: (n, S) attention weights or None; scales: the S scales they belong to.
    """
    frame = pd.DataFrame(rows, columns=[*COLUMNS[:4], FAMILY][: len(rows[0]) if rows else 4])
    frame['logit'] = five_decimals(logits)
    frame['score'] = 1 / (1 + np.exp(-frame['logit']))
    if weights is not None:
        for scale, column in zip(scales, weights.T, strict=True):
            frame[f'{ATTENTION}{scale:g}'] = five_decimals(column)
    return frame


def stream_scores(rows, indices, logits, weights, scales, path):
    """Write the file of score_frame(rows[indices], ...) whole, without holding all of it in memory.

    Args:
        rows: sequence of what `score_frame` wants; indices: (n,) those that have scores.
    """
    with atomic_path(path) as temporary:
        for first in range(0, len(indices), CHUNK):
            part = slice(first, first + CHUNK)
            some = None if weights is None else weights[part]
            frame = score_frame([rows[i] for i in indices[part]], logits[part], some, scales)
            options = {'mode': 'a', 'header': first == 0, 'errors': 'surrogateescape'}  # of names that are not UTF-8
            frame.to_csv(temporary, index=False, float_format='%.9g', **options)


def read_scores(path, paths=True):
    """Read a score file.

    Args:
        paths: False leaves the column of paths out, most of the memory of a large file.
    Raises:
        UserError: no such file, no table, missing columns, no rows, logits that are not finite, other labels.
    """
    if Path(path).is_dir():
        raise UserError(f'{path}: a folder; give the score file in it, {Path(path) / "scores.csv"}')
    text = {'table': str, 'generator': str, 'path': str, FAMILY: str}
    wanted = None if paths else lambda name: name != 'path'
    try:
        options = {'dtype': text, 'keep_default_na': False, 'encoding_errors': 'surrogateescape'}
        frame = pd.read_csv(path, usecols=wanted, **options)
    except FileNotFoundError:
        raise UserError(f'{path}: no such score file; test.py writes one into its --output_dir') from None
    except (OSError, EOFError, LZMAError, zlib.error, *TABLE_ERRORS) as error:
        raise UserError(f'{path}: not a score file that can be read ({error})') from error
    missing = [name for name in COLUMNS if name not in frame.columns and (paths or name != 'path')]
    if missing:
        raise UserError(f'{path}: not a score file, columns missing: {", ".join(missing)}; found {list(frame.columns)}')
    if frame.empty:
        raise UserError(f'{path}: no rows below the heading')
    wrong = ~np.isfinite(pd.to_numeric(frame['logit'], errors='coerce')) | ~frame['label'].isin((0, 1))
    if wrong.any():
        raise UserError(
            f'{path}: {wrong.sum()} rows have a logit that is not finite or a label other than 0 and 1, '
            f'the first on line {int(np.argmax(wrong)) + 2}; run test.py again'
        )
    return frame


def attention_scales(frame):
    """The scales whose attention weights a score file holds, in its order."""
    return [float(name.removeprefix(ATTENTION)) for name in frame.columns if name.startswith(ATTENTION)]
