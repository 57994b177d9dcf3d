"""Lists of images as columns, and score files written piece by piece."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from analysis import scores
from analysis.scores import read_scores, stream_scores
from data.collection import collect
from data.samples import Sample, Samples
from tests.conftest import make_labelled

FILES = [Sample(Path('a/0_real', 'x.png'), 0), Sample(Path('b', 'ü é.jpg'), 1), Sample(Path('a/0_real', 'y.png'), -1)]


def test_samples_are_a_list_of_samples():
    samples = Samples.of(FILES)
    assert list(samples) == FILES and len(samples) == 3 and samples[-1] == FILES[2] and samples[1:] == FILES[1:]
    assert samples.labels.tolist() == [0, 1, -1] and samples.folders == ['a/0_real', 'b']
    joined = samples + Samples.in_folder('b', ['z.png'], 1) + Samples.of([]) + samples
    assert list(joined) == [*FILES, Sample(Path('b/z.png'), 1), *FILES] and joined.folders == ['a/0_real', 'b']
    chosen = joined.with_transforms(['one', 'two'], [0, 1, 0, 1, 0, 0, 1])
    assert [sample.transform for sample in chosen] == ['one', 'two', 'one', 'two', 'one', 'one', 'two']
    assert [sample.path for sample in chosen] == [sample.path for sample in joined]
    with pytest.raises(IndexError, match='sample 3 of 3'):
        samples[3]


def test_a_million_images_would_take_tens_of_megabytes():
    tracemalloc.start()
    try:
        parts = [Samples.in_folder(f'/data/{part}', [f'img_{i:08d}.png' for i in range(1000)], 0) for part in range(50)]
        samples = Samples.join(parts)
        del parts
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(samples) < 40  # bytes; a Path alone takes more than 200
    assert samples[49_999].path == Path('/data/49/img_00000999.png')


def test_rows_name_table_generator_and_relative_path(tmp_path):
    make_labelled(tmp_path / 'root/mine/a', 2)
    make_labelled(tmp_path / 'root/mine/b/cat', 1)
    (tmp_path / 'root/mine/b/1_fake').mkdir()  # b is a generator with classes
    found = collect(tmp_path / 'root')
    for sample, row in zip(found.samples, found.rows, strict=True):
        path = sample.path.relative_to(tmp_path / 'root').as_posix()
        assert row == ('mine', path.split('/')[1], sample.label, path, '')
    assert len(found.rows) == 6


@pytest.mark.parametrize('with_weights', [True, False])
def test_a_score_file_is_the_same_in_any_number_of_pieces(tmp_path, monkeypatch, with_weights):
    rng = np.random.default_rng(0)
    rows = [('t', f'g{i // 5}', i % 2, f'p,{i}.png', '') for i in range(23)]
    indices = np.flatnonzero(rng.random(23) > 0.2)
    logits = rng.normal(size=len(indices)).astype(np.float32)
    weights = rng.dirichlet((1, 1), len(indices)).astype(np.float32) if with_weights else None
    stream_scores(rows, indices, logits, weights, (0.25, 0.5), tmp_path / 'whole.csv')
    monkeypatch.setattr(scores, 'CHUNK', 4)
    stream_scores(rows, indices, logits, weights, (0.25, 0.5), tmp_path / 'streamed.csv')
    assert (tmp_path / 'streamed.csv').read_bytes() == (tmp_path / 'whole.csv').read_bytes()
    lean = read_scores(tmp_path / 'whole.csv', paths=False)
    assert lean.equals(read_scores(tmp_path / 'whole.csv').drop(columns='path'))
