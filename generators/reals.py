"""The real tiles of an edition: photographs are dealt to splits, cut, and filled up with rendered scenes."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.images import BadImage
from generators.duplicates import group_alike, thumbnail
from generators.photos import REDUCTION, Scene, tiles
from util.errors import UserError

SPLITS = ('train', 'val', 'test')
SHARES = {'test': 0.35, 'val': 0.1}  # of the photographs; the rest is for training
FIRST_SCENE = 10_000_000  # seeds of the scenes of editions; generators are trained on lower ones
TILES_PER_PICTURE = 4  # at most, so that no picture dominates; a scene is rendered large enough for four


@dataclass(frozen=True)
class Tile:
    """A PNG file of (size, size, 3); its name starts with photo_ or scene_; `number` counts within a picture."""

    path: Path
    group: str
    number: int


def cut_tiles(photo, size, seed, folder):
    """Write the tiles of a photograph or scene into a folder: (list of Tile, None), or ([], why not)."""
    rng = np.random.default_rng([seed, *photo.name.encode()])
    try:
        cut = tiles(photo.pixels(), size, rng, TILES_PER_PICTURE)
    except BadImage as error:
        return [], str(error)
    if not len(cut):
        return [], f'{photo.path}: too small for a tile of {size} px after the reduction'
    found = []
    for number, pixels in enumerate(cut):
        found.append(Tile(folder / f'{photo.origin}_{photo.name}_{number:02d}.png', photo.group, number))
        Image.fromarray(pixels).save(found[-1].path)
    return found, None


def grouped(photos, mapper=map):
    """The same photographs, near-duplicates in one group. mapper: map, or that of a pool of processes."""
    paths = [photo.path for photo in photos]
    found = list(tqdm(mapper(thumbnail, paths), desc='near-duplicates', total=len(paths), unit='photo', leave=False))
    names = [f'{number:06d}' for number in group_alike(found)]
    return [replace(photo, alike=name) for photo, name in zip(photos, names, strict=True)]


def by_group(photos):
    """{group: [Photo]}"""
    groups = {}
    for photo in photos:
        groups.setdefault(photo.group, []).append(photo)
    return groups


def split_photos(photos, seed):
    """Deal photographs to the splits, whole groups at a time; returns {split: [Photo]}."""
    groups, splits = by_group(photos), {split: [] for split in SPLITS}
    wanted = {split: max(1, round(share * len(photos))) for split, share in SHARES.items()}
    for group in np.random.default_rng(seed).permutation(sorted(groups)):
        split = next((split for split, want in wanted.items() if len(splits[split]) < want), 'train')
        splits[split] += groups[group]
    return splits


def keep(found, want):
    """The first `want` tiles: photographs before scenes, the first of every picture before any second one.

    Files of the others are removed.
    """
    ordered = sorted(found, key=lambda tile: (tile.path.name.startswith('scene'), tile.number))
    for tile in ordered[want:]:
        tile.path.unlink()
    return ordered[:want]


def real_tiles(pool, photos, counts, size, seed, fill_with_scenes, folder):
    """Yield (split, list of at most counts[split] Tile, sentences about photographs that were left out).

    Photographs come first, then rendered scenes if `fill_with_scenes`. The processes of the pool write the tiles to
    folder/split, so that none is kept in memory, and never more than a few times counts[split] on disk.

    Raises:
        UserError: too few tiles for a split.
    """
    next_scene = 0
    for split, pending in split_photos(photos, seed).items():
        found, want, left_out, chosen = [], counts[split], [], len(pending)
        (folder / split).mkdir(parents=True)
        cut = partial(cut_tiles, size=size, seed=seed, folder=folder / split)
        while True:
            with tqdm(total=len(pending), desc=f'{split}: pictures', unit='picture', leave=False) as bar:
                for start in range(0, len(pending), want):  # map would read all photographs ahead
                    part = pending[start : start + want]
                    for written, problem in pool.map(cut, part, chunksize=4):
                        found += written
                        left_out += [problem] if problem else []
                        bar.update()
                    found = keep(found, want)
            if len(found) >= want or not fill_with_scenes:
                break
            missing = -(-(want - len(found)) // TILES_PER_PICTURE)
            side = max(Scene.side, 4 * size)
            pending = [Scene(FIRST_SCENE + seed * 100_000 + next_scene + i, side) for i in range(missing)]
            next_scene += missing
        if len({tile.group for tile in found}) < (2 if split == 'test' else 1):  # the audit compares photographs
            largest = max(map(len, by_group(photos).values()))
            raise UserError(
                f'too few photographs for the {split} split (their sides are reduced by {REDUCTION} first): '
                f'{len(found)} tiles of {size} px among {chosen} '
                'photographs (the test split needs two photographs); give more or larger ones, or a smaller --size. '
                f'Near-duplicates stay in one split: {len(photos)} photographs are {len(by_group(photos))} groups, the '
                f'largest has {largest}'
            )
        yield split, found, left_out
