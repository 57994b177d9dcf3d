"""Real tiles of UpsampleBench: photographs, near-duplicates, splits, scenes."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image

from data.images import load_rgb
from generators import edition, reals
from generators.duplicates import group_alike
from generators.photos import Photo, bundled_photos, folder_photos, reduce_image, tiles
from generators.scenes import render_scene
from util.errors import UserError


def test_scenes_repeat_and_have_the_spectrum_of_photographs():
    scene = render_scene(5, side=512)
    assert scene.shape == (512, 512, 3) and scene.dtype == np.uint8
    assert np.array_equal(scene, render_scene(5, side=512)) and not np.array_equal(scene, render_scene(6, side=512))
    power = np.abs(np.fft.fft2(reduce_image(Image.fromarray(scene)).mean(2))) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]) * 256
    rings = [2, 4, 8, 16, 32, 64]
    energy = [power[(radius >= low) & (radius < 2 * low)].mean() for low in rings]
    slope = np.polyfit(np.log(rings), np.log(energy), 1)[0]
    assert -3.5 < slope < -1.2  # photographs: about -2


def test_reduction_and_tiles():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (65, 91, 3), dtype=np.uint8))
    small = reduce_image(image)
    assert small.shape == (32, 45, 3)
    assert small.std() < 0.7 * np.asarray(image).std()  # anti-aliased: white noise loses contrast
    cut = tiles(small, 16, np.random.default_rng(0))
    assert cut.shape == (4, 16, 16, 3)
    corners = {
        tuple(
            np.argwhere((np.lib.stride_tricks.sliding_window_view(small, (16, 16, 3))[:, :, 0] == tile).all((2, 3, 4)))[
                0
            ]
        )
        for tile in cut
    }
    assert len(corners) == 4 and len({(y % 16, x % 16) for y, x in corners}) == 1  # one phase, no overlap
    assert tiles(small, 16, np.random.default_rng(0), most=2).shape == (2, 16, 16, 3)
    assert tiles(small, 64, np.random.default_rng(0)).shape == (0, 64, 64, 3)


@pytest.mark.parametrize('seed', range(8))
def test_splits_never_share_a_photograph_and_keep_the_stereo_pair_together(seed):
    splits = reals.split_photos(reals.grouped(bundled_photos()), seed)
    names = [photo.name for chosen in splits.values() for photo in chosen]
    assert sorted(names) == sorted(photo.name for photo in bundled_photos())
    assert sum({'motorcycle_left', 'motorcycle_right'} <= {p.name for p in chosen} for chosen in splits.values()) == 1
    assert all(splits.values())


def test_near_duplicates_stay_together(tmp_path):
    """Copies that were saved again, cut or brightened have one group; strangers and unreadable files their own."""
    for photo in bundled_photos():
        image = load_rgb(photo.path)
        width, height = image.size
        image.save(tmp_path / f'{photo.name}.png')
        image.resize((width // 2, height // 2)).save(tmp_path / f'{photo.name}-small.jpg', quality=60)
        image.crop((width // 50, height // 50, width, height)).point(lambda v: min(255, v + 20)).save(
            tmp_path / f'{photo.name}-cut.png'
        )
    for name in ('one', 'two'):
        (tmp_path / f'broken-{name}.jpg').write_bytes(b'JFIF')
        Image.new('RGB', (64, 64), (9, 9, 9)).save(tmp_path / f'flat-{name}.png')
    groups = {}
    for photo in reals.grouped(folder_photos(tmp_path)):
        groups.setdefault(photo.group, set()).add(photo.path.stem.split('-')[0].split('_')[0])
    sizes = Counter(photo.group for photo in reals.grouped(folder_photos(tmp_path)))
    assert all(len(names) == 1 for names in groups.values())  # the stereo pair's names begin alike
    assert sorted(sizes.values()) == [1, 1, 1, 1] + 9 * [3] + [6]


def test_scenes_fill_what_photographs_leave_open(tmp_path):
    photos = [photo for photo in bundled_photos() if photo.name in ('chelsea', 'coffee', 'rocket', 'china', 'flower')]
    counts = {'train': 9, 'val': 3, 'test': 7}
    with ProcessPoolExecutor(1, mp_context=edition.process_context()) as pool:
        splits = {split: found for split, found, _ in reals.real_tiles(pool, photos, counts, 128, 0, True, tmp_path)}
    assert {split: len(found) for split, found in splits.items()} == counts
    assert {split: len(list((tmp_path / split).iterdir())) for split in counts} == counts
    origins = [tile.path.name.split('_')[0] for tile in splits['train']]
    assert 'photo' in origins and 'scene' in origins and origins == sorted(origins)
    scenes = [{t.group for t in found if t.path.name.startswith('scene')} for found in splits.values()]
    assert not scenes[0] & scenes[2]


def test_photographs_are_found_at_any_depth(photo_folder):
    assert len({photo.name for photo in folder_photos(photo_folder)}) == 16


def test_what_is_no_photograph_is_not_taken(photo_folder, tmp_path):
    (tmp_path / '.hidden').mkdir()
    for path in ('.hidden/a.png', '.b.png', f'{"long" * 40}.png'):
        Image.new('RGB', (64, 64)).save(tmp_path / path)
    (photo,) = folder_photos(tmp_path)
    assert len(photo.name) < 120 and photo.name.endswith('long-png')
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'edition.json').write_text('{}')
    with pytest.raises(UserError, match='sub is an edition of UpsampleBench'):
        folder_photos(tmp_path)


def test_large_groups_and_many_blocks(monkeypatch):
    """Groups do not depend on how many pairs are compared at a time; a chain of alike pictures is one group."""
    angles = np.array([0, 0.3, 0.6, 0.9, 2.0, 2.3, 4.0])  # cos 0.3 = 0.955, cos 0.6 = 0.825
    points = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(len(points))
    for pairs in (1, 20, 10_000):
        monkeypatch.setattr('generators.duplicates.COMPARED', pairs)
        groups = group_alike(points[shuffled])[np.argsort(shuffled)]
        assert len(set(groups)) == 3 and len(set(groups[:4])) == 1 and groups[4] == groups[5] != groups[6]
    photos = [Photo(str(i), None, 'same' if i < 10 else '') for i in range(20)]
    splits = reals.split_photos(photos, 1)
    assert sorted(len(chosen) for chosen in splits.values() if chosen)[-1] >= 10
    assert sum(any(photo.alike for photo in chosen) for chosen in splits.values()) == 1
