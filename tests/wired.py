"""Detectors whose attention is wired by hand, and features for them."""

import numpy as np
import torch
from torch import nn

from networks import create_detector, detector_config

SCALES = (0.25, 0.5, 0.75)


class Always(nn.Module):
    """Attention that weighs every image alike: softmax of fixed preferences."""

    def __init__(self, *preference):
        super().__init__()
        self.preference = torch.tensor(preference, dtype=torch.float32)

    def forward(self, features, logits):
        return self.preference.expand(len(features), -1)


class ByRule(nn.Module):
    """All weight to the scale whose first feature is the largest."""

    def forward(self, features, logits):
        return 50 * features[..., 0]


def wired(attention):
    """A detector with this attention, whose classifier reads the second feature."""
    detector = create_detector(detector_config('multiscale_attention', SCALES)).eval()
    detector.attention_fusion = attention
    nn.init.zeros_(detector.classifier.weight)
    nn.init.zeros_(detector.classifier.bias)
    detector.classifier.weight.data[0, 1] = 1
    return detector


def data(count=60, generators=(('t', 'a', ''), ('t', 'b', '')), seed=0, telling=None, noise=6.0):
    """(features, rows): evidence in the scale that `telling(generator number)` names for fakes, noise elsewhere."""
    rng, rows, features = np.random.default_rng(seed), [], []
    for number, (table, generator, family) in enumerate(generators):
        for i in range(count):
            label = i % 2
            each = rng.normal(0, 0.3, (3, 128)).astype(np.float32)
            scale = (telling or (lambda _: 1))(number) if label else i // 2 % 3
            each[:, 0] = 0
            each[scale, 0] = 1
            each[:, 1] += rng.normal(0, noise, 3)
            each[scale, 1] = 4 * label - 2 + rng.normal(0, 0.3)
            features.append(each)
            rows.append((table, generator, label, f'{generator}/{i}.png', family))
    return np.stack(features), rows
