"""Interventions on detectors whose attention is wired by hand, and the verdicts on them."""

import json

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from analysis.attention_shifts import family_shift, positive_control
from analysis.faithfulness import (
    agreements,
    first_agreement,
    rank_agreement,
    stability,
    study,
    weights_against_effects,
)
from analysis.faithfulness_text import NO, NOT_SHOWN, UNKNOWN, YES, report, verdicts
from analysis.interventions import (
    decide,
    effects,
    other_weights,
    without_branch,
)
from tests.conftest import SMALL
from tests.wired import Always, ByRule, data, wired

STAY = 'Do weights stay when the image hardly changes and the verdict stays?'
TELL = 'Does a branch with more weight move the decision more?'


def test_always_the_same_scale():
    features, rows = data()
    detector, groups = wired(Always(-1e4, 0, -1e4)), np.repeat([0, 1], 60)
    own, weights = decide(detector, features)
    np.testing.assert_allclose(weights, np.tile([0, 1, 0], (120, 1)))
    np.testing.assert_allclose(own, features[:, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(effects(detector, features, 'zero'), np.stack([0 * own, own, 0 * own], 1), atol=1e-6)
    change = features[:, 1, 1] - features[:, 1, 1].mean()
    np.testing.assert_allclose(effects(detector, features, 'mean')[:, 1], change, atol=1e-5)
    # Without its only scale, attention has two that are equally unwanted.
    np.testing.assert_allclose(without_branch(detector, features, 'drop', 1), features[:, [0, 2], 1].mean(1), atol=1e-5)
    np.testing.assert_allclose(without_branch(detector, features, 'drop', 0), own, rtol=1e-6)
    for kind in ('set_mean', 'shuffled'):
        assert all(np.allclose(logits, own, atol=1e-6) for logits in other_weights(detector, features, kind, groups))
    uniform = other_weights(detector, features, 'uniform', groups)
    np.testing.assert_allclose(uniform[0], features[:, :, 1].mean(1), atol=1e-6)
    result = study([detector], [features], {'jpeg_90': [(own, weights)]}, rows, resamples=200)
    for name in ('set_mean', 'shuffled', 'drop_0.25', 'zero_0.75', 'mean_0.25'):
        change = result['weights_replaced'][name]['ap_change']
        assert [change[key] for key in ('estimate', 'low', 'high')] == pytest.approx([0, 0, 0], abs=1e-12)
    answers = {each['question']: each['answer'] for each in verdicts(result)}
    assert answers['Are weights of its own for each image needed?'] == NO
    assert answers[STAY] == UNKNOWN  # they never change at all
    assert answers['May the weights be read as an explanation?'] == NO
    found = result['weights_against_effects']['zero']
    assert found['first'] == found['first_of_others'] == 1
    assert found['rank_of_others'] == pytest.approx(found['rank']['estimate'])  # every image has the same weights
    assert result['mean_weights'] == pytest.approx([0, 1, 0])
    assert result['support']['zero'][1] == pytest.approx(np.abs(own).mean(), rel=1e-5)


def test_attention_by_a_rule_is_needed_ordered_and_stable():
    generators = tuple(('t', name, '') for name in 'abcdef')
    features, rows = data(generators=generators, telling=lambda number: number % 3)
    detector, groups = wired(ByRule()), np.repeat(np.arange(6), 60)
    own, weights = decide(detector, features)
    np.testing.assert_array_equal(weights.argmax(1), features[..., 0].argmax(1))
    shuffled = other_weights(detector, features, 'shuffled', groups, seed=3)
    assert shuffled.shape == (5, 360) and not np.allclose(shuffled[0], shuffled[1])
    for logits in shuffled:  # each is the logit of some scale of the image, the one another image of its set chose
        assert np.abs(features[:, :, 1] - logits[:, None]).min(1).max() < 1e-4
        for group in range(6):
            nearest = np.abs(features[:, :, 1] - logits[:, None]).argmin(1)[groups == group]
            assert sorted(nearest) == sorted(weights.argmax(1)[groups == group])
    np.testing.assert_array_equal(shuffled, other_weights(detector, features, 'shuffled', groups, seed=3))
    result = study(
        [detector], [features], {'jpeg_90': [(own, weights)], 'shift_1': [(own, weights)]}, rows, resamples=300
    )
    answers = {each['question']: each['answer'] for each in verdicts(result)}
    assert answers['Are weights of its own for each image needed?'] == YES
    assert answers[TELL] == YES
    assert answers[STAY] == YES
    assert answers['Are weights consistent within a generator?'] == YES
    assert answers['Does the weight follow the up-sampling factor where it is known?'] == UNKNOWN
    assert answers['May the weights be read as an explanation?'] == UNKNOWN
    first, second = result['contributions'][:2]
    assert first['all']['ap'] == 1 and first['without']['0.25']['ap'] < first['without']['0.75']['ap'] - 0.1
    assert second['without']['0.5']['ap'] < second['without']['0.75']['ap'] - 0.1
    text = report(result, verdicts(result))
    assert 'Accuracies and verdicts are at a score of 0.5' in text
    assert 'Preliminary: fewer than 5 seeds.' in text and "another image's weights" in text
    upset = study([detector], [features], {'jpeg_90': [(own, np.roll(weights, 1, axis=1))]}, rows, resamples=100)
    assert {each['question']: each['answer'] for each in verdicts(upset)}[STAY] == NO


def test_a_known_factor_is_followed_or_not():
    decoders = ('factor1', 'nearest_x2', 'bilinear_x2', 'shuffle_x2', 'nearest_x4', 'shuffle_x4', 'nearest_x8')
    generators = tuple(('U4_controls' if name == 'factor1' else 'U3_factors', name, 'gan') for name in decoders)
    order = {'1': 2, '2': 1, '4': 0, '8': 0}  # scale that tells: coarser for larger factors
    features, rows = data(generators=generators, telling=lambda number: order[decoders[number][-1]])
    decided = decide(wired(ByRule()), features)
    result = study([wired(ByRule())], [features], {'jpeg_90': [decided]}, rows, resamples=200)
    control = result['positive_control']
    assert list(control['by_factor']) == ['1', '2', '4', '8'] and control['correlation']['rho'] > 0.9
    answers = {each['question']: each['answer'] for each in verdicts(result)}
    assert answers['Does the weight follow the up-sampling factor where it is known?'] == YES
    assert answers['May the weights be read as an explanation?'] == YES
    against = [{**entry, 'shift': -entry['shift']} for entry in result['generators']]
    assert positive_control(against)['correlation']['rho'] < -0.9
    assert positive_control(against[:5])['correlation'] is None  # not even the best order of these could decide it
    assert positive_control([{**entry, 'table': 'mine'} for entry in against])['by_factor'] == {}


@pytest.mark.parametrize(('scale', 'expected'), [(0, (YES, NO)), (2, (NO, YES)), (None, (NOT_SHOWN, NOT_SHOWN))])
def test_families_are_judged_by_where_attention_goes(scale, expected):
    generators = tuple(('t', f'{family}{i}', family) for family in ('gan', 'diffusion') for i in range(4))
    rng = np.random.default_rng(5)
    features, rows = data(generators=generators, telling=lambda _: rng.integers(3) if scale is None else scale)
    result = study([wired(ByRule())], [features], {}, rows, resamples=100)
    answers = {each['question']: each['answer'] for each in verdicts(result)}
    assert answers['Do GANs draw attention to coarser scales than real images?'] == expected[0]
    assert answers['Do diffusion models draw attention to finer scales than real images?'] == expected[1]


def test_agreements_and_stability_equal_plain_loops():
    rng = np.random.default_rng(6)
    weights, support = rng.dirichlet((1, 1, 1), 50), rng.normal(size=(50, 3))
    support[:5] = 1
    expected = [
        0.0 if i < 5 else np.corrcoef(np.argsort(np.argsort(w)), np.argsort(np.argsort(s)))[0, 1]
        for i, (w, s) in enumerate(zip(weights, support, strict=True))
    ]
    np.testing.assert_allclose(rank_agreement(weights, support), expected, atol=1e-12)
    first = first_agreement(weights, support)
    assert first.tolist() == [w.argmax() == np.abs(s).argmax() for w, s in zip(weights, support, strict=True)]
    other = rng.dirichlet((1, 1, 1), 50)
    own = np.stack([np.ones(50), np.ones(50)])
    moved = np.where(np.arange(50) < 10, -1.0, 1.0) * own  # ten verdicts change
    perturbed = {'jpeg_90': (moved, np.stack([other, other]))}
    found = stability(own, np.stack([weights, other]), perturbed, np.zeros(50, int), np.arange(50) % 2)
    distances = [jensenshannon(*pair, base=2) for pair in zip(weights, other, strict=True)]
    assert found['another seed']['distance'] == pytest.approx(np.mean(distances))
    assert found['jpeg_90']['distance'] == pytest.approx(np.mean(distances[10:]) / 2)  # the second seed did not change
    assert (
        found['jpeg_90']['verdict_changed'] == pytest.approx(0.2) and found['another seed']['verdict_changed'] is None
    )
    same = stability(own[:1], np.tile(weights[:1], (1, 50, 1)), {}, np.zeros(50, int), np.zeros(50, int))
    assert same['another image']['distance'] == pytest.approx(0, abs=1e-7)
    alone = stability(own[:1, :2], weights[None, :2], {}, np.zeros(2, int), np.array([0, 1]))
    assert alone['another image']['distance'] is None  # each is the only one of its kind


def test_weights_against_effects_equals_plain_loops():
    rng = np.random.default_rng(8)
    branches, weights = rng.normal(size=(60, 3)), rng.dirichlet((1, 1, 1), 60)
    arguments = (np.repeat([0, 1], 30), np.arange(60), {'seed': 0, 'resamples': 100})
    found = weights_against_effects([(branches, 0.2, weights)], *arguments)['zero']
    ranks, firsts = [], []
    for b, w in zip(branches, weights, strict=True):
        effect = w * (b - 0.2)
        ranks.append(stats.spearmanr(w, np.sign(w @ b) * effect).statistic)
        firsts.append(np.argmax(w) == np.argmax(np.abs(effect)))
    assert found['rank']['estimate'] == pytest.approx(np.mean(ranks)) and found['first'] == np.mean(firsts)
    np.testing.assert_allclose(agreements(branches, 0.2, weights, 'zero')[0], ranks, atol=1e-12)
    # An effect contains its weight, so some agreement is there for any weights; the report says how much.
    assert found['rank_of_others'] > 0.2 and abs(found['rank_of_others'] - found['rank']['estimate']) < 0.2


def test_faithfulness_command(call, fails, checkpoints, forensynths, tmp_path):
    model = checkpoints['multiscale_attention']
    words = ('--dataroot', forensynths / 'test', *SMALL)
    for name in ('one', 'two'):
        status, out, _ = call('faithfulness.py', '--model_path', model, *words, '--out', tmp_path / name)
        assert status == 0 and 'May the weights be read as an explanation?' in out
    for name in ('faithfulness.md', 'faithfulness.png', 'faithfulness.json'):
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()
    numbers = json.loads((tmp_path / 'one' / 'faithfulness.json').read_text())
    assert set(numbers['stability']) == {'jpeg_90', 'shift_1', 'shift_2', 'shift_3', 'another image'}
    assert numbers['images'] == 24 and numbers['counted'] == []  # too few images of each class for any interval
    last = ('--out', tmp_path / 'three')
    assert 'hold the same weights' in fails('faithfulness.py', '--model_path', model, model, *words, *last)
    single = checkpoints['single_scale']
    assert 'has no attention' in fails('faithfulness.py', '--model_path', single, *words, *last)


def test_the_shift_of_a_family_has_an_interval_from_three_generators_on():
    shifts = {'one': 0.1, 'two': 0.3, 'three': -0.2}
    entries = [{'family': 'gan', 'generator': g, 'table': 't', 'shift': shift} for g, shift in shifts.items()]
    entries += [{**entries[0], 'family': 'diffusion', 'shift': 9}, {**entries[0], 'generator': 'four', 'shift': None}]
    found = family_shift(entries, 'gan')
    low, high = stats.ttest_1samp(list(shifts.values()), 0).confidence_interval(0.95)
    assert [found[key] for key in ('mean', 'low', 'high')] == pytest.approx([0.2 / 3, low, high])
    assert found['units'] == 3 and found['tables'] == ['t']
    two = family_shift(entries[1:], 'gan')
    assert (two['mean'], two['low'], two['units']) == (pytest.approx(0.05), None, 2)
    assert family_shift(entries, 'none') is None
