"""UpsampleBench: an edition is a folder of real tiles and, for each, what the decoders make of it."""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.audit import global_facts, grid_contrast, high_frequency_energy, shortcut_auc
from generators.decoders import DECODERS, decode_tiles, load_decoder
from generators.photos import bundled_photos, folder_photos, scene_photos, tiles
from util.errors import UserError
from util.files import write_json

TRAINING_DECODER = 'nearest_x2'
TABLES = {
    'U1_gan_decoders': ('nearest_x2', 'bilinear_x2', 'transposed_x2', 'shuffle_x2', 'nearest_x4'),
    'U4_controls': ('factor1',),
}
SPLITS = ('train', 'val', 'test')
SHARES = {'val': 0.1, 'test': 0.35}  # of the photographs; the rest is for training
TILES_PER_PHOTO = 8  # at most, so that one large photograph does not dominate
SHORTCUT_LIMIT = 0.65


@dataclass(frozen=True)
class Tile:
    """(size, size, 3) uint8 pixels; `name` starts with photo_ or scene_; `number` counts within `group`."""

    name: str
    group: str
    number: int
    pixels: np.ndarray


def cut_tiles(photo, size, seed):
    """Up to TILES_PER_PHOTO tiles of a photograph, all tiles of a scene."""
    rng = np.random.default_rng([seed, sum(photo.name.encode())])
    most = None if photo.origin == 'scene' else TILES_PER_PHOTO
    cut = tiles(photo.pixels(), size, rng, most)
    return [Tile(f'{photo.origin}_{photo.name}_{k:02d}', photo.group, k, pixels) for k, pixels in enumerate(cut)]


def split_photos(photos, seed):
    """Deal photographs to the splits, whole groups at a time; returns {split: [Photo]}."""
    groups = {}
    for photo in photos:
        groups.setdefault(photo.group, []).append(photo)
    order = np.random.default_rng(seed).permutation(sorted(groups))
    val, test = (max(1, round(SHARES[split] * len(order))) for split in ('val', 'test'))
    parts = {'test': order[:test], 'val': order[test : test + val], 'train': order[test + val :]}
    return {split: [photo for group in parts[split] for photo in groups[group]] for split in SPLITS}


def real_tiles(photos, counts, size, seed, fill_with_scenes, workers):
    """Real tiles of each split: photographs first, then rendered scenes if `fill_with_scenes`.

    Returns:
        {split: list of at most counts[split] Tile}.
    Raises:
        UserError: too few tiles for a split.
    """
    result, next_scene = {}, 1
    with ProcessPoolExecutor(workers) as pool:
        for split, chosen in split_photos(photos, seed).items():
            found, want = [], counts[split]
            pending = chosen
            while True:
                jobs = pool.map(cut_tiles, pending, [size] * len(pending), [seed] * len(pending))
                for cut in tqdm(jobs, total=len(pending), desc=f'{split}: pictures', unit='picture', leave=False):
                    found += cut
                if len(found) >= want or not fill_with_scenes:
                    break
                per_scene = (512 // size) ** 2
                missing = -(-(want - len(found)) // per_scene)
                pending = scene_photos(missing, seed=seed * 100_000 + next_scene)
                next_scene += missing
            if len({tile.group for tile in found}) < (2 if split == 'test' else 1):  # the audit compares photographs
                raise UserError(
                    f'too few photographs for the {split} split: {len(found)} tiles of {size} px among {len(chosen)} '
                    'photographs (the test split needs two photographs); give more or larger ones, or a smaller --size'
                )
            # Photographs before scenes, the first tile of every photograph before any second one.
            found.sort(key=lambda tile: (tile.name.startswith('scene'), tile.number))
            result[split] = found[:want]
    return result


def write_images(folder, names, images):
    folder.mkdir(parents=True)
    for name, pixels in zip(names, images, strict=True):
        Image.fromarray(pixels).save(folder / f'{name}.png')


def audit(real, fake, groups, period):
    """Facts of a decoder's fakes beside their photographs; see data.audit."""
    error = np.mean((real.astype(np.float32) - fake) ** 2, (1, 2, 3))
    energy = [float(np.mean([high_frequency_energy(x) for x in images])) for images in (fake, real)]
    facts = [np.stack([global_facts(x) for x in images]) for images in (real, fake)]
    return {
        'tiles': len(real),
        'psnr_db': float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-3)))),
        'energy_ratio': energy[0] / energy[1],
        'shortcut_auc': shortcut_auc(*facts, groups),
        'grid_contrast_real': grid_contrast(real, period),
        'grid_contrast_fake': grid_contrast(fake, period),
    }


def build(out, photos_folder, counts, size, seed, workers):
    """Make an edition; it appears under `out` only when it is complete.

    Args:
        out: Path that does not exist yet.
        photos_folder: folder of photographs, or None for the bundled ones filled up with rendered scenes.
        counts: {'train': n, 'val': n, 'test': n}, tiles in each split at most.
        size: side of a tile in pixels, a multiple of 8.
        seed: of splits, crops, scenes and the decoders' noise.
        workers: processes that read and render pictures.
    Returns:
        (card, samples): the edition's card and {'real' or decoder: (n, size, size, 3) uint8} of the test split.
    """
    photos = folder_photos(photos_folder) if photos_folder else bundled_photos()
    splits = real_tiles(photos, counts, size, seed, not photos_folder, workers)
    partial = out.with_name(f'.{out.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    decoders = {name: load_decoder(name) for name in DECODERS}
    real = {split: np.stack([tile.pixels for tile in chosen]) for split, chosen in splits.items()}
    names = {split: [tile.name for tile in chosen] for split, chosen in splits.items()}
    try:
        for number, split in enumerate(('train', 'val')):
            folder = partial / split / TRAINING_DECODER
            write_images(folder / '0_real', names[split], real[split])
            fake = decode_tiles(decoders[TRAINING_DECODER], real[split], [seed, number], split)
            write_images(folder / '1_fake', names[split], fake)
        groups = [tile.group for tile in splits['test']]
        samples, audits = {'real': real['test']}, {}
        for table, members in TABLES.items():
            for name in members:
                folder = partial / 'test' / table / name
                fake = decode_tiles(decoders[name], real['test'], [seed, 2], f'test: {name}')
                write_images(folder / '0_real', names['test'], real['test'])
                write_images(folder / '1_fake', names['test'], fake)
                samples[name] = fake
                audits[name] = audit(real['test'], fake, groups, max(2, DECODERS[name].factor))
        card = {
            'name': 'UpsampleBench, first edition',
            'photos': 'given folder'
            if photos_folder
            else 'bundled with scikit-image and scikit-learn, rendered scenes',
            'size': size,
            'seed': seed,
            'tiles': {
                split: {origin: sum(n.startswith(origin) for n in names[split]) for origin in ('photo', 'scene')}
                for split in SPLITS
            },
            'training_decoder': TRAINING_DECODER,
            'tables': TABLES,
            'audit': audits,
        }
        write_json(partial / 'edition.json', card)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card, samples
