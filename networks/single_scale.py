"""The NPR baseline of Tan et al., CVPR 2024 (arXiv:2312.10461)."""

import torch
from torch import nn

from networks.copies import check_scale, smaller_copy
from networks.npr import grids_of, residuals
from networks.resnet import FINE, Bottleneck, Trunk


class SingleScaleNPR(Trunk):
    """One residual, Bottleneck stages of 3 and 4 blocks, one linear layer; 1,437,761 parameters.

    Parameter names are those of the authors' network, so that their NPR.pth loads.

    Args:
        npr_scales: exactly one scale in (0, 1); the paper's is 0.5.
        fine: this project's small trunk at full resolution (networks.resnet.Trunk) with BasicBlock [1, 1].
        grids: 1, or 2 residuals (networks.npr.npr_residual).
        copy: None, or the scale of a smaller copy of the image, between 0 and 1: the logit is then a linear function,
            `join`, of the image's and of its copy's, by the same weights. A fresh one is the image's alone;
            join_copy.py fits it on validation images.
    forward(image): (N, 3, H, W), ImageNet-normalised -> (N, 1) logits, > 0 = fake.
    forward(image, return_patches=True): (N, 1, h, w) logits of every position of `maps`, of which that is the mean
        (the image's own, without its copy).
    Raises:
        ValueError: not exactly one scale, other grids, or a copy that is not smaller.
    """

    has_branches = has_attention = False

    @staticmethod
    def check_scales(npr_scales):
        if len(npr_scales) != 1:
            raise ValueError(f'single_scale takes one NPR scale, found {len(npr_scales)}: {tuple(npr_scales)}')

    def __init__(self, npr_scales=(0.5,), fine=False, grids=1, copy=None):
        self.check_scales(npr_scales)
        (own,) = grids_of(grids, npr_scales)
        super().__init__(*FINE if fine else (Bottleneck, (3, 4)), in_channels=3 * own)
        self.npr_scales, self.grids = tuple(npr_scales), (own,)
        self.fc1 = nn.Linear(self.channels, 1)
        self.copy = copy
        if copy is not None:
            check_scale(copy)
            self.join = nn.Linear(2, 1)
            with torch.no_grad():
                self.join.weight.copy_(torch.tensor([[1.0, 0.0]]))
                self.join.bias.zero_()

    def forward(self, image, return_patches=False):
        if return_patches:
            (residual,) = residuals(image, self)
            return patch_logits(self.maps(residual), self.fc1.weight[0], self.fc1.bias[0])[:, None]
        logits = self._logits(image)
        if self.copy is None:
            return logits
        both = torch.cat([logits, self._logits(smaller_copy(image, self.copy))], 1)
        with torch.autocast(image.device.type, enabled=False):
            return self.join(both)

    def _logits(self, image):
        (residual,) = residuals(image, self)
        features = self.features(residual)
        with torch.autocast(features.device.type, enabled=False):  # bf16 logits would tie: they have 8 bits
            return self.fc1(features)


def patch_logits(maps, weight, bias):
    """Logits of every position by itself: (N, F, h, w), (F,), () -> (N, h, w) float32."""
    with torch.autocast(maps.device.type, enabled=False):
        return torch.einsum('nfhw,f->nhw', maps.float(), weight) + bias
