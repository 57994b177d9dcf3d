"""The residuals that all detectors here look at."""

import torch
from torch.nn import functional as F

GRIDS = (1, 2)
RESIDUAL_GAIN = 2 / 3  # the published detector multiplies the residual by 2/3 in front of its stem


def grids_of(grids, npr_scales):
    """Number of grids of every branch: (S,) from one number for all, or from one for each.

    Raises:
        ValueError: numbers that are not in GRIDS, or more or fewer than there are scales.
    """
    each = tuple(grids) if isinstance(grids, list | tuple) else (grids,) * len(npr_scales)
    if not set(each) <= set(GRIDS) or len(each) != len(npr_scales):
        raise ValueError(
            f'NPR grids {grids}: expected {" or ".join(map(str, GRIDS))} for each of {len(npr_scales)} scales'
        )
    return each


def npr_residual(image, scale, grids=1):
    """Neighboring Pixel Relationships: what a nearest-neighbour round trip loses.

    The small copy has floor(side * scale) pixels a side (at least 1) and is brought back to the exact
    input size, so every size and every scale works. Which pixel of a block is kept is torch's choice
    (`interpolate(mode='nearest')`, floor in single precision).

    Args:
        image: (N, C, H, W) float, any H, W >= 1.
        scale: side ratio of the small copy, 0 < scale < 1; 0.5 halves each side.
        grids: 2 adds the residual whose grid of blocks lies max(1, round(0.5 / scale)) pixels, about half a block,
            further down and to the right: what differs between two blocks of the first, which that cannot see, lies
            within a block of the second.
    Returns:
        (N, grids * C, H, W), zero where a pixel is the one kept for its block, and in front of the second grid.
    Raises:
        ValueError: scale outside (0, 1), or other grids.
    Source: Tan et al., CVPR 2024, arXiv:2312.10461, Eq. 4, at 0.5; other scales and the second grid are this project's.
    """
    if not 0 < scale < 1:
        raise ValueError(f'NPR scale {scale}: expected a number between 0 and 1, both excluded')
    (grids,) = grids_of(grids, (scale,))
    if grids == 2:
        return torch.cat([npr_residual(image, scale), _on_second_grid(image, scale)], 1)
    height, width = image.shape[-2:]
    # The epsilon keeps floor(100 * 0.29) at 29 although 100 * 0.29 is 28.999999999999996 in floating point.
    small = [max(1, int(side * scale + 1e-6)) for side in (height, width)]
    round_trip = F.interpolate(F.interpolate(image, size=small, mode='nearest'), size=(height, width), mode='nearest')
    return image - round_trip


def _on_second_grid(image, scale):
    height, width = image.shape[-2:]
    half = max(1, round(0.5 / scale))
    rest = image[..., half:, half:]
    padding = width - rest.shape[-1], height - rest.shape[-2]
    moved = F.pad(rest, (0, padding[0], 0, padding[1]))  # of the old size, so that blocks are; no zero gets out again
    return F.pad(npr_residual(moved, scale), (half, 0, half, 0))[..., :height, :width]


def residuals(image, detector):
    """What the branches of a detector look at, one (N, 3 * grids, H, W) after the other, of images (N, 3, H, W)."""
    branches = zip(detector.npr_scales, detector.grids, strict=True)
    return (npr_residual(image, scale, grids) * RESIDUAL_GAIN for scale, grids in branches)
