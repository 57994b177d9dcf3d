"""The residual that all detectors here look at."""

from torch.nn import functional as F


def npr_residual(image, scale):
    """Neighboring Pixel Relationships: what a nearest-neighbour round trip loses.

    The small copy has floor(side * scale) pixels a side (at least 1) and is brought back to the exact
    input size, so every size and every scale works. Which pixel of a block is kept is torch's choice
    (`interpolate(mode='nearest')`, floor in single precision).

    Args:
        image: (N, C, H, W) float, any H, W >= 1.
        scale: side ratio of the small copy, 0 < scale < 1; 0.5 halves each side.
    Returns:
        (N, C, H, W), zero where a pixel is the one kept for its block.
    Raises:
        ValueError: scale outside (0, 1).
    Source: Tan et al., CVPR 2024, arXiv:2312.10461, Eq. 4, at 0.5; other scales are this project's.
    """
    if not 0 < scale < 1:
        raise ValueError(f'NPR scale {scale}: expected a number between 0 and 1, both excluded')
    height, width = image.shape[-2:]
    # The epsilon keeps floor(320 * 0.7) at 224 although 320 * 0.7 is 223.99999999999997 in floating point.
    small = [max(1, int(side * scale + 1e-6)) for side in (height, width)]
    round_trip = F.interpolate(F.interpolate(image, size=small, mode='nearest'), size=(height, width), mode='nearest')
    return image - round_trip
