"""What a multi-scale detector would have said with other features or other attention weights.

Everything follows from the features of the branches, so one pass over the images is enough for all interventions.
"""

import numpy as np
import torch

from networks.fusion import AttentionFusion

KINDS = ('drop', 'zero', 'mean')
REPLACED = ('set_mean', 'shuffled', 'uniform', 'random')
DRAWS = 5  # of the replacements that are random


@torch.inference_mode()
def decide(detector, features, **options):
    """Features (n, S, F) to float64 logits (n,) and weights (n, S); options as `detector.decide`."""
    logits, weights = detector.decide(torch.as_tensor(features), **options)
    return logits[:, 0].double().numpy(), weights.double().numpy()


@torch.inference_mode()
def without_branch(detector, features, kind, scale):
    """Logits (n,) without what one branch contributes.

    Args:
        kind: 'drop' takes the scale out of the attention, whose other weights grow to sum to 1 again; 'zero' and 'mean'
            put zeros or the mean feature over all n images in its place, before attention looks at it.
        scale: number of the branch.
    """
    features = torch.as_tensor(features)
    if kind == 'drop':
        keep = torch.ones(features.shape[:2], dtype=torch.bool)
        keep[:, scale] = False
        return decide(detector, features, keep=keep)[0]
    changed = features.clone()
    changed[:, scale] = 0 if kind == 'zero' else features[:, scale].mean(0)
    return decide(detector, changed)[0]


@torch.inference_mode()
def other_weights(detector, features, kind, groups, seed=0):
    """Logits (draws, n) with other attention weights.

    Args:
        kind: 'uniform'; 'set_mean', the mean over all images for each; 'shuffled', those of another image of the same
            group; 'random', those of an attention network that was never trained. The last two are drawn DRAWS times.
        groups: (n,) integers, as the generator of each image.
    """
    features = torch.as_tensor(features)
    count, scales = features.shape[:2]
    own = detector.decide(features)[1]
    if kind in ('uniform', 'set_mean'):
        row = torch.full((scales,), 1 / scales) if kind == 'uniform' else own.mean(0)
        return decide(detector, features, weights=row.expand(count, scales))[0][None]
    rows = []
    for draw in range(DRAWS):
        if kind == 'shuffled':
            weights = own[shuffled_within(groups, np.random.default_rng([seed, draw]))]
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1000 * seed + draw)
                network = AttentionFusion(scales, features.shape[2]).eval()
            weights = network(features, None).softmax(1)
        rows.append(decide(detector, features, weights=weights)[0])
    return np.stack(rows)


def shuffled_within(groups, rng):
    """For each image the place of another of its group (itself where it is alone); groups: (n,)."""
    places = np.arange(len(groups))
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        order = rng.permutation(own)
        places[order] = np.roll(order, 1)
    return places


def effects(detector, features, kind):
    """(n, S): how much each branch moves the logit, the logit minus that without it."""
    own = decide(detector, features)[0]
    scales = features.shape[1]
    return np.stack([own - without_branch(detector, features, kind, scale) for scale in range(scales)], axis=1)


@torch.inference_mode()
def branch_logits(detector, features):
    """(logits (n, S) of each branch alone, bias (S) of its classifier), float64; their weighed sum is the logit."""
    logits, (_, bias) = detector.classify(torch.as_tensor(features)), detector.branch_classifiers()
    return logits.double().numpy(), bias.detach().double().numpy()


def effects_of_weights(branches, bias, weights, kind):
    """(n, S): how much each branch moves the logit of a detector with fixed weights.

    Args:
        branches, bias: from `branch_logits`; weights: (n, S), any, rows sum to 1.
        kind: 'drop': the other weights grow to sum to 1 (equal ones if they were all 0); 'zero': the branch's features
            become zero; 'mean': their mean over the images.
    """
    if kind == 'zero':
        return weights * (branches - bias)
    if kind == 'mean':
        return weights * (branches - branches.mean(0))
    logit, found = (weights * branches).sum(1), np.empty_like(branches)
    for scale in range(branches.shape[1]):
        others = np.delete(weights, scale, axis=1)
        left = others.sum(1, keepdims=True)
        others = np.where(left > 1e-9, others / np.maximum(left, 1e-9), 1 / others.shape[1])
        found[:, scale] = logit - (others * np.delete(branches, scale, axis=1)).sum(1)
    return found
