"""What the report says: every sentence follows the outcome."""

import copy
import re
from dataclasses import replace

import pytest

from analysis.words import listed, p_value, percent, points, typographic
from pipeline.plan import PROPOSED
from report.evidence import load
from report.findings import ablation, aim, attention, believed, conclusion, headline, resampled
from report.limits import added, limits, not_run, unlearned
from report.setup import data, published, scoring, seeds, training
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def results():
    return load(ROOT / 'results' / 'upsamplebench')


def with_outcome(results, low, high, p, metric='ap'):
    """The results, with another outcome of the proposal."""
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        if (test['detector'], test['metric']) == (PROPOSED.name, metric):
            test['interval'] = {'estimate': (low + high) / 2, 'low': low, 'high': high}
            test['wilcoxon'] |= {'p_holm': p, 'smallest_p_holm': 0.001}
    return replace(results, comparison=comparison)


@pytest.mark.parametrize(
    'low, high, p, begins, concludes',
    [
        (0.01, 0.05, 0.01, 'Several scales rank images of 4 unseen generators better than one: mean AP .3.0', 'better'),
        (-0.05, -0.01, 0.01, 'Several scales rank images of 4 unseen generators worse than one', 'worse'),
        (0.01, 0.05, 0.2, '.* better than one by the interval, not confirmed by the test: mean AP .3.0', 'do not show'),
        (-0.01, 0.05, 0.01, 'No gain from several scales is shown', 'do not show'),
    ],
)
def test_sentences_follow_the_outcome(results, low, high, p, begins, concludes):
    results = with_outcome(results, low, high, p)
    assert re.match(begins, headline(results))
    assert concludes in conclusion(results)[0]


def test_the_aim_is_judged_by_tables(results):
    def judged(*gains):
        comparison = copy.deepcopy(results.comparison)
        comparison['comparison']['by_table'][PROPOSED.name] = {
            f'T{i}': {'accuracy': {'estimate': gain, 'low': gain - width, 'high': gain + width}}
            for i, (gain, width) in enumerate(gains)
        }
        return aim(replace(results, comparison=comparison))

    assert 'cannot be judged on 1 table.' in judged((0.5, 0.1))
    assert 'is not met (T0 +3.0 (+2.0 to +4.0); T1 +1.9' in judged((0.03, 0.01), (0.019, 0.01))
    assert 'is met by the means (T0' in judged((0.03, 0.01), (0.02, 0.01), (-0.3, 0.1))
    assert 'but intervals of these gains include zero' in judged((0.03, 0.01), (0.02, 0.03))


def test_designs_that_differ_are_named(results):
    assert 'none of them differs' in ' '.join(ablation(results))
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        if (test['detector'], test['metric']) == ('multiscale_4', 'ap'):
            test['interval'], test['wilcoxon']['p_holm'] = {'estimate': -0.2, 'low': -0.3, 'high': -0.1}, 0.01
    text = ' '.join(ablation(replace(results, comparison=comparison)))
    assert 'multiscale 4 has a lower mean AP than the baseline' in text and 'multiscale 4 -20.0 (' in text


@pytest.mark.parametrize(
    'needed, whole, expected',
    [
        ('yes', 'yes', 'pass all four tests'),
        ('no', 'no', 'are not needed'),
        ('yes', 'no', 'must not be read'),
        ('not shown', 'not shown', 'is not shown by these data'),
        ('yes', 'cannot be asked', 'Not all tests'),
    ],
)
def test_belief_in_attention_follows_the_verdicts(results, needed, whole, expected):
    verdicts = copy.deepcopy(results.faithfulness['verdicts'])
    assert verdicts[0]['question'].startswith('Are weights of its own') and 'explanation' in verdicts[-1]['question']
    verdicts[0]['answer'], verdicts[-1]['answer'] = needed, whole
    assert expected in believed(replace(results, faithfulness={**results.faithfulness, 'verdicts': verdicts}))
    assert 'was not tested' in believed(replace(results, faithfulness=None))


def test_what_was_not_run_is_said(results):
    assert (
        'the public table 1 (ForenSynths)' in not_run(results)[0] and 'table 5 (Diffusion1kStep)' in not_run(results)[0]
    )
    few = copy.deepcopy(results.comparison)
    del few['detectors']['multiscale_4']
    for summary in few['detectors'].values():
        summary['seeds'] = 2
    parts = replace(results, comparison=few, faithfulness=None)
    assert 'Designs without results: multiscale 4.' in not_run(parts)
    assert 'There are no results of the tests of attention.' in not_run(parts) and len(not_run(results)) == 1
    assert any(text.startswith('Preliminary: 2 seeds') for text in limits(parts))
    assert not any(text.startswith('Preliminary') for text in limits(results))


def test_a_test_that_could_never_decide_is_named(results):
    never = "can never decide a hypothesis by Wilcoxon's test, corrected for 12 tests"
    assert any(never in text for text in limits(results))
    sure = with_outcome(results, 0.01, 0.05, 0.01)
    assert not any('can never decide' in text for text in limits(sure))


def test_few_seeds_are_called_preliminary_where_results_are_told(results):
    assert not any('Preliminary' in text for text in conclusion(results))
    alone = copy.deepcopy(results.comparison)
    for summary in alone['detectors'].values():
        summary['seeds'] = 1
    assert conclusion(replace(results, comparison=alone))[1].startswith("Preliminary: 1 seed, so the seed's luck")


def test_designs_that_did_not_learn_are_named(results):
    (text,) = unlearned(results)
    assert 'multiscale 4 57.' in text and 'single 0.25 52.' in text and 'baseline' not in text
    assert unlearned(replace(results, validation={'baseline': [0.95, 0.91]})) == []
    assert '89.0' in unlearned(replace(results, validation={'baseline': [0.95, 0.89], 'x': [None]}))[0]


def test_attention_of_one_seed_is_called_so(results):
    assert attention(results)[0].startswith('First seed: whether families')
    assert attention(replace(results, faithfulness=None))[0].startswith('First seed: which generator an image')
    assert attention(replace(results, attention=None)) == []


def test_diffusion_models_are_missed_only_where_they_are_missing(results):
    missing = 'No diffusion model was among the generators, so nothing is said about them.'
    assert missing in limits(results)
    comparison = copy.deepcopy(results.comparison)
    for summary in comparison['detectors'].values():
        summary['generators'][1]['family'] = 'diffusion'
    assert missing not in limits(replace(results, comparison=comparison))
    assert any('No diffusion model has both classes' in t for t in limits(replace(results, comparison=comparison)))


def test_the_setup_is_that_of_the_runs(results):
    options = dict(results.training[PROPOSED.name][0]['options'])
    assert 'Adam with learning rate 0.0007, cut after every 2 epochs; random crops of 64 px' in training(results)
    assert 'flips; bf16' in training(results) and 'dropout' not in training(results)
    options |= {'no_flip': True, 'jpg_prob': 0.5, 'no_resize': False, 'scale_dropout': 0.3, 'delr_freq': 0}
    run = {**results.training[PROPOSED.name][0], 'options': options}
    other = training(replace(results, training={PROPOSED.name: [run]}))
    assert 'images resized to 256 px, JPEG (probability 0.5); bf16' in other and 'scale dropout 0.3' in other
    assert 'flips' not in other and 'cut' not in other
    folders = {'baseline': [f'seed_{number}' for number in (0, 10, 2)]}
    assert seeds(replace(results, comparison={**results.comparison, 'folders': folders})) == 'Seeds 0, 2 and 10.'
    assert 'Scored on native pixels, centre crops of 128 px; the checkpoint tested is the epoch' in scoring(results)
    assert resampled(results) == 'seeds, generators and images'


def test_published_numbers_of_other_pixels_are_said_to_be(results):
    assert published(results) == []
    public = copy.deepcopy(results.comparison)
    for summary in public['detectors'].values():
        summary['generators'][0] |= {'table': 'ForenSynths', 'generator': 'biggan'}
    assert 'not of the same pixels. ForenSynths: scored on native' in published(replace(results, comparison=public))[0]
    paper = {'mode': 'paper', 'load_size': 256, 'crop_size': None}
    tests = {PROPOSED.name: [{**results.tests[PROPOSED.name][0], 'pixels': paper}]}
    assert published(replace(results, comparison=public, tests=tests)) == []


def test_nothing_is_claimed_that_was_not_done(results):
    assert 'several seeds, intervals over seeds' in added(results) and 'checked for shortcuts' in added(results)
    alone = copy.deepcopy(results.comparison)
    for summary in alone['detectors'].values():
        summary['seeds'] = 1
    poor = replace(results, comparison=alone, edition=None, faithfulness=None)
    assert added(poor) == 'This work adds a test with intervals over images; it claims no first use of several scales.'
    public = copy.deepcopy(results.comparison)
    for summary in public['detectors'].values():
        summary['generators'][0] |= {'table': 'ForenSynths', 'generator': 'progan'}
    assert any('nothing here is a result on StyleGAN' in text for text in limits(results))
    both = replace(results, comparison=public)
    assert not any('nothing here is a result on StyleGAN' in text for text in limits(both))
    assert '4 generators (with ProGAN, seen in training)' in headline(both) and '4 unseen' in headline(results)
    assert 'table 1 (ForenSynths): 1 of 8 generators' in not_run(both)[1]


def test_words():
    assert p_value(0.0001) == '<0.001' and p_value(None) == '-' and listed(['a', 'b', 'c']) == 'a, b and c'
    assert percent(0.7654, 0.0221) == '76.5±2.2' and percent(None) == '-' and points(-0.028) == '-2.8'
    assert typographic({'a': ['-2.8 to +1, x-3, 1e-5, -', 4]}) == {'a': ['\N{MINUS SIGN}2.8 to +1, x-3, 1e-5, -', 4]}


def test_the_training_decoder_of_an_edition(results):
    first = ' '.join(data(results))
    assert 'Training sees one of them, nearest x2.' in first
    second = ' '.join(data(replace(results, edition={**results.edition, 'training': {}})))
    assert 'Training sees nearest x2 only, with other weights than the tests.' in second
