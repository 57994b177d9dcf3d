"""Reading, transforms, batches."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2.functional import pil_to_tensor

from data.datasets import ScoreBatches, TrainBatches, make_loader, tensor_sizes
from data.images import BadImage, BadImages, load_rgb
from data.listing import list_samples
from data.loop import over_images
from data.transforms import IMAGENET_MEAN, IMAGENET_STD, Augmentation, ScoreTransform, TrainTransform, normalise
from networks import create_detector, detector_config
from tests.conftest import make_image, make_labelled
from util.errors import UserError
from util.machine import Processes

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))


# -- reading ---------------------------------------------------------------------------------------------------------


def test_unusual_modes_become_rgb_without_clipping(tmp_path):
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / 'grey16.png')
    assert np.array_equal(np.asarray(load_rgb(tmp_path / 'grey16.png'))[..., 0], (ramp.astype(int) * 255 // 65535))
    for mode, suffix in (('P', 'png'), ('RGBA', 'png'), ('LA', 'png'), ('CMYK', 'jpg'), ('1', 'png')):
        PHOTO.convert(mode).save(tmp_path / f'{mode}.{suffix}')
        image = load_rgb(tmp_path / f'{mode}.{suffix}')
        assert image.mode == 'RGB' and image.size == PHOTO.size


def broken_files(folder):
    buffer = io.BytesIO()
    PHOTO.save(buffer, 'JPEG')
    contents = {'text.png': b'not an image', 'empty.png': b'', 'truncated.jpg': buffer.getvalue()[:-600]}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    Image.new('1', (20_000, 20_000)).save(folder / 'bomb.png')
    return {'text.png': 'cannot be decoded', 'empty.png': '0 bytes', 'truncated.jpg': 'truncated', 'bomb.png': 'bomb'}


def test_broken_files_are_named_with_their_fault(tmp_path):
    for name, fault in broken_files(tmp_path).items():
        with pytest.raises(BadImage, match=rf'{name}: .*{fault}'):
            load_rgb(tmp_path / name)


def test_bad_images_stop_or_are_counted(tmp_path):
    make_labelled(tmp_path, 3)
    (tmp_path / '1_fake' / '1.png').write_bytes(b'junk')
    samples = list_samples(tmp_path)
    arguments = (samples, ScoreTransform(None, None), 2, 0)

    def mean(images):
        return images.mean((1, 2, 3)), None

    with pytest.raises(UserError, match=r'1_fake/1\.png: cannot be decoded.*\n.*--on_bad_image skip'):
        over_images(mean, *arguments, BadImages('stop'), Processes(), '')
    bad = BadImages('skip')
    indices, logits, _ = over_images(mean, *arguments, bad, Processes(), '')
    assert indices.tolist() == [0, 1, 2, 3, 5]
    expected = [normalise(pil_to_tensor(load_rgb(samples[i].path))).mean() for i in indices]
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert bad.summary().startswith('1 bad images left out:') and '1_fake/1.png' in bad.summary()


# -- transforms ------------------------------------------------------------------------------------------------------


def test_paper_mode_equals_torchvision():
    reference = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.CenterCrop(56),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    torch.testing.assert_close(normalise(ScoreTransform(64, 56)(PHOTO)), reference(PHOTO))


@pytest.mark.parametrize(
    'width, height, crop, box',
    [
        (90, 70, 50, (16, 8, 64, 56)),
        (50, 50, 51, (0, 0, 48, 48)),
        (40, 90, 50, (0, 16, 40, 64)),
        (47, 49, 50, (0, 0, 40, 48)),
        (47, 7, None, (0, 0, 40, 7)),
    ],
)
def test_native_crop_keeps_to_multiples_of_eight_and_never_pads(width, height, crop, box):
    transform = ScoreTransform(None, crop)
    assert transform.box(width, height) == box
    assert transform(PHOTO.resize((width, height))).shape[1:] == transform.size(width, height)


def test_what_a_detector_says_does_not_depend_on_an_odd_row_and_column():
    """Residuals of odd sides have another grid: a detector that was trained on even ones takes it for a fake's."""
    torch.manual_seed(0)
    detector = create_detector(detector_config('single_scale', fine=True)).eval()
    pixels = PHOTO.resize((135, 135))

    def logit(transform, side):
        return detector(normalise(transform(pixels.crop((0, 0, side, side)))[None])).item()

    assert len({logit(ScoreTransform(None, 224), side) for side in (128, 129, 135)}) == 1
    assert abs(logit(pil_to_tensor, 128) - logit(pil_to_tensor, 129)) > 0.01  # so it matters


def test_transforms_that_see_other_pixels_have_other_texts():
    """Scores are kept under the text: those of another rule must not be taken for these."""
    new, old = ScoreTransform(None, 224), ScoreTransform(None, 224, grid=1)
    assert new.box(135, 300) != old.box(135, 300) and str({'table': new}) != str({'table': old})


def test_training_crops_take_every_phase_and_flips_half():
    image = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).convert('RGB')
    transform = TrainTransform(None, 8)
    plain = {pil_to_tensor(image.crop((x, y, x + 8, y + 8))).numpy().tobytes() for x in range(3) for y in range(3)}
    seen = [transform(image, np.random.default_rng(seed)) for seed in range(200)]
    unflipped = [crop for crop in seen if crop.numpy().tobytes() in plain]
    assert {crop.numpy().tobytes() for crop in unflipped} == plain
    assert 70 < len(unflipped) < 130
    assert all(crop.flip(2).numpy().tobytes() in plain for crop in seen if crop.numpy().tobytes() not in plain)


def test_whole_native_images_are_trained_on_as_they_are_scored():
    image = Image.effect_noise((45, 31), 60).convert('RGB')
    seen = TrainTransform(None, None, flip=False)(image, np.random.default_rng(0))
    assert seen.shape == (3, 24, 40) == ScoreTransform(None, None)(image).shape
    assert torch.equal(seen, pil_to_tensor(image)[:, :24, :40])
    assert TrainTransform(33, None)(image, np.random.default_rng(0)).shape == (3, 33, 33)  # resized: as asked
    small = Image.effect_noise((7, 9), 60).convert('RGB')
    assert TrainTransform(None, None)(small, np.random.default_rng(0)).shape == (3, 8, 7)


def test_native_training_names_an_image_that_is_too_small(tmp_path):
    make_labelled(tmp_path, 1, side=16)
    batches = TrainBatches([0, 1], 2, seed=0)
    (batch,) = make_loader(list_samples(tmp_path), TrainTransform(None, 32), batches, 0, torch.device('cpu'))
    assert batch.images is None and '16 x 16 pixels are too few' in batch.failures[0]


@pytest.mark.parametrize('field', ['blur', 'jpg', 'resize', 'noise'])
def test_each_augmentation_works_with_its_probability(field):
    ranges = {'blur_sig': (2, 2), 'jpg_qual': (40, 40), 'resize_range': (0.5, 0.5), 'noise_sig': (9, 9)}
    half = Augmentation(**{f'{field}_prob': 0.5}, **ranges)
    results = [half(PHOTO, np.random.default_rng(seed)) for seed in range(100)]
    changed = [image for image in results if image.size != PHOTO.size or image.tobytes() != PHOTO.tobytes()]
    assert 30 < len(changed) < 70
    pixels = np.asarray(changed[0], float)
    original = np.asarray(PHOTO, float)
    if field == 'resize':
        assert changed[0].size == (45, 35)
        assert Augmentation(resize_prob=1, **ranges)(PHOTO, np.random.default_rng(0), smallest_side=60).size == (77, 60)
    elif field == 'noise':
        smooth = Image.new('RGB', (90, 70), (128, 128, 128))
        noisy = np.asarray(Augmentation(noise_prob=1, **ranges)(smooth, np.random.default_rng(0)), float)
        assert abs(noisy.std() - 9) < 0.5
    elif field == 'blur':
        assert pixels.std() < 0.3 * original.std()
    else:
        buffer = io.BytesIO()
        PHOTO.save(buffer, 'JPEG', quality=40)
        assert changed[0].tobytes() == Image.open(buffer).convert('RGB').tobytes()


# -- batches ---------------------------------------------------------------------------------------------------------


def test_epochs_are_permutations_that_depend_on_seed_and_epoch_only():
    batches = TrainBatches([0, 1] * 10, 6, seed=3)
    batches.position(4)
    first = list(batches)
    assert sorted(index for batch in first for index, _ in batch) == list(range(20))
    assert [len(batch) for batch in first] == [6, 6, 6, 2] and len(batches) == 4
    again = TrainBatches([0, 1] * 10, 6, seed=3)
    again.position(4, start=2)
    assert list(again) == first[2:] and len(again) == 2
    batches.position(5)
    assert list(batches) != first


def test_processes_share_a_global_batch():
    whole = TrainBatches([0, 1] * 10, 6, seed=0)
    parts = [list(TrainBatches([0, 1] * 10, 6, seed=0, rank=rank, world=2)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(first + second)
    uneven = [list(TrainBatches([0, 1, 0], 3, seed=0, rank=rank, world=2)) for rank in (0, 1)]
    assert [len(batch) for part in uneven for batch in part] == [2, 2]


def test_balanced_sampling():
    labels = np.array([0] * 900 + [1] * 100)
    drawn = [index for batch in TrainBatches(labels, 50, seed=0, balanced=True) for index, _ in batch]
    assert len(drawn) == 1000 and 0.44 < labels[drawn].mean() < 0.56


@pytest.mark.parametrize(('device', 'workers'), [('cpu', 2), ('cuda', 0), ('cuda', 2)])
def test_neither_threads_nor_processes_change_what_is_loaded(forensynths, device, workers):
    samples = list_samples(forensynths / 'train')
    transform = TrainTransform(40, 32, augmentation=Augmentation(noise_prob=1))

    def load(device, workers):
        batches = TrainBatches(samples.labels, 8, seed=1)
        return [batch.images for batch in make_loader(samples, transform, batches, workers, torch.device(device))]

    expected, loaded = load('cpu', 0), load(device, workers)
    assert all(torch.equal(one, other) for one, other in zip(expected, loaded, strict=True))


def test_native_scoring_batches_equal_sizes_together(tmp_path):
    for i, side in enumerate((16, 32, 16, 32, 16)):
        make_image(tmp_path / '0_real' / f'{i}.png', i, False, side)
    samples = list_samples(tmp_path, both=False)
    sizes = tensor_sizes(samples, ScoreTransform(None, 24))
    assert sizes.tolist() == [[16, 16], [24, 24], [16, 16], [24, 24], [16, 16]]

    def batches(**share):
        return [[index for index, _ in batch] for batch in ScoreBatches(sizes, 2, **share)]

    assert batches() == [[0, 2], [4], [1, 3]]
    assert [batches(rank=rank, world=2) for rank in (0, 1)] == [[[0, 2], [1, 3]], [[4]]]
    indices, logits, _ = over_images(
        lambda images: (images[:, 0, 0, 0], None),
        samples,
        ScoreTransform(None, 24),
        2,
        0,
        BadImages('stop'),
        Processes(),
        '',
    )
    assert indices.tolist() == [0, 1, 2, 3, 4]
    expected = [normalise(ScoreTransform(None, 24)(load_rgb(sample.path)))[0, 0, 0] for sample in samples]
    np.testing.assert_array_equal(logits, expected)
