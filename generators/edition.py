"""UpsampleBench: an edition is a folder of real tiles and, for each, what the decoders make of it."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.audit import global_facts, grid_contrast, high_frequency_energy, shortcut_auc
from data.images import BadImage
from generators.decoders import DECODERS, decode_tiles, load_decoder
from generators.photos import REDUCTION, Scene, bundled_photos, folder_photos, tiles
from util.errors import UserError
from util.files import write_json

TRAINING_DECODER = 'nearest_x2'
TABLES = {
    'U0_seen': ('nearest_x2',),  # the decoder of the training set, on photographs that are not in it
    'U1_gan_decoders': ('bilinear_x2', 'transposed_x2', 'shuffle_x2', 'nearest_x4'),
    'U4_controls': ('factor1',),
}
SPLITS = ('train', 'val', 'test')
SHARES = {'val': 0.1, 'test': 0.35}  # of the photographs; the rest is for training
TILES_PER_PICTURE = 4  # at most, so that no picture dominates; a scene is rendered large enough for four
SHORTCUT_LIMIT = 0.65


@dataclass(frozen=True)
class Tile:
    """(size, size, 3) uint8 pixels; `name` starts with photo_ or scene_; `number` counts within `group`."""

    name: str
    group: str
    number: int
    pixels: np.ndarray


def cut_tiles(photo, size, seed):
    """Tiles of a photograph or scene: (list of Tile, None), or ([], why not)."""
    rng = np.random.default_rng([seed, *photo.name.encode()])
    try:
        cut = tiles(photo.pixels(), size, rng, TILES_PER_PICTURE)
    except BadImage as error:
        return [], str(error)
    if not len(cut):
        return [], f'{photo.path}: too small for a tile of {size} px after the reduction'
    return [Tile(f'{photo.origin}_{photo.name}_{k:02d}', photo.group, k, pixels) for k, pixels in enumerate(cut)], None


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
        ({split: list of at most counts[split] Tile}, list of sentences about photographs that were left out).
    Raises:
        UserError: too few tiles for a split.
    """
    result, left_out, next_scene = {}, [], 0
    with ProcessPoolExecutor(workers) as pool:
        for split, chosen in split_photos(photos, seed).items():
            found, want = [], counts[split]
            pending = chosen
            while True:
                jobs = pool.map(cut_tiles, pending, [size] * len(pending), [seed] * len(pending))
                for cut, problem in tqdm(
                    jobs, total=len(pending), desc=f'{split}: pictures', unit='picture', leave=False
                ):
                    found += cut
                    left_out += [problem] if problem else []
                if len(found) >= want or not fill_with_scenes:
                    break
                missing = -(-(want - len(found)) // TILES_PER_PICTURE)
                side = max(512, 4 * size)
                pending = [Scene(seed * 100_000 + next_scene + i, side) for i in range(missing)]
                next_scene += missing
            if len({tile.group for tile in found}) < (2 if split == 'test' else 1):  # the audit compares photographs
                raise UserError(
                    f'too few photographs for the {split} split (their sides are reduced by {REDUCTION} first): '
                    f'{len(found)} tiles of {size} px among {len(chosen)} '
                    'photographs (the test split needs two photographs); give more or larger ones, or a smaller --size'
                )
            # Photographs before scenes, the first tile of every photograph before any second one.
            found.sort(key=lambda tile: (tile.name.startswith('scene'), tile.number))
            result[split] = found[:want]
    return result, left_out


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
    """Fill a folder with an edition; edition.json is written last.

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
    decoders = {name: load_decoder(name) for name in DECODERS}
    photos = folder_photos(photos_folder) if photos_folder else bundled_photos()
    splits, left_out = real_tiles(photos, counts, size, seed, not photos_folder, workers)
    real = {split: np.stack([tile.pixels for tile in chosen]) for split, chosen in splits.items()}
    names = {split: [tile.name for tile in chosen] for split, chosen in splits.items()}

    def write_pairs(folder, split, name):
        fake = decode_tiles(decoders[name], real[split], [seed, SPLITS.index(split)], f'{split}: {name}')
        write_images(folder / '0_real', names[split], real[split])
        write_images(folder / '1_fake', names[split], fake)
        return fake

    for split in ('train', 'val'):
        write_pairs(out / split / TRAINING_DECODER, split, TRAINING_DECODER)
    samples = {'real': real['test']}
    for table, members in TABLES.items():
        samples |= {name: write_pairs(out / 'test' / table / name, 'test', name) for name in members}
    groups = [tile.group for tile in splits['test']]
    card = {
        'name': 'UpsampleBench, first edition',
        'photos': 'a folder' if photos_folder else 'bundled with scikit-image and scikit-learn, and rendered scenes',
        'size': size,
        'seed': seed,
        'tiles': {split: Counter(name.partition('_')[0] for name in names[split]) for split in SPLITS},
        'photos_left_out': left_out,
        'training_decoder': TRAINING_DECODER,
        'tables': TABLES,
        'shortcut_limit': SHORTCUT_LIMIT,
        'audit': {
            name: audit(real['test'], samples[name], groups, max(2, spec.factor)) for name, spec in DECODERS.items()
        },
    }
    write_json(out / 'edition.json', card)
    return card, samples
