"""Where in an image a detector finds its evidence: class activation maps, and occlusion as a check.

Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, arXiv:1512.04150. All detectors
here end in a mean over positions and a linear layer, so the maps are exact: their mean is the logit. Where an image is
compared with its smaller copy, the copy's map is enlarged to the image's, and keeps its mean.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from networks.copies import smaller_copy
from networks.npr import residuals


@dataclass(frozen=True)
class ActivationMaps:
    """For N images and S scales; map values are logits per position, > 0 speaks for fake.

    logits: (N,). weights: (N, S), ones for a single scale. branches: (N, S, h, w), a mean is the logit of that branch
    alone; one position stands for 8 x 8 pixels (4 x 4 if fine). fused: (N, h, w), branches weighed as attention does.
    With a copy S is 2, the image and its copy, with the weights (which may be negative) and the bias that join them.
    """

    logits: torch.Tensor
    weights: torch.Tensor
    branches: torch.Tensor
    fused: torch.Tensor


def _decide(detector, features):
    """Features (N, S, F) to logits (N,) and weights (N, S)."""
    if detector.has_branches:
        logits, weights = detector.decide(features)
        return logits.squeeze(1), weights
    return detector.fc1(features[:, 0]).squeeze(1), features.new_ones(len(features), 1)


def cell_size(detector):
    """Side in pixels of what one position of an activation map stands for."""
    return (detector.feature_branches[0] if detector.has_branches else detector).cell


def names_of(detector):
    """What the `branches` of a detector's maps are, one str for each."""
    scales = [f'{scale:g}' for scale in detector.npr_scales]
    return [scales[0], f'copy at {detector.copy:g}'] if getattr(detector, 'copy', None) else scales


@torch.inference_mode()
def activation_maps(detector, images):
    """ActivationMaps of images (N, 3, H, W), ImageNet-normalised, for a detector in evaluation mode."""
    own = _maps(detector, images)
    if not getattr(detector, 'copy', None):
        return own
    copy = _maps(detector, smaller_copy(images, detector.copy))
    enlarged = F.interpolate(copy.branches, size=own.branches.shape[-2:], mode='bilinear')
    enlarged = enlarged + (copy.logits[:, None] - enlarged.mean((2, 3)))[..., None, None]
    both, weights = torch.cat([own.branches, enlarged], 1), detector.join.weight.expand(len(images), -1)
    logits = detector.join(torch.stack([own.logits, copy.logits], 1)).squeeze(1)
    return ActivationMaps(logits, weights, both, torch.einsum('ns,nshw->nhw', weights, both) + detector.join.bias)


def _maps(detector, images):
    """ActivationMaps of the images alone."""
    trunks = detector.feature_branches if detector.has_branches else [detector]
    weight, bias = detector.branch_classifiers() if detector.has_branches else (detector.fc1.weight, detector.fc1.bias)
    pairs = zip(trunks, residuals(images, detector), strict=True)
    maps = torch.stack([trunk.maps(residual).float() for trunk, residual in pairs], dim=1)
    features = maps.mean((3, 4))
    if getattr(detector, 'normalize_features', False):
        # Layer normalisation of a mean is the mean of maps that were moved and divided alike.
        centre = features.mean(2, keepdim=True)
        spread = (features.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
        maps, features = (
            (each - shift) / scale
            for each, shift, scale in (
                (maps, centre[..., None, None], spread[..., None, None]),
                (features, centre, spread),
            )
        )
    logits, weights = _decide(detector, features)
    branches = torch.einsum('sf,nsfhw->nshw', weight, maps) + bias[:, None, None]
    return ActivationMaps(logits, weights, branches, torch.einsum('ns,nshw->nhw', weights, branches))


@torch.inference_mode()
def occlusion(detector, image, window=32):
    """How much each part of an image adds to the logit: the logit minus that without residuals in one window.

    Residuals are set to zero, not pixels: the edge of a grey patch would be a residual itself.

    Args:
        image: (3, H, W), ImageNet-normalised; window: side in pixels; windows do not overlap, the last may be smaller.
    Returns:
        (ceil(H / window), ceil(W / window)) tensor.
    """
    copied = getattr(detector, 'copy', None)
    views = [image[None], smaller_copy(image[None], copied)] if copied else [image[None]]
    intact = [list(residuals(view, detector)) for view in views]

    def logit(of_views):
        found = []
        for parts in of_views:
            features = detector.features(parts) if detector.has_branches else detector.features(parts[0])[:, None]
            found.append(_decide(detector, features)[0])
        return detector.join(torch.stack(found, 1)).squeeze(1) if copied else found[0]

    whole, rows = logit(intact), []
    height, width = image.shape[-2:]
    for top in range(0, height, window):
        row = []
        for left in range(0, width, window):
            without = [[residual.clone() for residual in parts] for parts in intact]
            for view, parts in zip(views, without, strict=True):
                tall, wide = (own / side for own, side in zip(view.shape[-2:], (height, width), strict=True))
                place = [round(edge * tall) for edge in (top, top + window)]
                place += [round(edge * wide) for edge in (left, left + window)]
                for part in parts:
                    part[..., place[0] : place[1], place[2] : place[3]] = 0
            row.append(whole - logit(without))
        rows.append(torch.cat(row))
    return torch.stack(rows)
