"""UpsampleBench: scenes, tiles, splits, decoders, the audit, and a small edition."""

import os
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from data.images import load_rgb
from data.listing import find_generators, list_samples
from data.pixel_facts import global_facts, high_frequency_energy, shortcut_auc
from generators import reals
from generators.controls import compressed, low_passed, matching_sigma, resized
from generators.decoders import DECODERS, WEIGHTS, create_decoder, decode_tile, load_decoder, weights_file
from generators.layers import upsampler
from generators.losses import contrast_energy, contrast_statistics, distance, grid_planes, grid_strength
from generators.photos import bundled_photos, folder_photos, reduce_image, tiles
from generators.scenes import render_scene
from generators.tables import TRAINING, members, networks
from generators.tally import Tally, compare
from generators.training import CROP, Training
from networks.npr import npr_residual
from util.errors import UserError
from util.files import read_json


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


@pytest.mark.parametrize('name', DECODERS)
def test_generators_keep_size_and_repeat_their_noise(name):
    spec = DECODERS[name]
    generator = create_decoder(spec).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    fake = decode_tile(generator, pixels, [1, 0])
    assert fake.shape == pixels.shape and fake.dtype == np.uint8
    assert np.array_equal(fake, decode_tile(generator, pixels, [1, 0]))
    assert not np.array_equal(fake, decode_tile(generator, pixels, [1, 1]))
    if spec.kind != 'pixel':
        with torch.inference_mode():
            coarse = generator.encoder(torch.zeros(1, 3, 16, 24))
        assert coarse.shape[1:] == (spec.latent, 16 // spec.factor, 24 // spec.factor)


@pytest.mark.parametrize(
    'operator, factor', [('nearest', 4), ('bilinear', 2), ('transposed', 4), ('transposed3', 2), ('shuffle', 4)]
)
def test_operators_enlarge_by_their_factor_and_repeat_with_it(operator, factor):
    """A shift of the coarse map by one pixel shifts the output by the factor, away from the border."""
    up = upsampler(operator, factor, 4)
    coarse = torch.randn(1, 4, 8, 8)
    fine, moved = up(coarse), up(coarse.roll(1, 3))
    assert fine.shape == (1, 4, 8 * factor, 8 * factor)
    inside = slice(2 * factor, 6 * factor)
    assert torch.allclose(moved[..., inside, inside], fine.roll(factor, 3)[..., inside, inside], atol=1e-5)
    with pytest.raises(ValueError, match='unknown up-sampling operator'):
        upsampler('cubic', 2, 4)


def test_quantised_latents_are_codes_and_diffusion_draws():
    generator = create_decoder(DECODERS['quantised_f4']).eval()
    latent = torch.randn(2, 32, 3, 5)
    codes = generator.quantise(latent)
    group = latent[1, 8:12, 2, 4]
    nearest = (group - generator.codebook[2]).square().sum(1).argmin()
    assert torch.equal(codes[1, 8:12, 2, 4], generator.codebook[2, nearest]) and codes.shape == latent.shape
    diffusion = create_decoder(DECODERS['latent_f8']).eval()
    latent = torch.randn(1, 96, 4, 4)
    draws = [diffusion.diffuse(latent, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])


@pytest.mark.parametrize('name, seed', networks())
def test_shipped_weights_reconstruct(name, seed):
    photo = next(photo for photo in bundled_photos() if photo.name == 'astronaut')
    real = tiles(photo.pixels(), 64, np.random.default_rng(0), most=4)
    spec, generator = DECODERS[name], load_decoder(name, seed=seed)
    fake = np.stack([decode_tile(generator, tile, [0, i]) for i, tile in enumerate(real)])
    psnr = 10 * np.log10(255**2 / np.mean((real.astype(float) - fake) ** 2))
    assert psnr > ({1: 26, 2: 26, 4: 22}.get(spec.factor, 15) if spec.kind == 'decoder' else 15), psnr
    card = read_json(weights_file(name, seed).with_suffix('.json'))
    assert card['parameters'] == sum(p.numel() for p in create_decoder(spec).parameters())
    assert card['training']['seed'] == seed and card['operator'] == spec.operator


def test_weights_of_other_seeds_are_other_weights_and_small():
    one, other = (load_decoder('nearest_x2', seed=seed).state_dict() for seed in (0, 1))
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 15e6
    with pytest.raises(UserError, match=r'unknown decoder .*; known: nearest_x2'):
        load_decoder('nearest_x3')
    with pytest.raises(UserError, match=r'no weights .* --decoders nearest_x2 --seed 7'):
        load_decoder('nearest_x2', seed=7)


def test_tables_do_not_share_weights_with_training():
    trained = {(m.design, m.seed) for found in TRAINING.values() for m in found}
    tested = [(m.design, m.seed) for _, m in members()]
    assert not trained & set(tested) and len(members()) >= 14
    assert len({m.name for _, m in members()}) == len(members())
    assert ('nearest_x2', 1) in tested  # the design of the training set, with other weights


def test_controls():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    assert resized(pixels).shape == (24, 24, 3) and resized(pixels).dtype == np.uint8
    assert not np.array_equal(compressed(pixels, 75), pixels)
    tile = ndimage.gaussian_filter(pixels.astype(float), (1, 1, 0)).astype(np.uint8)
    sigma = matching_sigma([tile], 0.8)
    kept = high_frequency_energy(low_passed(tile, sigma)) / high_frequency_energy(tile)
    assert kept == pytest.approx(0.8, abs=0.03) and low_passed(tile, sigma).shape == tile.shape


# -- audit -----------------------------------------------------------------------------------------------------------


def test_facts_equal_loops():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    facts = global_facts(pixels)
    grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in pixels.astype(float)]
    squares = [
        (4 * grey[y][x] - grey[y - 1][x] - grey[y + 1][x] - grey[y][x - 1] - grey[y][x + 1]) ** 2
        for y in range(1, 5)
        for x in range(1, 6)
    ]
    assert high_frequency_energy(pixels) == pytest.approx(np.mean(squares), rel=1e-4)
    assert facts[1:4] == pytest.approx(pixels.mean((0, 1)) / 255, rel=1e-4)
    saturation = np.mean([(max(p) - min(p)) / max(max(p), 1) for p in pixels.reshape(-1, 3).astype(float)])
    assert facts[7] == pytest.approx(saturation, rel=1e-4)


def test_audit_finds_a_shortcut_and_only_a_shortcut():
    rng = np.random.default_rng(0)
    real, groups = rng.normal(size=(200, 9)), np.arange(200) // 2
    assert shortcut_auc(real, rng.normal(size=(200, 9)), groups) < 0.6
    shifted = real + np.eye(9)[8] * 2
    expected = 0.921  # P(N(2, 1) > N(0, 1)) = Phi(2 / sqrt 2)
    assert shortcut_auc(real, shifted, groups) == pytest.approx(expected, abs=0.03)
    assert shortcut_auc(shifted, real, groups) == pytest.approx(expected, abs=0.03)


def tally(images):
    found = Tally()
    for pixels in images:
        found.add(pixels)
    return found


def test_grid_contrast_sees_a_grid():
    rng = np.random.default_rng(0)
    smooth = rng.integers(100, 110, (8, 64, 64, 3), dtype=np.uint8)
    gridded = smooth.copy()
    gridded[:, ::4, ::4] += 20
    assert tally(smooth).grid_contrast(4) < 0.03 < 0.3 < tally(gridded).grid_contrast(4)


def test_tallies_add_up_and_the_spectrum_shows_what_facts_do_not():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)
    stripes = (20 * np.cos(np.pi * np.arange(32) / 2)).astype(int)[None, :, None, None]  # one frequency
    fake = np.clip(rng.integers(30, 226, (60, 32, 32, 3)) + stripes, 0, 255).astype(np.uint8)
    whole, parts = tally(fake), tally(fake[:20])
    parts += tally(fake[20:])
    assert parts.count == 60 and parts.energy == pytest.approx(whole.energy)
    assert np.allclose(parts.spectrum, whole.spectrum) and np.allclose(parts.residuals, whole.residuals)
    errors = ((real.astype(float) - fake) ** 2).mean((1, 2, 3))
    facts = compare(tally(real), whole, np.arange(60), errors, 2)
    assert facts['psnr_db'] == pytest.approx(np.mean(10 * np.log10(255**2 / errors)))
    assert facts['spectrum_auc'] > 0.9
    expected = np.mean([np.abs(npr_residual(to_tensor(f), 0.25)).mean() for f in fake]) / np.mean(
        [np.abs(npr_residual(to_tensor(r), 0.25)).mean() for r in real]
    )
    assert facts['residual_ratio']['0.25'] == pytest.approx(expected, rel=1e-5)
    assert compare(tally(real), tally(real), np.arange(60), None, 2)['energy_ratio'] == 1


def to_tensor(pixels):
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def test_contrast_by_loops():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    green = image[0, 1].numpy()
    corner = [abs(green[y + 1, x] - green[y, x]) for y in range(16) for x in range(16)]
    statistics = contrast_statistics(image, 16)
    assert statistics.shape == (2, 6, 2, 2, 16)
    assert statistics[0, 1, 0, 0, 2] == pytest.approx(np.log(np.mean(corner) + 0.004), abs=0.01)  # the border is shared
    whole = contrast_statistics(image, 32)
    assert whole[0, 1, 0, 0, 2] == pytest.approx(np.log(np.abs(np.diff(green, axis=0)).mean() + 0.004), abs=1e-5)
    squares = np.diff(image[:, 1].numpy(), axis=1) ** 2
    assert contrast_energy(image)[1, 1] == pytest.approx(np.log(squares.mean() + 1e-6) / 2, abs=1e-5)


def test_grid_strength_by_loops():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    padded = np.pad(image[0, 0].numpy(), 1, mode='reflect')
    values = [
        4 * padded[y, x] - padded[y - 1, x] - padded[y + 1, x] - padded[y, x - 1] - padded[y, x + 1]
        for y in range(17, 33)  # the lower left window, odd rows and even columns (the padding adds 1)
        for x in range(1, 17)
        if y % 2 == 0 and x % 2 == 1
    ]
    planes = grid_planes(image, 2, 16)
    assert planes.shape == (2, 1, 3, 2, 2, 2, 2)
    assert planes[0, 0, 0, 1, 0, 1, 0].item() == pytest.approx(np.mean(values), abs=1e-5)
    assert planes[1, 0, 0, 1, 0, 1, 0].item() == pytest.approx(np.mean(np.abs(values)), abs=1e-5)
    gridded = image.clone()
    gridded[..., ::2, ::2] += 0.5
    assert (grid_strength(gridded, 2, 16) - grid_strength(image, 2, 16)).min() > 0.3


def test_distance_is_relative_to_roughness():
    real = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    fake = real + 0.1 * torch.tensor([1.0, -1.0]).repeat(16)  # stripes vanish at half size
    roughness = [(each.diff(dim=1).abs().mean() + each.diff(dim=2).abs().mean()) / 2 for each in real]
    expected = np.mean([0.2 * 0.1 / (rough.item() + 0.05) for rough in roughness])
    assert distance(fake, real, 0.2).item() == pytest.approx(expected, rel=1e-4)


# -- an edition ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def photo_folder(tmp_path_factory):
    """Twelve smooth pictures in nested folders and several formats; one is too small, one grey, one broken."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for i in range(12):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        path = folder / f'sub{i % 3}' / f'p{i}.{("png", "jpg", "webp")[i % 3]}'
        path.parent.mkdir(exist_ok=True)
        coarse.resize((150, 140), Image.Resampling.BICUBIC).save(path)
    Image.new('RGB', (40, 40), (200, 100, 50)).save(folder / 'sub0' / 'p3.jpg')  # same name as p3.png, too small
    Image.new('L', (150, 140), 7).save(folder / 'grey.png')
    (folder / 'broken.jpg').write_bytes(b'JFIF')
    return folder


SIZES = ('--size', '32', '--train', '10', '--val', '4', '--test', '9')


def test_an_edition_from_a_folder(call, fails, photo_folder, tmp_path):
    arguments = ('--photos', photo_folder, *SIZES)
    status, out, error = call('make_benchmark.py', '--out', tmp_path / 'a', *arguments)
    assert status == 0, error
    assert 'Shortcut audit' in out and all(member.name in out for _, member in members())
    card = read_json(tmp_path / 'a' / 'edition.json')
    assert set(card['audit']) == {m.name for _, m in members()} and card['tiles']['train'] == {'photo': 10}
    for picture in ('audit.png', 'spectra.png', 'residuals.png', 'contact_U2_diffusion_decoders.png'):
        assert Image.open(tmp_path / 'a' / picture).width > 300
    left_out = ' '.join(card['photos_left_out'])
    assert len(card['photos_left_out']) == 3 and '3 photographs left out' in out
    assert all(words in left_out for words in ('p3.jpg: too small', 'grey.png: no colour', 'broken.jpg: cannot be'))
    generators = find_generators(tmp_path / 'a' / 'test')
    assert {(g.table, g.name) for g in generators} == {(table, member.name) for table, member in members()}
    photographs = {}
    folders = [('train', 'train'), ('train', 'train_wide'), ('val', 'val'), ('val', 'val_wide')]
    for split, folder in [*folders, *(('test', g.folder) for g in generators)]:
        samples = list_samples(tmp_path / 'a' / folder)
        for real, fake in zip(samples[: len(samples) // 2], samples[len(samples) // 2 :], strict=True):
            assert real.path.name == fake.path.name and (real.label, fake.label) == (0, 1)
            one, other = load_rgb(real.path), load_rgb(fake.path)
            assert one.size == other.size == ((24, 24) if 'resized' in str(folder) else (32, 32))
            assert one.tobytes() != other.tobytes()
        photographs.setdefault(split, set()).update(sample.path.name.split('_')[1] for sample in samples)
    assert not photographs['train'] & photographs['test'] and not photographs['train'] & photographs['val']

    assert 'exists already; --overwrite' in fails('make_benchmark.py', '--out', tmp_path / 'a', *arguments)
    call('make_benchmark.py', '--out', tmp_path / 'b', *arguments)
    files = sorted(path.relative_to(tmp_path / 'a') for path in (tmp_path / 'a').rglob('*.*'))
    assert all((tmp_path / 'a' / path).read_bytes() == (tmp_path / 'b' / path).read_bytes() for path in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']


def test_mistakes_in_making_a_benchmark(fails, photo_folder, tmp_path):
    out = ('--out', tmp_path / 'x')
    assert 'no such folder' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    assert 'no images below it' in fails('make_benchmark.py', *out, '--photos', tmp_path / 'empty')
    assert 'multiple of 8' in fails('make_benchmark.py', *out, '--size', '100')
    assert 'smaller --size' in fails('make_benchmark.py', *out, '--photos', photo_folder, '--size', '128')
    assert not (tmp_path / 'x').exists()


def test_scenes_fill_what_photographs_leave_open():
    photos = [photo for photo in bundled_photos() if photo.name in ('chelsea', 'coffee', 'rocket', 'china', 'flower')]
    counts = {'train': 9, 'val': 3, 'test': 7}
    with ProcessPoolExecutor(1) as pool:
        splits = {split: found for split, found, _ in reals.real_tiles(pool, photos, counts, 128, 0, True)}
    assert {split: len(found) for split, found in splits.items()} == counts
    origins = [tile.name.split('_')[0] for tile in splits['train']]
    assert 'photo' in origins and 'scene' in origins and origins == sorted(origins)
    scenes = [{t.group for t in found if t.name.startswith('scene')} for found in splits.values()]
    assert not scenes[0] & scenes[2]


def test_decoders_can_be_trained(call, photo_folder, tmp_path):
    words = ('--photos', photo_folder, '--scenes', '2', '--steps', '12', '--batch_size', '2', '--out', tmp_path)
    words = ('generators/train.py', '--decoders', 'nearest_x2', *words)
    status, out, error = call(*words)
    assert status == 0, error
    card = read_json(tmp_path / 'nearest_x2.json')
    assert card['training']['steps'] == 12 and card['operator'] == 'nearest' and card['family'] == 'gan'
    assert 0.5 <= card['held_out']['photos']['shortcut_auc'] <= 1
    first = (tmp_path / 'nearest_x2.pth').read_bytes()
    status, out, _ = call(*words)
    assert status == 0 and 'trained already' in out
    (tmp_path / 'nearest_x2.json').unlink()
    call(*words)
    assert (tmp_path / 'nearest_x2.pth').read_bytes() == first
    call(*words, '--seed', '3')
    assert (tmp_path / 'nearest_x2_seed3.pth').read_bytes() != first
    before = read_json(tmp_path / 'nearest_x2.json')
    call(*words, '--report')
    assert (tmp_path / 'nearest_x2.pth').read_bytes() == first
    assert read_json(tmp_path / 'nearest_x2.json')['training'] == before['training']


@pytest.mark.parametrize('name', ['transposed_x2', 'latent_f4'])
def test_an_interrupted_training_ends_as_an_undisturbed_one(name, tmp_path):
    pictures = [np.random.default_rng(i).integers(0, 256, (CROP, CROP + 9, 3), dtype=np.uint8) for i in range(3)]
    settings = {'steps': 20, 'batch_size': 2, 'lr': 1e-3, 'scene_share': 0.3, 'seed': 5}

    def start(more=()):
        cpu = torch.device('cpu')
        return Training(DECODERS[name], (pictures[:2], pictures[2:]), settings | dict(more), cpu)

    undisturbed = start()
    for _ in range(6):
        undisturbed.step()
    interrupted = start()
    for _ in range(3):
        interrupted.step()
    interrupted.save(tmp_path / 'state')
    again = start()
    again.step()
    again.load(tmp_path / 'state')
    for _ in range(3):
        again.step()
    assert again.done == 6
    for part in ('average', 'generator', 'judge'):
        one, other = (getattr(each, part).state_dict() for each in (undisturbed, again))
        assert all(torch.equal(value, other[key]) for key, value in one.items()), part
    with pytest.raises(UserError, match=r'other settings \(lr\)'):
        start({'lr': 1e-4}).load(tmp_path / 'state')


def test_a_training_that_is_stopped_goes_on(call, photo_folder, tmp_path, monkeypatch):
    def stop_at(step):
        def stepping(training):
            losses = real_step(training)
            if training.done == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return losses

        return stepping

    words = ('generators/train.py', '--photos', photo_folder, '--scenes', '0', '--steps', '9', '--batch_size', '1')
    words = (*words, '--decoders', 'shuffle_x2', '--out')
    call(*words, tmp_path / 'whole')
    real_step = Training.step
    monkeypatch.setattr(Training, 'step', stop_at(4))
    status, out, _ = call(*words, tmp_path / 'parts')
    assert status == 128 + signal.SIGTERM and 'stopped after step 4 of 9; the same command goes on' in out
    assert not (tmp_path / 'parts' / 'shuffle_x2.pth').exists()
    monkeypatch.setattr(Training, 'step', real_step)
    status, out, error = call(*words, tmp_path / 'parts')
    assert status == 0 and 'going on after step 4' in out, error
    whole, parts = ((tmp_path / name / 'shuffle_x2.pth').read_bytes() for name in ('whole', 'parts'))
    assert whole == parts and not list((tmp_path / 'parts').glob('*.state'))


def test_photographs_are_found_at_any_depth(photo_folder):
    assert len({photo.name for photo in folder_photos(photo_folder)}) == 15
