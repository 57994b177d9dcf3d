"""Rendered scenes with the statistics of photographs: dead leaves seen through a simulated camera.

Occluding shapes with power-law sizes reproduce the 1/f spectrum and the edges of natural images
(Lee, Mumford and Huang, IJCV 2001); lens blur, sensor noise, a Bayer mosaic and its demosaicing give
the pixels a camera's correlations.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SMALLEST_LEAF, LARGEST_LEAF = 4.0, 260.0  # radii in pixels of the rendered canvas
LEAVES_PER_MEGAPIXEL = 500, 5000


def render_scene(seed, side=1024):
    """Render one scene.

    Args:
        seed: int; the same seed gives the same pixels.
        side: height and width in pixels.
    Returns:
        (side, side, 3) uint8, sRGB-like gamma, with the noise and demosaicing traces of a camera
        (reduce it by 2 or more, as a photograph, before use).
    """
    rng = np.random.default_rng([seed, 0x5CE4E])
    return _photograph(rng, _dead_leaves(rng, side))


def _fractal_noise(rng, side=512):
    """Tileable noise with a 1/f^beta amplitude spectrum, zero mean, unit deviation; (side, side) float32."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    spectrum = frequency ** -rng.uniform(0.6, 1.8) * np.exp(2j * np.pi * rng.random(frequency.shape))
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def _leaf_mask(rng, radius):
    """A random ellipse, polygon or bar of about `radius` pixels; (h, w) float32 in [0, 1]."""
    side = int(2 * radius) + 3
    centre = side / 2
    mask = Image.new('L', (side, side))
    draw = ImageDraw.Draw(mask)
    angle = rng.uniform(0, 2 * np.pi)
    kind = rng.integers(3)
    if kind == 0:  # polygon with 3 to 7 corners
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = radius * rng.uniform(0.6, 1.0, len(corners))
    else:  # an ellipse, or a bar when only its four extreme corners are kept
        corners = np.linspace(0, 2 * np.pi, 25 if kind == 1 else 5)[:-1]
        reach = np.full(len(corners), radius)
    squeeze = rng.uniform(0.25, 1.0)
    x, y = reach * np.cos(corners), squeeze * reach * np.sin(corners)
    points = np.stack(
        [centre + x * np.cos(angle) - y * np.sin(angle), centre + x * np.sin(angle) + y * np.cos(angle)], 1
    )
    draw.polygon([tuple(point) for point in points], fill=255)
    return np.asarray(mask, np.float32) / 255


def _dead_leaves(rng, side):
    """(side, side, 3) float32 linear light in [0, 1]."""
    textures = [np.tile(_fractal_noise(rng), (3, 3)) for _ in range(4)]  # so that any part of one is a slice
    # A scene has a few muted colours, most of them dark in linear light.
    palette = np.clip(rng.beta(1.2, 2.0, (8, 1)) * rng.lognormal(0, 0.3, (8, 3)), 0, 1)
    canvas = np.broadcast_to(palette[0], (side, side, 3)).astype(np.float32)
    count = int(_log_uniform(rng, *LEAVES_PER_MEGAPIXEL) * side * side / 2**20)
    roughness = rng.uniform(0.02, 0.25)  # of the leaves' textures
    # inverse-CDF sampling of p(r) ~ r^-3
    u = rng.random(count)
    radii = (SMALLEST_LEAF**-2 + u * (LARGEST_LEAF**-2 - SMALLEST_LEAF**-2)) ** -0.5
    # The first leaves are large, so that the background is covered before the fine ones come.
    radii[:40] = np.sort(rng.uniform(60, LARGEST_LEAF, 40))[::-1]
    for radius in radii:
        mask = _leaf_mask(rng, radius)
        size = len(mask)
        top, left = rng.integers(-size // 2, side - size // 2, 2)
        rows = slice(max(top, 0), min(top + size, side))
        columns = slice(max(left, 0), min(left + size, side))
        mask = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
        grain = textures[rng.integers(len(textures))]
        shift = rng.integers(0, len(grain) // 3, 2)
        height, width = mask.shape[:2]
        grain = grain[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
        slope = rng.normal(0, 0.25, 2) / max(size, 24)
        down, right = (slope[:, None] * np.arange(max(height, width))).astype(np.float32)
        shade = 1 + down[:height, None] + right[:width] + np.float32(rng.gamma(1.2, roughness)) * grain
        colour = np.clip(palette[rng.integers(len(palette))] * rng.lognormal(0, 0.3) * rng.lognormal(0, 0.08, 3), 0, 1)
        below = canvas[rows, columns]
        leaf = colour.astype(np.float32) * shade[..., None]
        np.clip(leaf, 0, 1, out=leaf)  # in place, as all of this: most of a scene's time goes into large leaves
        leaf -= below
        leaf *= mask
        below += leaf
    return canvas


def _photograph(rng, light):
    """Lens blur, exposure, Bayer mosaic with noise, bilinear demosaicing, gamma, smooth colour, sharpening, 8 bits.

    Blur, noise and sharpening differ from camera to camera as much as in a folder of photographs, so that no
    decoder stands out by a little more or less of them.
    """
    blur = _log_uniform(rng, 0.5, 2.5)
    light = ndimage.gaussian_filter(light, (blur, blur, 0), mode='reflect')
    light = light * (rng.uniform(0.35, 0.7) / (np.quantile(light, 0.9) + 1e-3))
    height, width = light.shape[:2]
    red, green, blue = (np.zeros((height, width), np.float32) for _ in range(3))
    red[0::2, 0::2] = 1
    green[0::2, 1::2] = green[1::2, 0::2] = 1
    blue[1::2, 1::2] = 1
    mosaic = light[..., 0] * red + light[..., 1] * green + light[..., 2] * blue
    shot, read = _log_uniform(rng, 3e-5, 3e-3), _log_uniform(rng, 3e-4, 6e-3)
    mosaic = mosaic + rng.normal(size=mosaic.shape).astype(np.float32) * np.sqrt(shot * mosaic + read**2)
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
    planes = [
        ndimage.convolve(mosaic * where, kernel, mode='mirror') / ndimage.convolve(where, kernel, mode='mirror')
        for where in (red, green, blue)
    ]
    image = np.clip(np.stack(planes, 2), 0, 1) ** (1 / 2.2)
    # Cameras smooth colour noise, and JPEG halves the resolution of colour.
    brightness = image @ np.array([0.299, 0.587, 0.114], np.float32)
    spread = rng.uniform(1.0, 3.0)
    colour = ndimage.gaussian_filter(image - brightness[..., None], (spread, spread, 0), mode='reflect')
    soft = ndimage.gaussian_filter(brightness, 1.5, mode='reflect')
    brightness = brightness + rng.uniform(0, 1.2) * (brightness - soft)
    image = np.clip(brightness[..., None] + colour, 0, 1)
    return np.round(image * 255).astype(np.uint8)


def _log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
