"""How the branches of a multi-scale detector are weighed for each image, and their classifiers."""

import torch
from torch import nn

FUSIONS = ('attention', 'evidence', 'uniform', 'constant')


class AttentionFusion(nn.Module):
    """MLP that weighs the scales of each image by the features of all.

    forward(features, logits): features (N, S, F), logits of each branch alone (N, S) -> preferences (N, S), of which
        the softmax over the scales gives the weights.
    """

    def __init__(self, scales, features=128, zero_init=False):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(features * scales, 32), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Linear(32, scales)
        )
        if zero_init:  # every scale starts with the same weight for every image
            nn.init.zeros_(self.mlp[-1].weight)
            nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, features, logits):
        return self.mlp(features.flatten(1))


class EvidenceFusion(nn.Module):
    """Weighs the scales of each image by how fake they find it, so that one scale that is sure is enough.

    The fused logit, a mean weighed by softmax, is close to the maximum where one branch is well above the others. It is
    not monotone: others that rise while they stay more than 1 below it lower it. No parameters; forward as
    AttentionFusion.
    """

    def forward(self, features, logits):
        return logits


class BranchClassifiers(nn.Module):
    """A linear classifier for each branch, whose logits are brought to one scale when training is over.

    Branches that are trained apart are not equally loud: where one scatters real images more than another, its maximum
    means less. So in evaluation mode each branch's logits are moved and stretched until real images, as training saw
    them, have the same mean and deviation in all, those of the average branch. In training mode logits are untouched.

    observe(logits, labels): keep a running mean and variance, over about the last hundred calls, of the logits (N, S)
        of real images (label 0).
    weights(): what is linear in features, (weight (S, F), bias (S)).
    """

    MEMORY = 0.99

    def __init__(self, scales, features):
        super().__init__()
        single = [nn.Linear(features, 1) for _ in range(scales)]
        self.weight = nn.Parameter(torch.cat([each.weight.detach() for each in single]))
        self.bias = nn.Parameter(torch.cat([each.bias.detach() for each in single]))
        self.register_buffer('mean', torch.zeros(scales))
        self.register_buffer('square', torch.ones(scales))  # mean of the squares; as it begins, nothing is stretched
        self.register_buffer('seen', torch.zeros(()))  # sum of the weights of what was averaged

    @torch.no_grad()
    def observe(self, logits, labels):
        real = logits.detach().float()[labels == 0]
        if len(real):
            self.seen.lerp_(torch.ones_like(self.seen), 1 - self.MEMORY)
            share = (1 - self.MEMORY) / self.seen
            self.mean.lerp_(real.mean(0), share)
            self.square.lerp_(real.square().mean(0), share)

    def weights(self):
        if self.training:
            return self.weight, self.bias
        deviation = (self.square - self.mean.square()).clamp_min(1e-12).sqrt()
        stretch = deviation.mean() / deviation
        return self.weight * stretch[:, None], self.mean.mean() + (self.bias - self.mean) * stretch


class ConstantFusion(nn.Module):
    """The same weights for every image, equal or learned ones; forward as AttentionFusion."""

    def __init__(self, scales, learned):
        super().__init__()
        self.preference = nn.Parameter(torch.zeros(scales), requires_grad=learned)

    def forward(self, features, logits):
        return self.preference.expand_as(logits)
