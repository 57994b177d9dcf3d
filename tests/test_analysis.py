"""Metrics against plain loops; score files; summaries."""

import gzip
import lzma
import os

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import over_seeds
from analysis.comparison_text import comparison_table
from analysis.metrics import binary_metrics
from analysis.scores import attention_scales, read_scores, score_frame, stream_scores
from analysis.summary import markdown_table, summarise, write_summary
from util.errors import UserError
from util.files import atomic_path, read_json


def metrics_by_loops(labels, logits):
    """AUC: share of (fake, real) pairs in order. AP: mean precision at the rank of each fake (no ties)."""
    real = [s for s, y in zip(logits, labels, strict=True) if y == 0]
    fake = [s for s, y in zip(logits, labels, strict=True) if y == 1]
    auc = np.mean([(f > r) + 0.5 * (f == r) for f in fake for r in real])
    ranked = [y for _, y in sorted(zip(logits, labels, strict=True), reverse=True)]
    ap = np.mean([sum(ranked[: i + 1]) / (i + 1) for i, y in enumerate(ranked) if y == 1])
    accuracy = np.mean([(s > 0) == y for s, y in zip(logits, labels, strict=True)])
    return accuracy, np.mean([s <= 0 for s in real]), np.mean([s > 0 for s in fake]), ap, auc


@pytest.mark.parametrize('seed', range(5))
def test_metrics_equal_loops(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    logits = rng.normal(size=60) + labels
    found = binary_metrics(labels, logits)
    values = [found[key] for key in ('accuracy', 'real_accuracy', 'fake_accuracy', 'ap', 'auc')]
    np.testing.assert_allclose(values, metrics_by_loops(labels.tolist(), logits.tolist()))


def test_saturated_scores_are_ranked_by_logit():
    labels, logits = [0, 1, 0, 1], [40.0, 50.0, 45.0, 60.0]  # all sigmoids are 1.0 in single precision
    assert binary_metrics(labels, logits)['auc'] == 1.0


def test_one_class_and_nonsense():
    alone = binary_metrics([1, 1], [2.0, -1.0])
    assert (alone['accuracy'], alone['fake_accuracy']) == (0.5, 0.5)
    assert alone['ap'] is alone['auc'] is alone['real_accuracy'] is None
    for labels, logits, match in (
        ([0, 2], [0, 0], 'expected 0'),
        ([0], [0, 1], 'one length'),
        ([0], [np.nan], 'finite'),
    ):
        with pytest.raises(ValueError, match=match):
            binary_metrics(labels, logits)


def frame_of(generators, seed=0):
    """{(table, generator): (real count, fake count)} -> a score frame with two scales."""
    rng = np.random.default_rng(seed)
    rows = [
        (table, name, label, f'{name}/{label}/{i}.png')
        for (table, name), counts in generators.items()
        for label, count in enumerate(counts)
        for i in range(count)
    ]
    logits = np.array([row[2] for row in rows]) + rng.normal(size=len(rows))
    first = rng.random(len(rows))
    return score_frame(rows, logits.astype(np.float32), np.stack([first, 1 - first], 1), (0.25, 0.5))


def test_score_file_keeps_five_decimals(tmp_path):
    frame = frame_of({('T', 'NA'): (20, 20)})  # a name that a careless reader takes for "missing"
    rows = list(frame[['table', 'generator', 'label', 'path']].itertuples(index=False, name=None))
    weights = frame[['attention_0.25', 'attention_0.5']].to_numpy()
    stream_scores(rows, np.arange(40), frame['logit'], weights, (0.25, 0.5), tmp_path / 'scores.csv')
    again = read_scores(tmp_path / 'scores.csv')
    np.testing.assert_allclose(again['logit'], frame['logit'], rtol=0, atol=1e-9)
    assert set(again['generator']) == {'NA'} and attention_scales(again) == [0.25, 0.5]
    np.testing.assert_allclose(again['score'], 1 / (1 + np.exp(-frame['logit'])), rtol=1e-8)
    (tmp_path / 'other.csv').write_text('a,b\n1,2\n')
    with pytest.raises(UserError, match='columns missing: table'):
        read_scores(tmp_path / 'other.csv')
    names = b'table,generator,label,path,logit,score\nT,g,0,\xff.png,0.0,0.5\n'  # not UTF-8, as file names may be
    (tmp_path / 'other.csv').write_bytes(names)
    assert os.fsencode(read_scores(tmp_path / 'other.csv')['path'][0]) == b'\xff.png'
    for content in (b'', b'a\n1,2\n"'):
        (tmp_path / 'other.csv').write_bytes(content)
        with pytest.raises(UserError, match=r'other\.csv: not a score file that can be read'):
            read_scores(tmp_path / 'other.csv')
    for suffix, pack in (('gz', gzip.compress), ('xz', lzma.compress)):
        packed = bytearray(pack((tmp_path / 'scores.csv').read_bytes()))
        (tmp_path / f's.csv.{suffix}').write_bytes(packed)
        assert len(read_scores(tmp_path / f's.csv.{suffix}')) == 40
        for broken in (packed[:-20], packed[:40] + b'damaged' + packed[47:]):
            (tmp_path / f's.csv.{suffix}').write_bytes(broken)
            with pytest.raises(UserError, match='not a score file that can be read'):
                read_scores(tmp_path / f's.csv.{suffix}')


def test_summary_leaves_controls_and_single_classes_out_of_the_mean(tmp_path):
    frame = frame_of(
        {
            ('T', 'a'): (30, 30),
            ('T', 'b'): (30, 10),
            ('T', 'e'): (0, 9),
            ('U4_controls', 'c'): (9, 9),
            ('U0_seen', 'd'): (9, 9),
            ('U3_factor_sweep', 'f'): (9, 9),
        }
    )
    summary = summarise(frame)
    metrics = [binary_metrics(rows['label'], rows['logit']) for _, rows in frame.groupby('generator') if len(rows) > 18]
    assert summary['mean_over'] == 2
    for key in ('accuracy', 'ap', 'auc'):
        assert summary['mean'][key] == pytest.approx(np.mean([entry[key] for entry in metrics]))
    assert len(summary['left_out']) == 4 and 'AP and AUC are undefined' in summary['left_out'][0]
    assert summary['generators'][0]['attention']['0.25'] == pytest.approx(frame['attention_0.25'][:60].mean())

    text = write_summary(summary, tmp_path, {'model_path': 'x'})
    assert (tmp_path / 'metrics.md').read_text() == text
    assert read_json(tmp_path / 'metrics.json')['generators'] == summary['generators']
    table = pd.read_csv(tmp_path / 'metrics.csv')
    expected = [*summary['generators'], summary['mean']]
    np.testing.assert_allclose(table['accuracy'], [entry['accuracy'] for entry in expected])
    assert table['generator'].iloc[-1] == 'mean of 2' and '| mean of 2 ' in text


def test_markdown_is_aligned():
    lines = markdown_table(['a', 'b', 'c'], [['x', 'longer', '1.0'], ['y', 'z', '100.0']]).splitlines()
    assert len({len(line) for line in lines}) == 1 and lines[1].endswith('----: |')


def test_comparison_shows_both_and_keeps_controls_apart():
    summaries = {
        name: over_seeds([summarise(frame_of({('T', 'a'): (20, 20), ('U4_controls', 'c'): (20, 20)}, seed))])
        for seed, name in enumerate(('one', 'two'))
    }
    text = comparison_table(summaries)
    upper, lower = text.split('Controls')
    assert ' a ' in upper and ' c ' not in upper and ' c ' in lower
    ap = [f'{100 * summaries[name]["generators"][0]["ap"]:.1f}' for name in ('one', 'two')]
    row = next(line for line in upper.splitlines() if line.startswith('| a'))
    assert [cell.strip() for cell in row.split('|')[3:5]] == ap


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / 'f').write_text('old')
    with pytest.raises(RuntimeError), atomic_path(tmp_path / 'f') as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert (tmp_path / 'f').read_text() == 'old' and len(list(tmp_path.iterdir())) == 1
