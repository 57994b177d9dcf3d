"""Results of detectors over seeds, on the same images in the same order, or one error that says what differs."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.scores import attention_scales, read_scores
from util.errors import UserError
from util.files import read_json

IMAGE = ['table', 'generator', 'label', 'path']
PICTURE = re.compile(r'((?:photo|scene)_.+)_\d\d\.png')  # UpsampleBench: equal names are tiles of one picture


@dataclass(frozen=True)
class Results:
    """One detector: its name, and one folder and one score frame for each seed."""

    name: str
    folders: tuple
    frames: tuple


@dataclass(frozen=True)
class GeneratorScores:
    """Images of one generator and every detector's scores of them.

    labels: (n,); logits: {detector: (S, n)}; photographs: (n,) integers, or None when file names do not tell;
    reals: a number, equal for generators that have the very same real files (lent by test.py --reals).
    """

    table: str
    generator: str
    family: str | None
    labels: np.ndarray
    logits: dict = field(repr=False)
    photographs: np.ndarray | None = field(default=None, repr=False)
    reals: int = 0


def read_results(run):
    """Results of FOLDER, or of NAME=FOLDER under that name; a folder that is there may have = in its own.

    The folder holds scores.csv or scores.csv.xz (one seed), or its subfolders do (one seed each, by name).

    Raises:
        UserError: neither; a score file that cannot be used.
    """
    name, _, folder = ('', '', run) if Path(run).is_dir() else str(run).partition('=')
    run = Path(folder or run)
    if not run.is_dir():
        raise UserError(f'{run}: no such folder; expected one that test.py wrote (its --output_dir)')
    folders = [run] if score_file(run) else [folder for folder in sorted(run.glob('*')) if score_file(folder)]
    if not folders:
        found = ', '.join(sorted(path.name for path in run.iterdir())[:8]) or 'nothing'
        raise UserError(
            f'{run}: no results found\n  found there: {found}\n'
            f'  expected:    {run}/scores.csv (one seed) or {run}/SEED/scores.csv (several); test.py writes them '
            '(scores.csv.xz will do)'
        )
    if any((folder / 'scored.json').is_file() for folder in folders if folder != run):
        raise UserError(f'{run}: its folders are conditions that robustness.py scored, not seeds of a detector')
    frames = tuple(_read_frame(score_file(folder)) for folder in folders)
    if len(scales := {tuple(attention_scales(frame)) for frame in frames}) > 1:
        raise UserError(f'{run}: the seeds of one detector have different attention scales: {sorted(scales)}')
    return Results(name or run.resolve().name, tuple(folders), frames)


def score_file(folder):
    """scores.csv in a folder, or the same compressed, or None."""
    return next((path for name in ('scores.csv', 'scores.csv.xz') if (path := folder / name).is_file()), None)


def _read_frame(path):
    frame = read_scores(path)
    double = frame.duplicated(IMAGE)
    if double.any():
        raise UserError(f'{path}: {double.sum()} images have two rows, as {frame.loc[double, "path"].iloc[0]}')
    return frame


def at_frozen_thresholds(result):
    """The same results with logits counted from each seed's threshold, frozen on validation (calibrate.py), so that
    above 0 means above it. Rankings stay.

    Raises:
        UserError: a seed was not calibrated before it was tested.
    """
    frames = []
    for folder, frame in zip(result.folders, result.frames, strict=True):
        facts = read_json(folder / 'metrics.json') if (folder / 'metrics.json').is_file() else {}
        calibration = facts.get('detector', {}).get('calibration')
        if not calibration:
            raise UserError(
                f'{folder}: no frozen threshold in metrics.json; run calibrate.py on validation scores, then test.py '
                'again'
            )
        frames.append(frame.assign(logit=frame['logit'] - calibration['threshold']))
    return replace(result, frames=tuple(frames))


def align(results):
    """The same results with all frames in the first one's order.

    Raises:
        UserError: two detectors of one name; not the same generators or images everywhere.
    """
    names = [result.name for result in results]
    if len(set(names)) < len(names):
        raise UserError(f'two results folders have the same name: {", ".join(names)}; give NAME=FOLDER')
    _check_runs([folder for result in results for folder in result.folders])
    first, where = results[0].frames[0], results[0].folders[0]
    return [
        Results(
            result.name,
            result.folders,
            tuple(_like(first, where, *pair) for pair in zip(result.frames, result.folders, strict=True)),
        )
        for result in results
    ]


def _check_runs(folders):
    """What metrics.json tells, where it is there: the same pixels everywhere, no weights twice."""
    facts = {folder: read_json(folder / 'metrics.json') for folder in folders if (folder / 'metrics.json').is_file()}
    pixels, weights = {}, {}
    for folder, found in facts.items():
        sizes = {key: value for key, value in found.get('pixels', {}).items() if key not in ('mode', 'precision')}
        pixels.setdefault(str(sizes), folder)
        twin = weights.setdefault(found.get('weights', folder), folder)
        if twin != folder:
            raise UserError(f'{twin} and {folder} hold scores of the same weights; a seed counts once')
    if len(pixels) > 1:
        (one, first), (other, second) = list(pixels.items())[:2]
        raise UserError(f'{first} and {second} were scored on different pixels: {one} and {other}')


def _like(first, where, frame, folder):
    if frame[IMAGE].equals(first[IMAGE]):
        return frame
    generators, expected = (
        {'/'.join(pair) for pair in zip(f['table'], f['generator'], strict=True)} for f in (frame, first)
    )
    if generators != expected:
        differ = ', '.join(sorted(generators ^ expected)[:5])
        raise UserError(f'{where} and {folder} were not tested on the same generators; only one has: {differ}')
    images, expected = (pd.MultiIndex.from_frame(f[IMAGE]) for f in (frame, first))
    more, fewer = images.difference(expected), expected.difference(images)
    if len(more) or len(fewer):
        example = (fewer if len(fewer) else more)[0]
        raise UserError(
            f'{where} and {folder} were not tested on the same images: {len(fewer)} only in the first, {len(more)} '
            f'only in the second, as {example[3]} (label {example[2]}); test both on the same data'
        )
    return frame.iloc[images.get_indexer(expected)].reset_index(drop=True)


def split_generators(results):
    """Aligned results -> [GeneratorScores], in the order of the files."""
    first = results[0].frames[0]
    photographs = _photographs(first)
    families = next((f['family'] for result in results for f in result.frames if 'family' in f.columns), None)
    logits = {result.name: np.stack([frame['logit'].to_numpy(float) for frame in result.frames]) for result in results}
    sets, reals = [], {}
    for (table, generator), places in first.groupby(['table', 'generator'], sort=False).indices.items():
        files = tuple(first['path'].to_numpy()[places[first['label'].to_numpy()[places] == 0]])
        family = '' if families is None else str(families.iloc[places[0]])
        sets.append(
            GeneratorScores(
                table,
                generator,
                family or None,
                first['label'].to_numpy()[places],
                {name: values[:, places] for name, values in logits.items()},
                None if photographs is None else photographs[places],
                reals.setdefault(files, len(reals)),
            )
        )
    return sets


def photograph_names(paths):
    """The picture of each image, if every file name tells it (UpsampleBench), else None."""
    found = [PICTURE.fullmatch(path.rsplit('/', 1)[-1]) for path in paths]
    return [match[1] for match in found] if all(found) else None


def _photographs(frame):
    names = photograph_names(frame['path'])
    return None if names is None else pd.factorize(pd.Series(names))[0]
