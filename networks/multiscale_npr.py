"""Multi-scale attention NPR: one branch for each residual scale, weighed per image."""

import torch
from torch import nn
from torch.nn import functional as F

from networks.fusion import FUSIONS, AttentionFusion, BranchClassifiers, ConstantFusion, EvidenceFusion
from networks.npr import grids_of, residuals
from networks.resnet import FINE, BasicBlock, Trunk
from networks.single_scale import patch_logits


class MultiScaleNPR(nn.Module):
    """Residuals at several scales, a BasicBlock [2, 2] branch each, attention fusion, linear classifier.

    Args:
        npr_scales: at least two different scales in (0, 1); or, as a control, the same one several times.
        normalize_features: layer-normalise (no parameters) each branch's features, which makes the
            attention weights of different branches comparable.
        zero_init_attention: start from equal weights for all scales.
        scale_dropout: probability with which each scale is left out for an image in training; one always stays.
        fine: small branches at full resolution (networks.resnet.Trunk) with BasicBlock [1, 1] and F = 64 features
            instead of 128.
        fusion: 'attention' (an MLP), 'evidence' (EvidenceFusion; every branch has a classifier of its own, to be
            trained apart), or a control: 'uniform' weighs all branches alike, 'constant' learns weights that are the
            same for every image.
        grids: 1 or 2 residuals (networks.npr.npr_residual), one number for all branches or one for each.
    Attributes:
        has_attention: whether weights differ between images and scales, so that there is something to tell of them.
        apart: whether every branch is to be trained alone, by the loss of its own logits.
    forward(image): (N, 3, H, W), ImageNet-normalised -> (N, 1) logits, > 0 = fake.
    forward(image, return_attention=True): also weights (N, S), rows sum to 1.
    forward(image, return_branches=True): logits, weights and (N, S) logits of each branch on its own; classifiers are
        linear, so the weighted sum of features has the weighted mean of the branches' logits as its logit.
    forward(image, return_patches=True): (N, S, h, w) logits of every position of the branches' maps, of which the
        branches' logits are the means of fusion 'evidence' without normalize_features.
    Raises:
        ValueError: fewer than two scales, scales of which some are equal and some are not, an unknown fusion, other
            grids; patches of other detectors than those named.
    """

    has_branches = True

    @staticmethod
    def check_scales(npr_scales):
        if len(npr_scales) < 2 or len(set(npr_scales)) not in (1, len(npr_scales)):
            raise ValueError(
                'multiscale_attention takes two or more different NPR scales (or, as a control, one several times), '
                f'found {tuple(npr_scales)}'
            )

    def __init__(
        self,
        npr_scales=(0.25, 0.5, 0.75),
        normalize_features=False,
        zero_init_attention=False,
        scale_dropout=0.0,
        fine=False,
        fusion='attention',
        grids=1,
    ):
        self.check_scales(npr_scales)
        if fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {fusion!r}; known: {", ".join(FUSIONS)}')
        super().__init__()
        self.npr_scales, self.grids = tuple(npr_scales), grids_of(grids, npr_scales)
        self.normalize_features = normalize_features
        self.scale_dropout = scale_dropout
        self.feature_branches = nn.ModuleList(
            Trunk(*FINE if fine else (BasicBlock, (2, 2)), in_channels=3 * own) for own in self.grids
        )
        width = self.feature_branches[0].channels
        self.has_attention = fusion in ('attention', 'evidence') and len(set(npr_scales)) > 1
        if fusion == 'attention':
            self.attention_fusion = AttentionFusion(len(npr_scales), width, zero_init_attention)
        elif fusion == 'evidence':
            self.attention_fusion = EvidenceFusion()
        else:
            self.attention_fusion = ConstantFusion(len(npr_scales), learned=fusion == 'constant')
        self.apart = fusion == 'evidence'
        self.classifier = BranchClassifiers(len(npr_scales), width) if self.apart else nn.Linear(width, 1)

    def forward(self, image, return_attention=False, return_branches=False, return_patches=False):
        if return_patches:
            if not self.apart or self.normalize_features:
                raise ValueError('only branches that are trained apart, without normalize_features, judge by position')
            branches = zip(residuals(image, self), self.feature_branches, *self.branch_classifiers(), strict=True)
            return torch.stack([patch_logits(b.maps(residual), w, bias) for residual, b, w, bias in branches], 1)
        features = self.features(residuals(image, self))
        with torch.autocast(features.device.type, enabled=False):  # bf16 logits would tie: they have 8 bits
            logits, weights = self.decide(features, self._draw_kept(features))
            if return_branches:
                return logits, weights, self.classify(features)
        return (logits, weights) if return_attention else logits

    def features(self, residuals):
        """`networks.npr.residuals`, S of (N, 3 * grids, H, W) -> (N, S, F) float32, normalised if that is on."""
        pairs = zip(residuals, self.feature_branches, strict=True)
        features = torch.stack([branch(residual) for residual, branch in pairs], dim=1)
        with torch.autocast(features.device.type, enabled=False):
            return F.layer_norm(features, features.shape[-1:]) if self.normalize_features else features

    def classify(self, features):
        """Features (N, S, F) -> (N, S) logits of each branch on its own."""
        weight, bias = self.branch_classifiers()
        return torch.einsum('nsf,sf->ns', features, weight) + bias

    def branch_classifiers(self):
        """(weight (S, F), bias (S)) of the branches' linear classifiers; all alike, unless trained apart."""
        if self.apart:
            return self.classifier.weights()
        scales = len(self.npr_scales)
        return self.classifier.weight.expand(scales, -1), self.classifier.bias.expand(scales)

    def decide(self, features, keep=None, weights=None):
        """Features (N, S, F) -> logits (N, 1) and weights (N, S).

        Args:
            keep: (N, S) bool, the scales that attention may choose from; None: all.
            weights: use these instead of attention's.
        """
        logits = self.classify(features)
        if weights is None:
            preferences = self.attention_fusion(features, logits)
            if keep is not None:
                preferences = preferences.masked_fill(~keep, -torch.inf)
            weights = preferences.softmax(1)
        return (weights * logits).sum(1, keepdim=True), weights

    def _draw_kept(self, features):
        """(N, S) bool: the scales that scale dropout leaves in, or None outside training."""
        if not self.training or self.scale_dropout == 0:
            return None
        draw = torch.rand(features.shape[:2], device=features.device)
        # The scale with the largest draw always stays.
        return (draw >= self.scale_dropout) | (draw == draw.amax(1, keepdim=True))
