"""Two experiments, seed by seed, against numpy and scipy on a table of their own."""

import numpy as np
import pytest
from scipy import stats

from analysis.leave_one_out import CONDITIONS, MEASURED
from analysis.paired import THREE, compare, get_parser, main
from util.errors import UserError
from util.files import write_json

CONDITIONS_HERE = (*CONDITIONS, 'resize_0.9')


def experiment(seeds, generators, rng_seed, conditions=CONDITIONS_HERE):
    rng = np.random.default_rng(rng_seed)
    entry = {
        c: {g: {m: rng.uniform(size=len(seeds)).tolist() for m in MEASURED} for g in generators} for c in conditions
    }
    return {'seeds': list(seeds), 'generators': entry}


def test_pairs_are_of_the_same_seed_whatever_their_order():
    new, base = experiment([3, 1, 2], 'abc', 0), experiment([1, 9, 3], 'cdb', 1, conditions=tuple(CONDITIONS))
    found = compare(new, base)
    assert found['seeds'] == [3, 1] and found['generators'] == ['b', 'c'] and set(found['mean']) == {*CONDITIONS, THREE}
    for condition in CONDITIONS:
        for metric in ('auc', 'real_accuracy', 'fake_accuracy'):
            a = np.array([[new['generators'][condition][g][metric][i] for i in (0, 1)] for g in 'bc'])
            b = np.array([[base['generators'][condition][g][metric][i] for i in (2, 0)] for g in 'bc'])
            each, test = found['mean'][condition][metric], stats.ttest_rel(a.mean(0), b.mean(0))
            low, high = test.confidence_interval(0.95)
            assert [each['new'], each['base'], each['mean'], each['low'], each['high']] == pytest.approx(
                [a.mean(), b.mean(), a.mean() - b.mean(), low, high]
            )
            if metric == 'auc':
                for row, name in enumerate('bc'):
                    low, high = stats.ttest_rel(a[row], b[row]).confidence_interval(0.95)
                    one = found['by_generator'][name][condition]
                    assert [one['low'], one['high']] == pytest.approx([low, high])
    three = [found['mean'][condition]['auc']['mean'] for condition in CONDITIONS]
    assert found['mean'][THREE]['auc']['mean'] == pytest.approx(np.mean(three))
    tables = [[[e['generators'][c][g]['auc'] for c in CONDITIONS] for g in 'bc'] for e in (new, base)]
    a, b = np.array(tables[0])[..., [0, 1]].mean((0, 1)), np.array(tables[1])[..., [2, 0]].mean((0, 1))
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert [found['mean'][THREE]['auc'][end] for end in ('low', 'high')] == pytest.approx([low, high])


def test_generators_of_the_mean_can_be_chosen_and_one_seed_has_no_interval():
    new, base = experiment([1], 'ab', 0), experiment([1, 2], 'ab', 1)
    found = compare(new, base, ['b', 'b'])
    assert found['generators'] == ['b']
    auc = found['mean']['as_is']['auc']
    assert auc['low'] is None and auc['high'] is None and list(found['by_generator']) == ['b']
    assert auc['mean'] == pytest.approx(
        new['generators']['as_is']['b']['auc'][0] - base['generators']['as_is']['b']['auc'][0]
    )


def test_what_has_nothing_in_common_is_refused():
    here = experiment([1], 'a', 0)
    with pytest.raises(UserError, match=r'no seed in common: \[1\] and \[2\]'):
        compare(here, experiment([2], 'a', 0))
    with pytest.raises(UserError, match='no condition in common'):
        compare(here, experiment([1], 'a', 0, conditions=('jpeg_90',)))
    with pytest.raises(UserError, match='no generator in common'):
        compare(here, experiment([1], 'b', 0))
    with pytest.raises(UserError, match='no generator z in both; in both are a'):
        compare(here, here, ['a', 'z'])


def test_command_prints_both_tables_in_points(tmp_path, capsys):
    for number, name in enumerate(('new', 'base')):
        write_json(tmp_path / f'{name}.json', experiment([1, 2, 3], ('dcgan', 'biggan'), number))
    files = [str(tmp_path / 'new.json'), str(tmp_path / 'base.json')]
    main(get_parser().parse_args(files))
    text = capsys.readouterr().out
    found = compare(experiment([1, 2, 3], ('dcgan', 'biggan'), 0), experiment([1, 2, 3], ('dcgan', 'biggan'), 1))
    auc = found['mean']['resize_0.9']['auc']
    cell = f'{100 * auc["mean"]:+.1f} ({100 * auc["low"]:+.1f} to {100 * auc["high"]:+.1f})'
    assert 'intervals' in text and cell in next(
        line for line in text.splitlines() if line.startswith('| resized by 0.9')
    )
    assert '3 seeds in common: 1, 2, 3; brackets: 95% intervals' in text
    write_json(tmp_path / 'other.json', {'asked': {}})
    with pytest.raises(UserError, match='of an experiment that has ended'):
        main(get_parser().parse_args([str(tmp_path / 'other.json'), files[1]]))
    for wrong in (tmp_path / 'absent.json', tmp_path):
        with pytest.raises(UserError, match='cannot be read as JSON'):
            main(get_parser().parse_args([str(wrong), files[1]]))
    (tmp_path / 'table.md').write_text('| a | b |')
    with pytest.raises(UserError, match='cannot be read as JSON'):
        main(get_parser().parse_args([str(tmp_path / 'table.md'), files[1]]))
