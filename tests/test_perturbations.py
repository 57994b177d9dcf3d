"""Perturbations: what they do, that they repeat, that their sizes are known beforehand."""

import io

import numpy as np
import pytest
from PIL import Image

from data.images import BadImages
from data.listing import list_samples
from data.loop import over_images
from data.perturbations import PERTURBATIONS, Perturbation, parse
from data.transforms import ScoreTransform
from tests.conftest import make_labelled
from util.machine import Processes

ALL = [Perturbation(kind, level) for kind, facts in PERTURBATIONS.items() for level in facts.levels]


@pytest.fixture(scope='module')
def image():
    rows, columns = np.mgrid[:61, :83]
    pixels = np.stack([rows * 4, columns * 3, (rows * columns) % 256], -1) + np.random.default_rng(0).normal(
        0, 9, (61, 83, 3)
    )
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize('perturbation', ALL, ids=str)
def test_size_is_known_and_the_result_repeats(image, perturbation):
    found = perturbation(image, np.random.default_rng(3))
    assert found.size == perturbation.size(*image.size) and found.mode == 'RGB'
    assert found.tobytes() == perturbation(image, np.random.default_rng(3)).tobytes()
    if found.size == image.size:
        assert found.tobytes() != image.tobytes()


@pytest.mark.parametrize('kind', ['jpeg', 'webp', 'blur', 'noise'])
def test_levels_go_from_mild_to_strong(image, kind):
    def change(level):
        found = Perturbation(kind, level)(image, np.random.default_rng(0))
        back = np.asarray(found.resize(image.size, Image.Resampling.BILINEAR), float)
        return np.abs(back - np.asarray(image, float)).mean()

    changes = [change(level) for level in PERTURBATIONS[kind].levels]
    assert changes == sorted(changes) and changes[0] < changes[-1]


def test_kinds_and_single_levels_are_known_by_the_names_of_conditions():
    assert [each for kind in PERTURBATIONS for each in parse(kind)] == ALL
    assert all(parse(str(each)) == [each] for each in ALL)
    assert parse('resize_0.9') == [Perturbation('resize', 0.9)]
    for wrong in ('crop', 'resize_', 'resize_big', 'resize_0', 'resize_nan', 'jpeg_101', 'jpeg_75.5', 'shift_8', ''):
        with pytest.raises(ValueError, match=f'^{wrong}: expected'):
            parse(wrong)


def test_what_single_perturbations_do(image):
    pixels = np.asarray(image)
    assert np.array_equal(np.asarray(Perturbation('shift', 2)(image, None)), pixels[2:-6, 2:-6])
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=75)
    assert np.array_equal(np.asarray(Perturbation('jpeg', 75)(image, None)), np.asarray(Image.open(buffer)))
    noisy = np.asarray(
        Perturbation('noise', 5)(Image.new('RGB', (200, 200), (128, 128, 128)), np.random.default_rng(0))
    )
    assert noisy.std() == pytest.approx(5, rel=0.02) and noisy.mean() == pytest.approx(128, abs=0.1)


def test_what_is_too_small_is_named(image):
    assert Perturbation('shift', 1)(image.crop((0, 0, 9, 16)), None).size == (1, 8)
    with pytest.raises(ValueError, match='8 x 16 pixels are too few to be shifted'):
        Perturbation('shift', 1)(image.crop((0, 0, 8, 16)), None)


def test_noise_belongs_to_the_file_and_not_to_its_place_in_the_list(tmp_path):
    make_labelled(tmp_path, 4)

    def scores(samples):
        return over_images(
            lambda images: (images.std((1, 2, 3)), None),
            samples,
            ScoreTransform(None, None, Perturbation('noise', 20)),
            3,
            0,
            BadImages('stop'),
            Processes(),
            '',
        )[1]

    samples = list_samples(tmp_path)
    every, last = scores(samples), scores(samples[5:])
    np.testing.assert_allclose(every[5:], last, rtol=1e-6)
    flat = Image.new('RGB', (16, 16), (128, 128, 128))
    for sample in samples:
        flat.save(sample.path)
    assert len(set(scores(samples)[:4].tolist())) == 4  # not the same noise in each
