"""A smaller copy of an image, to compare its verdict with: what content alone is worth is about alike in both."""

from torch.nn import functional as F

STEP = 8  # sides of a copy are multiples of it, as those of the images that are scored (data.transforms.GRID)


def check_scale(scale):
    """Raises ValueError unless `scale` is a number between 0 and 1, both excluded."""
    if not 0 < scale < 1:
        raise ValueError(f'copy {scale}: expected a number between 0 and 1, both excluded')


def smaller_copy(image, scale):
    """Bicubic, anti-aliased; each side is the multiple of STEP up to side * scale, at least STEP.

    Args:
        image: (N, C, H, W) float; scale: between 0 and 1, both excluded.
    Returns:
        (N, C, h, w) float32.
    """
    size = [max(STEP, int(side * scale + 1e-6) // STEP * STEP) for side in image.shape[-2:]]
    return F.interpolate(image.float(), size=size, mode='bicubic', antialias=True, align_corners=False)
