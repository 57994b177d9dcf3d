"""Fakes found at equal false alarms, against a plain loop."""

import numpy as np
import pandas as pd
import pytest

from analysis.own_rate import fakes_found, get_parser, main, read_table
from util.errors import UserError


def table(names=('left_out', 'seed')):
    rng, rows = np.random.default_rng(0), []
    for generator, shift in (('near', 0.5), ('far', 2.0)):
        for seed in (3, 4):
            for condition in ('as_is', 'jpeg_95'):
                for label in (0, 1):
                    logits = rng.normal(shift * label + seed, 1, 40)  # each seed has a level of its own
                    rows += [(generator, seed, condition, label, f'{i}.png', x) for i, x in enumerate(logits)]
    return pd.DataFrame(rows, columns=[*names, 'condition', 'label', 'file', 'logit'])


@pytest.mark.parametrize('rate', [0.05, 0.2])
def test_a_share_of_the_own_reals_lies_above_whatever_their_level(rate):
    frame = table()
    found = fakes_found(frame, rate)
    assert len(found) == 8
    for (condition, generator, seed), share in found.items():
        part = frame[(frame['condition'] == condition) & (frame['left_out'] == generator) & (frame['seed'] == seed)]
        real, fake = (sorted(part[part['label'] == label]['logit'], reverse=True) for label in (0, 1))
        limit = real[int(rate * 40)]  # 2 or 8 reals lie above
        assert share == sum(logit > limit for logit in fake) / 40


def test_it_prints_means_and_spreads_of_files_of_both_kinds(tmp_path, capsys):
    for name, columns in (('left.csv.gz', ('left_out', 'seed')), ('elsewhere.csv.gz', ('generator', 'detector'))):
        table(columns).to_csv(tmp_path / name, index=False)
    main(get_parser().parse_args([str(tmp_path / name) for name in ('left.csv.gz', 'elsewhere.csv.gz')]))
    first, second = capsys.readouterr().out.split(f'{tmp_path}/elsewhere.csv.gz')
    assert first.split('\n')[1:] == [*second.split('\n')[1:]]
    of_seeds = fakes_found(table())['as_is'].groupby('seed').mean()
    line = next(line for line in first.splitlines() if line.startswith('| mean'))
    assert line.split()[1:6] == ['mean', '|', '2', '|', f'{100 * of_seeds.mean():.1f}±{100 * of_seeds.std():.1f}']


def test_other_files_and_too_few_reals_are_refused(tmp_path):
    table().drop(columns='condition').to_csv(tmp_path / 'scores.csv', index=False)
    with pytest.raises(UserError, match='no column condition'):
        read_table(tmp_path / 'scores.csv')
    with pytest.raises(UserError, match='cannot be read'):
        read_table(tmp_path / 'none.csv')
    with pytest.raises(UserError, match='too few'):
        fakes_found(table(), 0.01)
