"""Residuals against plain loops and the paper's own expression."""

import numpy as np
import pytest
import torch

from networks import DETECTORS, create_detector, detector_config, npr_residual


def residual_by_loops(image, scale):
    """Nearest down and up by definition: pixel i of n small ones shows the large pixel floor(i * N / n)."""
    _, height, width = image.shape
    small_h, small_w = max(1, int(height * scale + 1e-6)), max(1, int(width * scale + 1e-6))
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            kept_y = y * small_h // height * height // small_h
            kept_x = x * small_w // width * width // small_w
            result[:, y, x] = image[:, y, x] - image[:, kept_y, kept_x]
    return result


@pytest.mark.parametrize('scale', [0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.75, 0.8, 0.99])
@pytest.mark.parametrize('size', [(1, 1), (2, 3), (17, 12), (32, 32), (37, 41)])
def test_residual_equals_loops(size, scale):
    image = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    assert np.array_equal(
        npr_residual(torch.from_numpy(image)[None], scale)[0].numpy(), residual_by_loops(image, scale)
    )


@pytest.mark.parametrize('scale, back', [(0.5, 2), (0.25, 4), (0.75, 4 / 3)])
def test_residual_equals_the_papers_code_on_multiples_of_four(scale, back):
    from torch.nn.functional import interpolate

    image = torch.randn(2, 3, 224, 224)
    small = interpolate(image, scale_factor=scale, mode='nearest', recompute_scale_factor=True)
    assert torch.equal(
        npr_residual(image, scale),
        image - interpolate(small, scale_factor=back, mode='nearest', recompute_scale_factor=True),
    )


def test_residual_of_a_nearest_doubled_image_depends_on_phase():
    doubled = torch.randn(1, 3, 16, 16).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert npr_residual(doubled, 0.5).abs().max() == 0
    assert npr_residual(doubled[..., 1:-1, 1:-1], 0.5).abs().mean() > 0.3


@pytest.mark.parametrize('scale, half', [(0.5, 1), (0.25, 2), (0.75, 1), (0.2, 2), (0.4, 1), (0.125, 4)])
@pytest.mark.parametrize('size', [(1, 9), (2, 3), (32, 32), (17, 12), (37, 41)])
def test_the_second_grid_lies_half_a_block_away(size, scale, half):
    image = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    found = npr_residual(torch.from_numpy(image)[None], scale, grids=2)[0].numpy()
    assert np.array_equal(found[:3], residual_by_loops(image, scale))
    moved = np.full((3, size[0] + half, size[1] + half), np.nan, np.float32)
    moved[:, : size[0], : size[1]] = image
    expected = residual_by_loops(moved[:, half:, half:], scale)[:, : size[0], : size[1]]
    kept = slice(None), slice(max(0, size[0] - half)), slice(max(0, size[1] - half))
    assert np.array_equal(found[3:, half:, half:], expected[kept])
    assert not found[3:, :half].any() and not found[3:, :, :half].any()


def test_two_grids_see_a_nearest_doubled_image_at_every_phase():
    doubled = torch.randn(1, 3, 16, 16).repeat_interleave(2, 2).repeat_interleave(2, 3)
    for phase in (0, 1):
        own = slice(phase, phase + 30)
        first, second = npr_residual(doubled[..., own, own], 0.5, grids=2).abs().chunk(2, 1)
        blind, seeing = (second, first) if phase else (first, second)
        assert blind[..., 2:-2, 2:-2].max() == 0 and seeing.mean() > 0.3


def test_other_numbers_of_grids_are_refused():
    with pytest.raises(ValueError, match='NPR grids 3: expected 1 or 2'):
        npr_residual(torch.zeros(1, 3, 8, 8), 0.5, grids=3)
    for model_type in DETECTORS:
        for wrong in (3, (1, 2, 1, 2)):
            with pytest.raises(ValueError, match=r'NPR grids .* for each of [13] scales'):
                detector_config(model_type, grids=wrong)
            with pytest.raises(ValueError, match=r'NPR grids .* for each of [13] scales'):
                create_detector({**detector_config(model_type), 'grids': wrong})


def test_rounding_of_a_product_takes_no_pixel_away():
    assert 100 * 0.29 < 29
    image = torch.randn(1, 1, 100, 100)
    small = torch.nn.functional.interpolate(image, size=(29, 29), mode='nearest')
    back = torch.nn.functional.interpolate(small, size=(100, 100), mode='nearest')
    assert torch.equal(npr_residual(image, 0.29), image - back)


@pytest.mark.parametrize('scale', [0, 1, -0.5, 1.5])
def test_residual_refuses_scales_outside_zero_and_one(scale):
    with pytest.raises(ValueError, match='between 0 and 1'):
        npr_residual(torch.zeros(1, 3, 8, 8), scale)
