"""What the report says: every sentence follows the outcome."""

import copy
import re
from dataclasses import replace

import pytest

from analysis.words import listed, p_value, percent, points, typographic
from pipeline.plan import PROPOSED
from report.evidence import load
from report.findings import ablation, against_controls, aim, attention, believed, conclusion, headline, resampled
from report.limits import added, limits, not_run, unlearned
from report.release import not_for
from report.setup import data, networks, over, published, scoring, seeds, threshold, training
from tests.conftest import ROOT

MANY = r'Several scales rank images of \d+ unseen generators'


@pytest.fixture(scope='module')
def results():
    return load(ROOT / 'results' / 'upsamplebench')


def with_outcome(results, low, high, p, metric='ap', smallest=0.001):
    """The results, with another outcome of the proposal."""
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        if (test['detector'], test['metric']) == (PROPOSED.name, metric):
            test['interval'] = {'estimate': (low + high) / 2, 'low': low, 'high': high}
            test['wilcoxon'] |= {'p_holm': p, 'smallest_p_holm': smallest}
    return replace(results, comparison=comparison)


@pytest.mark.parametrize(
    'low, high, p, begins, concludes',
    [
        (0.01, 0.05, 0.01, rf'{MANY} better than one: mean AP .3.0', 'better'),
        (-0.05, -0.01, 0.01, f'{MANY} worse than one', 'worse'),
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
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        test['wilcoxon']['p_holm'] = 0.9
    assert 'none of them differs' in ' '.join(ablation(replace(results, comparison=comparison)))
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
    (absent,) = (text for text in not_run(parts) if text.startswith('Designs without results'))
    assert absent == 'Designs without results: multiscale 4, uniform 3 and constant 3.'
    assert 'There are no results of the tests of attention.' in not_run(parts)
    assert len(not_run(results)) == 2 and 'Designs without results: uniform 3 and constant 3.' in not_run(results)
    assert any(text.startswith('Preliminary: 2 seeds') for text in limits(parts))
    assert not any(text.startswith('Preliminary') for text in limits(results))


def test_a_test_that_could_never_decide_is_named(results):
    tests = len(results.result['tests'])
    never = f"can never decide a hypothesis by Wilcoxon's test, corrected for {tests} tests"
    assert any(never in text for text in limits(with_outcome(results, -0.01, 0.05, 1.0, smallest=0.06)))
    sure = with_outcome(results, 0.01, 0.05, 0.01)
    assert not any('can never decide' in text for text in limits(sure))


def test_few_seeds_are_called_preliminary_where_results_are_told(results):
    assert not any('Preliminary' in text for text in conclusion(results))
    alone = copy.deepcopy(results.comparison)
    for summary in alone['detectors'].values():
        summary['seeds'] = 1
    assert conclusion(replace(results, comparison=alone))[1].startswith("Preliminary: 1 seed, so the seed's luck")


def test_designs_that_did_not_learn_are_named(results):
    validation = {'multiscale_4': [0.571, 0.99], 'single_0.25': [0.52, 0.6], 'baseline': [0.95, 0.98]}
    (text,) = unlearned(replace(results, validation=validation))
    assert 'multiscale 4 57.1' in text and 'single 0.25 52.' in text and 'baseline' not in text
    assert unlearned(replace(results, validation={'baseline': [0.95, 0.91]})) == []
    assert '89.0' in unlearned(replace(results, validation={'baseline': [0.95, 0.89], 'x': [None]}))[0]


def test_attention_of_one_seed_is_called_so(results):
    assert attention(results)[0].startswith('First seed: mean weights on fakes')
    assert attention(replace(results, faithfulness=None))[0].startswith('First seed: which generator an image')
    assert attention(replace(results, attention=None)) == []


def test_diffusion_models_are_missed_only_where_they_are_missing(results):
    missing = 'No diffusion model was among the generators, so nothing is said about them.'
    assert missing not in limits(results)
    comparison = copy.deepcopy(results.comparison)
    comparison['comparison']['tests'] = [t for t in comparison['comparison']['tests'] if not t['family']]
    assert any('No diffusion model has both classes' in t for t in limits(replace(results, comparison=comparison)))
    for summary in comparison['detectors'].values():
        for entry in summary['generators']:
            entry['family'] = 'gan'
    assert missing in limits(replace(results, comparison=comparison))


def test_the_setup_is_that_of_the_runs(results):
    options = dict(results.training[PROPOSED.name][0]['options'])
    rate = 'Adam with learning rate 0.002 that falls to zero along a cosine, labels smoothed by 0.1; random crops'
    assert rate in training(results) and '(pairs of a fake and its own photograph)' in training(results)
    assert 'flips; bf16' in training(results) and 'dropout' not in training(results)
    options |= {'cosine': False, 'delr_freq': 2, 'lr': 0.0007, 'label_smoothing': 0.0, 'pairs': False}
    run = {**results.training[PROPOSED.name][0], 'options': options}
    other = training(replace(results, training={PROPOSED.name: [run]}))
    assert 'Adam with learning rate 0.0007, cut after every 2 epochs; random' in other and 'pairs' not in other
    options |= {'no_flip': True, 'jpg_prob': 0.5, 'no_resize': False, 'scale_dropout': 0.3, 'delr_freq': 0}
    run = {**results.training[PROPOSED.name][0], 'options': options}
    other = training(replace(results, training={PROPOSED.name: [run]}))
    assert 'images resized to 256 px, JPEG (probability 0.5); bf16' in other and 'scale dropout 0.3' in other
    assert 'flips' not in other and 'cut' not in other
    folders = {'baseline': [f'seed_{number}' for number in (0, 10, 2)]}
    assert seeds(replace(results, comparison={**results.comparison, 'folders': folders})) == 'Seeds 0, 2 and 10.'
    assert 'Scored on native pixels, centre crops of 128 px; the checkpoint tested is the last epoch' in scoring(
        results
    )
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
    number = results.summary(PROPOSED.name)['mean_over']
    assert f'{number} generators (with ProGAN, seen in training)' in headline(both)
    assert f'{number} unseen' in headline(results)
    assert 'table 1 (ForenSynths): 1 of 8 generators' in not_run(both)[1]


def test_words():
    assert p_value(0.0001) == '<0.001' and p_value(None) == '-' and listed(['a', 'b', 'c']) == 'a, b and c'
    assert percent(0.7654, 0.0221) == '76.5±2.2' and percent(None) == '-' and points(-0.028) == '-2.8'
    assert typographic({'a': ['-2.8 to +1, x-3, 1e-5, -', 4]}) == {'a': ['\N{MINUS SIGN}2.8 to +1, x-3, 1e-5, -', 4]}


def test_the_training_decoder_of_an_edition(results):
    assert 'Training sees nearest x2 only, with other weights than the tests.' in ' '.join(data(results))
    run = results.training[PROPOSED.name][0]
    wide = {**run, 'options': {**run['options'], 'train_split': 'train_wide'}}
    trained_wide = replace(results, training={PROPOSED.name: [wide]})
    found = ' '.join(data(trained_wide))
    assert 'those for testing redone by every decoder. Those for training are dealt to nearest x2,' in found
    assert 'transposed x2 and shuffle x2, with other weights' in found
    assert over(trained_wide, 12) == '12 generators (2 of designs seen in training, with other weights)'
    assert over(results, 12) == '12 unseen generators'
    assert 'holds one kind of decoder' in not_for(results) and 'holds 3 kinds of decoder' in not_for(trained_wide)
    edition = {key: value for key, value in results.edition.items() if key != 'training'}
    assert 'Training sees one of them, nearest x2.' in ' '.join(data(replace(results, edition=edition)))


def test_networks_are_those_that_were_trained(results):
    fine = networks(results)
    assert (
        'two BasicBlocks' in fine['baseline_network'] and '64 features; each branch has' in fine['multiscale_network']
    )
    run = {**results.training[PROPOSED.name][0], 'detector': {'model_type': PROPOSED.model_type}}
    drawn = networks(replace(results, training={PROPOSED.name: [run]}))
    assert 'the published architecture' in drawn['baseline_network'] and 'perceptron' in drawn['multiscale_network']
    assert threshold(results).startswith('the threshold that was frozen')
    assert threshold(replace(results, comparison={'frozen_threshold': False})) == 'a score of 0.5'


def test_controls_are_told_from_the_side_of_the_proposal(results):
    found = copy.deepcopy(results.against_controls)
    for test in found['comparison']['tests']:
        if (test['detector'], test['metric'], test['family']) == ('three_0.5', 'ap', None):
            test['interval'] = {'estimate': -0.031, 'low': -0.05, 'high': -0.012}
            test['wilcoxon']['p_holm'] = 0.001
    text = against_controls(replace(results, against_controls=found))
    assert 'three 0.5 +3.1 (+1.2 to +5.0, significant)' in text[0] and 'mean accuracy' in text[1]
    assert 'baseline' not in ' '.join(text) and against_controls(replace(results, against_controls=None)) == []
