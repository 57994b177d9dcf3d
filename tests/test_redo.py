"""Fakes of photographs at their own resolution."""

import numpy as np
import pytest
from PIL import Image

from generators.decoders import DECODERS, decode_tile, load_decoder
from generators.photos import reduce_image
from generators.random_decoders import redo_at_random
from generators.redo import choices, get_parser, main, piece, reduced
from util.errors import UserError


@pytest.fixture
def photos(tmp_path):
    (tmp_path / 'photos').mkdir()
    for i, size in enumerate([(200, 150), (96, 80), (40, 90)]):
        Image.effect_noise(size, 60).convert('RGB').save(tmp_path / 'photos' / f'{i}.png')
    return tmp_path / 'photos'


def test_pieces_of_photographs_are_redone_at_their_own_resolution(photos, tmp_path, capsys):
    words = ['--photos', str(photos), '--out', str(tmp_path / 'out'), '--side', '64', '--random', '3']
    words += ['--shipped', 'latent_f8,nearest_x2']
    main(get_parser().parse_args(words))
    assert (
        '2 photographs redone by 3 shipped, 3 random and 0 published generators each'
        in (out := capsys.readouterr().out)
        and 'too few' in out
    )
    fakes, reals = (sorted((tmp_path / 'out').glob(f'*/*/{name}/*.png')) for name in ('1_fake', '0_real'))
    assert len(fakes) == 12 and [p.name for p in fakes] == [p.name for p in reals]
    whole = {0: Image.fromarray(reduce_image(Image.open(photos / '0.png'))), 1: Image.open(photos / '1.png')}
    assert sum('random_' in fake.name for fake in fakes) == 6
    for fake, real in zip(fakes, reals, strict=True):
        if 'random_' in fake.name:
            check_random(fake, real, whole)
            continue
        place, _, rest = fake.stem.partition('_')
        design, seed = rest.rsplit('_', 1)
        assert fake.parent.parent == fake.parents[3] / 'trained' / DECODERS[design].operator
        image = np.asarray(Image.open(real))
        number = choices().index((design, int(seed)))
        rng = np.random.default_rng([0, int(place), number])
        assert np.array_equal(image, piece(reduced(whole[int(place)], 64, rng), 64, rng))
        expected = decode_tile(load_decoder(design, seed=int(seed)), image, [0, int(place), number])
        assert np.array_equal(np.asarray(Image.open(fake)), expected)
    used = {fake.stem.partition('_')[2] for fake in fakes}
    assert used - {f'random_{i}' for i in range(3)} == {'latent_f8_0', 'nearest_x2_0', 'nearest_x2_1'}


def test_pieces_start_on_multiples_of_8():
    pixels, rng = np.arange(80 * 96 * 3, dtype=np.int64).reshape(80, 96, 3), np.random.default_rng(0)
    found = {piece(pixels, 64, rng)[0, 0, 0] for _ in range(300)}
    assert found == {pixels[y, x, 0] for y in (0, 8, 16) for x in (0, 8, 16, 24, 32)}


def check_random(fake, real, whole):
    """Each has a decoder and a piece of its own, which the seed, the photograph and its number fix."""
    place, _, number = fake.stem.split('_')
    rng = np.random.default_rng([0, int(place), len(choices()) + int(number)])
    expected = piece(reduced(whole[int(place)], 64, rng), 64, rng)
    assert np.array_equal(np.asarray(Image.open(real)), expected)
    operator, expected = redo_at_random(np.asarray(Image.open(real)), rng)
    assert fake.parent.parent == fake.parents[3] / 'random' / operator
    assert np.array_equal(np.asarray(Image.open(fake)), expected)


def test_every_other_photograph_is_reduced_to_a_side_that_suffices():
    image = Image.effect_noise((300, 200), 60).convert('RGB')
    rng = np.random.default_rng(0)
    sizes = [reduced(image, 64, rng).shape for _ in range(200)]
    assert 70 < sizes.count((200, 300, 3)) < 130
    heights = [height for height, _, _ in sizes if height < 200]
    assert min(heights) >= 200 / 3 and min(heights) < 80 and max(heights) > 180
    assert all(abs(width / height - 1.5) < 0.03 for height, width, _ in sizes)
    small = [reduced(image.crop((0, 0, 90, 70)), 64, rng).shape for _ in range(20)]
    assert min(small) == (64, 82, 3)


def test_mistakes_are_named(photos, tmp_path, capsys):
    words = ['--photos', str(photos), '--out', str(tmp_path / 'x')]
    with pytest.raises(UserError, match='nothing would be made'):
        main(get_parser().parse_args([*words, '--random', '0']))
    with pytest.raises(SystemExit):
        get_parser().parse_args([*words, '--shipped', 'latent_f4,factor1'])
    assert 'unknown: factor1; known: bilinear_x2, ' in capsys.readouterr().err
    assert get_parser().parse_args(words).shipped == ()
    with pytest.raises(UserError, match='say with --published where'):
        main(get_parser().parse_args([*words, '--upscaled', '2']))
    with pytest.raises(UserError, match='exists already'):
        main(get_parser().parse_args(['--photos', str(photos), '--out', str(photos)]))
    with pytest.raises(UserError, match='multiple of 8'):
        main(get_parser().parse_args(['--photos', str(photos), '--out', str(tmp_path / 'x'), '--side', '60']))
    large = ['--photos', str(photos), '--out', str(tmp_path / 'x'), '--side', '256']
    for _ in range(2):  # what was not finished is in nobody's way, and nobody takes it for whole
        with pytest.raises(UserError, match='not one photograph could be used'):
            main(get_parser().parse_args(large))
        assert not (tmp_path / 'x').exists()
