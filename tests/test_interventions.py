"""Branches taken out and weights replaced, from features alone."""

import numpy as np
import pytest
import torch

from analysis.interventions import (
    DRAWS,
    KINDS,
    branch_logits,
    decide,
    effects,
    effects_of_weights,
    other_weights,
    shuffled_within,
)
from networks import create_detector, detector_config
from networks.scoring import feature_batch, prepare, score_batch
from tests.wired import SCALES, Always, data, wired


def test_everybody_gets_the_place_of_another_of_the_group():
    groups = np.array([0, 1, 1, 2, 0, 2, 2, 0, 0, 3])
    places = np.stack([shuffled_within(groups, np.random.default_rng(seed)) for seed in range(50)])
    assert (groups[places] == groups).all() and (np.sort(places) == np.arange(10)).all()
    assert (places != np.arange(10)).all(0).tolist() == [True] * 9 + [False]  # the last is alone
    assert len({tuple(each) for each in places}) > 10


def test_weights_and_logits_are_those_of_the_detector():
    detector = prepare(create_detector(detector_config('multiscale_attention', SCALES)), torch.device('cpu'))
    images = torch.randn(4, 3, 48, 48)
    expected, weights = score_batch(detector, images, torch.device('cpu'))
    logits, features = feature_batch(detector, images, torch.device('cpu'))
    torch.testing.assert_close(logits, expected)
    found = decide(detector, features.reshape(4, 3, 128))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1], weights, atol=1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_effects_of_fixed_weights_are_those_of_a_detector_that_has_them(kind):
    features, _ = data(count=20)
    detector = wired(Always(0.3, -0.2, 0.6))
    weights = decide(detector, features)[1]
    branches, bias = branch_logits(detector, features)
    np.testing.assert_allclose((weights * branches).sum(1), decide(detector, features)[0], atol=1e-5)
    expected = effects(detector, features, kind)
    np.testing.assert_allclose(effects_of_weights(branches, bias, weights, kind), expected, atol=1e-4)


def test_zeroed_branches_keep_a_bias_of_their_own():
    detector = create_detector(detector_config('multiscale_attention', fine=True, fusion='evidence')).eval()
    detector.classifier.bias.data = torch.tensor([0.5, -1.0, 2.0])
    features = np.random.default_rng(0).normal(size=(6, 3, 64)).astype(np.float32)
    weights = np.random.default_rng(1).dirichlet((1, 1, 1), 6).astype(np.float32)
    found = effects_of_weights(*branch_logits(detector, features), weights, 'zero')
    own = decide(detector, features, weights=torch.tensor(weights))[0]
    for scale in range(3):
        changed = features.copy()
        changed[:, scale] = 0
        without = decide(detector, changed, weights=torch.tensor(weights))[0]
        np.testing.assert_allclose(found[:, scale], own - without, atol=1e-5)


def test_weights_of_an_untrained_network_for_small_branches():
    detector = create_detector(detector_config('multiscale_attention', fine=True, fusion='evidence')).eval()
    features = np.random.default_rng(0).normal(size=(6, 3, 64)).astype(np.float32)
    found, branches = other_weights(detector, features, 'random', np.zeros(6)), branch_logits(detector, features)[0]
    assert found.shape == (DRAWS, 6) and np.ptp(found, axis=0).min() > 0
    assert np.all(found <= branches.max(1) + 1e-6) and np.all(found >= branches.min(1) - 1e-6)
