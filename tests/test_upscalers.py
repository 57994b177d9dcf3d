"""Published super-resolution networks as generators; a small one is written here, as ncnn stores it."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from data.images import load_rgb
from data.transforms import jpeg
from generators import translators, upscalers
from generators.photos import FILTERS, bundled_photos
from generators.redo import get_parser, main
from generators.upscalers import UPSCALERS, Upscaler, load_upscaler, redo_by_upscaler, upscale
from util.errors import UserError

GROWS = """7767517
3 3
Input input 0 1 data
Convolution conv 1 1 data wide 0=12 1=3 5=1 6=324
PixelShuffle shuffle 1 1 wide output 0=2
"""


@pytest.fixture(scope='module')
def tile():
    return np.asarray(load_rgb(bundled_photos()[0].path))[96:160, 160:224]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A network of one convolution, which uses up a pixel of its margin of three, and a pixel shuffle."""
    weights, bias = 0.1 * torch.randn(12, 3, 3, 3, generator=torch.manual_seed(0)), torch.linspace(0.3, 0.7, 12)
    weights[:, :, 1, 1] += 0.3
    (tmp_path / 'some').mkdir()
    (tmp_path / 'some/net.param').write_text(GROWS)
    parts = [np.zeros(1, np.int32), weights.numpy(), bias.numpy()]  # 0: 32-bit floats follow
    (tmp_path / 'some/net.bin').write_bytes(b''.join(part.tobytes() for part in parts))
    one = Upscaler('tiny', 'some/net', 2, 3, ('data', 'output'), value_range=(0.15, 0.85))
    monkeypatch.setattr(upscalers, 'UPSCALERS', {'tiny': one})
    yield SimpleNamespace(folder=str(tmp_path), weights=weights, bias=bias)
    load_upscaler.cache_clear()


def test_an_image_grows_as_by_the_same_layers_in_torch(small, tile):
    found = upscale('tiny', tile[:30, :20], small.folder)
    assert found.shape == (60, 40, 3) and found.dtype == np.uint8
    seen = 0.15 + 0.7 * torch.from_numpy(np.pad(tile[:30, :20], ((3, 3), (3, 3), (0, 0)), 'reflect')).float() / 255
    grown = F.pixel_shuffle(F.conv2d(seen.permute(2, 0, 1)[None], small.weights, small.bias), 2)[0]
    expected = ((grown[:, 4:-4, 4:-4] - 0.15) / 0.7 * 255).permute(1, 2, 0).round().clip(0, 255)
    assert np.mean((found > 0) & (found < 255)) > 0.2  # not only limits
    assert np.abs(found - expected.numpy()).max() <= 1


def test_a_fake_is_reduced_with_and_without_jpeg_and_grows_to_its_size(small, tile, monkeypatch):
    seen = []
    monkeypatch.setattr(upscalers, 'upscale', lambda name, pixels, folder: seen.append(pixels) or pixels)
    for i in range(60):
        redo_by_upscaler('tiny', tile, np.random.default_rng(i), small.folder)
    assert {pixels.shape for pixels in seen} == {(32, 32, 3)}
    plain = [np.asarray(Image.fromarray(tile).resize((32, 32), each)) for each in FILTERS]
    counts = [sum(np.array_equal(pixels, each) for pixels in seen) for each in plain]
    low, high = upscalers.QUALITIES
    saved = {np.asarray(jpeg(Image.fromarray(each), q)).tobytes() for each in plain for q in range(low, high + 1)}
    assert {pixels.tobytes() for pixels in seen} <= saved | {each.tobytes() for each in plain}
    assert min(counts) > 5 and 6 < 60 - sum(counts) < 32  # 18 are expected to have been saved


@pytest.mark.parametrize(('suffix', 'content'), [('param', b'not a network'), ('bin', b'1234')])
def test_broken_networks_are_named(small, tmp_path, suffix, content):
    (tmp_path / f'some/net.{suffix}').write_bytes(content)
    with pytest.raises(UserError, match='ncnn cannot read them; remove these two'):
        load_upscaler('tiny', small.folder)


def test_photographs_are_redone_by_published_networks(tmp_path, monkeypatch):
    """Each with a piece of its own; the network itself is tested above."""

    def fake(name, real, rng, folder):
        assert folder == 'nets'
        return np.full_like(real, list(UPSCALERS).index(name))

    # a pool of this process, so that the network can be replaced
    here = SimpleNamespace(map=lambda function, *lists, chunksize: map(function, *lists))
    monkeypatch.setattr('generators.redo.ProcessPoolExecutor', lambda *_, **__: nullcontext(here))
    monkeypatch.setattr('generators.redo.redo_by_upscaler', fake)
    draws = []

    def translated_fake(real, folder, rng=None):
        draws.append(rng and rng.bit_generator.seed_seq.entropy)
        return fake('cunet', 255 - real, None, folder)

    monkeypatch.setattr('generators.redo.redo_by_cyclegan', translated_fake)
    fetched = []
    monkeypatch.setattr('generators.redo.fetch', lambda *words: fetched.append(words))
    (tmp_path / 'photos').mkdir()
    for i in range(2):
        Image.effect_noise((300, 200), 60).convert('RGB').save(tmp_path / 'photos' / f'{i}.png')
    words = ['--photos', str(tmp_path / 'photos'), '--out', str(tmp_path / 'out'), '--side', '64']
    main(get_parser().parse_args([*words, '--random', '0', '--published', 'nets', '--upscaled', '4']))
    fakes, reals = (sorted((tmp_path / 'out').glob(f'upscaled/*/{kind}/*.png')) for kind in ('1_fake', '0_real'))
    upscaling, translation = (upscalers.files(), upscalers.PACKAGES), ([translators.WEIGHTS], translators.PACKAGES)
    assert fetched == [('nets', *upscaling), ('nets', *translation)]
    assert {Path(name).suffix for name in upscalers.files()} == {'.param', '.bin'}
    assert len(fakes) == 8 and [p.name for p in fakes] == [p.name for p in reals]
    assert {p.name[:6] for p in fakes} == {'000000', '000001'}
    for path in fakes:
        name = path.stem.partition('_')[2]
        assert path.parent.parent.name == UPSCALERS[name].family
        assert (np.asarray(Image.open(path)) == list(UPSCALERS).index(name)).all()
    translated = [(tmp_path / f'out/translated/cyclegan/{kind}/000001_cyclegan.png') for kind in ('0_real', '1_fake')]
    assert (np.asarray(Image.open(translated[1])) == list(UPSCALERS).index('cunet')).all()
    assert draws == [None, [0, 0, 0, 3], [0, 0, 0, 4], None, [0, 1, 0, 3], [0, 1, 0, 4]]  # as published, then perturbed
    perturbed = sorted((tmp_path / 'out/translated/cyclegan_perturbed/0_real').iterdir())
    assert [p.name for p in perturbed] == [f'00000{i}_cyclegan_{j}.png' for i in (0, 1) for j in (0, 1)]
    assert len({p.read_bytes() for p in (*reals, translated[0], *perturbed)}) == 13  # a piece for each
    again = [*words[:3], str(tmp_path / 'again'), *words[4:], '--random', '0', '--published', 'nets']
    main(get_parser().parse_args(again))
    found = {p.name: p.read_bytes() for p in (tmp_path / 'again').glob('upscaled/*/0_real/*.png')}
    assert len(found) == 12  # six are the default; the first four the same as before
    assert all(found[p.name] == p.read_bytes() for p in reals)
