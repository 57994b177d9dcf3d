"""Fold batch normalisation into the convolutions in front of it, for scoring."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(detector):
    """A copy of a detector in evaluation mode without batch-norm layers; the same function, less memory traffic.

    Every `convN` is fused with the `bnN` beside it, and a two-layer shortcut (convolution, norm) likewise.
    Logits agree with the original to rounding (about 1e-6 in fp32).
    """
    folded = copy.deepcopy(detector).eval()
    for module in folded.modules():
        pairs = [(f'conv{i}', f'bn{i}') for i in (1, 2, 3)] if hasattr(module, 'bn1') else []
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            pairs = [('0', '1')]
        for convolution, norm in pairs:
            if hasattr(module, norm):
                setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return folded
