"""Which results belong together: folders, names, generators, images, pixels, weights."""

import lzma

import numpy as np
import pandas as pd

from analysis.runs import align, read_results, split_generators
from analysis.scores import read_scores, score_frame
from tests.conftest import write_scores
from tests.test_compare import GENERATORS, write_run
from util.files import write_json


def test_results_that_do_not_belong_together(fails, tmp_path):
    first = write_run(tmp_path / 'first')
    words = ('analysis/compare.py', first)
    out = ('--out', tmp_path / 'out')
    less = write_run(tmp_path / 'less', generators={name: 1 for name in list(GENERATORS)[:-1]})
    assert 'not tested on the same generators; only one has: U4_controls/c' in fails(*words, less, *out)
    other = write_run(tmp_path / 'other', count=22)
    message = fails(*words, other, *out)
    assert 'not tested on the same images: ' in message and '18 only in the first, 0 only in the second' in message
    seeds = write_run(tmp_path / 'seeds', seeds=2)
    path = seeds / 'seed_1' / 'scores.csv'
    frame = read_scores(path)
    for change, expected in (
        (frame.iloc[1:], 'seed_1 were not tested on the same images: 1 only in the first'),
        (pd.concat([frame, frame.iloc[:1]]), '1 images have two rows'),
        (frame.assign(logit=frame['logit'].where(frame.index != 4, np.nan)), 'the first on line 6'),
        (frame.assign(label=2), 'a label other than 0 and 1'),
        (frame.iloc[:0], 'no rows below the heading'),
        (frame.drop(columns='logit'), 'columns missing: logit'),
        (frame.assign(**{'attention_0.5': 1.0}), 'different attention scales'),
    ):
        write_scores(change, path)
        assert expected in fails(*words, seeds, *out)
    (tmp_path / 'same').mkdir()
    same = write_run(tmp_path / 'same' / 'first')
    assert 'two results folders have the same name' in fails(*words, same, *out)
    assert 'no such folder' in fails(*words, tmp_path / 'nowhere', *out)
    (tmp_path / 'empty' / 'deep').mkdir(parents=True)
    assert 'found there: deep' in fails(*words, tmp_path / 'empty', *out)
    assert not (tmp_path / 'out').exists()


def test_compressed_scores_are_the_same_results(tmp_path):
    plain = read_results(write_run(tmp_path / 'run', seeds=2))
    for folder in plain.folders:
        path = folder / 'scores.csv'
        path.with_name('scores.csv.xz').write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()
    packed = read_results(tmp_path / 'run')
    assert packed.folders == plain.folders
    for one, other in zip(packed.frames, plain.frames, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_folder_may_have_an_equals_sign_in_its_name(tmp_path):
    for name in ('lr=1', 'lr=1/seed=2'):
        run = write_run(tmp_path / name)
        assert read_results(run).name == run.name and read_results(f'other={run}').name == 'other'


def test_what_metrics_json_tells_is_checked(fails, tmp_path):
    def facts(name, weights, crop_size):
        write_json(tmp_path / name / 'metrics.json', {'weights': weights, 'pixels': {'crop_size': crop_size}})

    for name in ('a', 'b'):
        write_run(tmp_path / name)
    both = (f'one={tmp_path / "a"}', f'two={tmp_path / "b"}')
    facts('a', 'x', 224)
    facts('b', 'x', 224)
    assert 'scores of the same weights' in fails('analysis/compare.py', *both, '--out', tmp_path / 'out')
    facts('b', 'y', None)
    assert 'scored on different pixels' in fails('analysis/compare.py', *both, '--out', tmp_path / 'out')
    facts('b', 'y', 224)
    assert [result.name for result in align([read_results(run) for run in both])] == ['one', 'two']
    (tmp_path / 'a' / 'scored.json').touch()
    assert 'conditions that robustness.py scored' in fails('analysis/compare.py', tmp_path, '--out', tmp_path / 'out')


def test_rows_are_matched_by_image_and_photographs_by_name(tmp_path):
    run = write_run(tmp_path / 'run', seeds=2)
    path = run / 'seed_1' / 'scores.csv'
    write_scores(read_scores(path).iloc[::-1], path)
    (result,) = align([read_results(run)])
    (a, *_) = split_generators([result])
    assert a.photographs is None and a.logits['run'].shape == (2, 48)
    frame = read_scores(path)
    expected = [frame.loc[frame['path'] == p, 'logit'].item() for p in result.frames[0]['path'][:48]]
    np.testing.assert_array_equal(a.logits['run'][1], expected)

    names = [f'{kind}_{i}_{tile:02d}.png' for kind in ('photo', 'scene') for i in (3, 4) for tile in (0, 1)]
    rows = [('U1', g, label, f'{g}/{label}/{name}') for g in 'ab' for label in (0, 1) for name in names]
    write_scores(score_frame(rows, np.zeros(len(rows)), None, ()), tmp_path / 'scores.csv')
    a, b = split_generators(align([read_results(tmp_path)]))
    np.testing.assert_array_equal(a.photographs, np.tile([0, 0, 1, 1, 2, 2, 3, 3], 2))
    np.testing.assert_array_equal(a.photographs, b.photographs)
    assert (a.reals, b.reals) == (0, 1)  # other files

    lent = [
        ('T', g, label, f'../lent/{i}.png' if label == 0 else f'{g}/{i}.png')
        for g in 'ab'
        for label in (0, 1)
        for i in (0, 1)
    ]
    write_scores(score_frame(lent, np.zeros(len(lent)), None, ()), tmp_path / 'scores.csv')
    a, b = split_generators(align([read_results(tmp_path)]))
    assert (a.reals, b.reals) == (0, 0)
