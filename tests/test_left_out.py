"""Leaving one generator out: what a training may see."""

import shutil

import pytest

from data.left_out import counts, link, read_sources, training_set, validation_reals
from data.listing import list_samples
from data.pairs import PairBatches
from tests.conftest import make_labelled
from util.errors import UserError
from util.files import shortest_tails


def seen(sources, left_out):
    return {key: [path.name for path in paths] for key, paths in training_set(sources, left_out).items()}


def test_a_training_sees_nothing_of_what_it_is_tested_on(field):
    sources = read_sources(field, 'lender')
    assert sources.tested == ('bare', 'one', 'two')
    assert [sources.compared_with(name) for name in sources.tested] == ['lender', 'one', 'two']
    every = {(name, label) for name in ('one', 'two') for label in (0, 1)} | {('bare', 1), ('lender', 0)}
    hidden = {'one': {('one', 0), ('one', 1)}, 'bare': {('bare', 1), ('lender', 0)}, None: set()}
    for left_out, without in hidden.items():
        chosen = seen(sources, left_out)
        for split, count in (('train', 14), ('val', 2)):
            parts = {(name, label): names for (each, name, label), names in chosen.items() if each == split}
            assert set(parts) == every - without and {len(names) for names in parts.values()} == {count}
    chosen = seen(sources, None)
    assert chosen['val', 'one', 1] == sorted(f'{i}.png' for i in range(16))[-2:]
    assert not set(chosen['val', 'one', 1]) & set(chosen['train', 'one', 1])


def test_photographs_are_reals_of_every_training(field, tmp_path):
    make_labelled(tmp_path / 'photos', 16, seed=9)
    sources = read_sources(field, 'lender', tmp_path / 'photos')
    assert 'photographs' not in sources.tested and len(sources.images['photographs'][0]) == 32
    link(training_set(sources, 'bare'), tmp_path / 'data')
    linked = [path.relative_to(tmp_path / 'data').parent.as_posix() for path in (tmp_path / 'data').rglob('*.png')]
    assert linked.count('train/photographs/0_real') == 28 and linked.count('val/photographs/0_real') == 4
    assert not any('bare' in place or 'lender' in place for place in linked)


def test_validation_gets_the_same_photographs_of_all_made_fakes(field, made, tmp_path):
    for number, name in ((0, 'nearest_x2_0'), (7, 'shuffle_x2_1'), (7, 'nearest_x2_0')):
        for kind in ('0_real', '1_fake'):
            folder = tmp_path / 'made' / 'trained' / 'nearest' / kind
            shutil.copy(folder / f'{number}.png', folder / f'{number}_{name}.png')
    sources = read_sources(field, 'lender', made=made)
    assert sources.made == ('trained_nearest', 'trained_shuffle', 'random_nearest')
    chosen = seen(sources, 'one')
    assert {name for _, name, _ in chosen} == {'bare', 'two', 'lender', *sources.made}
    assert chosen['val', 'trained_nearest', 1] == ['7.png', '7_nearest_x2_0.png', '7_shuffle_x2_1.png']
    assert (
        chosen['val', 'random_nearest', 0] == ['7.png']
        and '0_nearest_x2_0.png' in chosen['train', 'trained_nearest', 0]
    )
    assert counts(training_set(sources, 'one')) == {
        'bare': 14, 'two': 28, 'lender': 14, 'trained_nearest': 16, 'trained_shuffle': 14, 'random_nearest': 14
    }  # fmt: skip
    assert validation_reals(training_set(sources, 'one')) == 2 + 2 + 1  # of two, of lender; copies count once
    make_labelled(tmp_path / 'few' / 'nearest', 2)
    with pytest.raises(UserError, match='few_nearest: found 2 photographs'):
        training_set(read_sources(field, 'lender', made=[tmp_path / 'few']), None)
    make_labelled(tmp_path / 'other' / 'random' / 'nearest', 8)
    with pytest.raises(UserError, match='two sources are called random_nearest'):
        read_sources(field, 'lender', made=[*made, tmp_path / 'other' / 'random'])
    for folder in ('made', 'hollow'):
        (tmp_path / 'hollow' / 'nearest' / '1_fake').mkdir(parents=True, exist_ok=True)
        with pytest.raises(UserError, match='no folders with 1_fake in it, or nothing in those'):
            read_sources(field, 'lender', made=[tmp_path / folder])


def test_class_folders_belong_to_their_generator_and_tables_are_none(field, tmp_path):
    for name in ('car', 'cat'):
        make_labelled(field / 'progan' / name, 8)
    sources = read_sources(field, 'lender')
    assert 'progan' in sources.tested and [len(paths) for paths in sources.images['progan'].values()] == [16, 16]
    (field / 'progan' / 'cat' / '0_real' / '2.png').unlink()
    make_labelled(field / 'progan' / '.trash', 1)
    link(training_set(read_sources(field, 'lender'), 'one'), tmp_path / 'data')
    samples = list_samples(tmp_path / 'data' / 'train', both=False)
    partners = PairBatches(samples, 2, 0).partners
    pairs = {tuple(samples[i].path.resolve().relative_to(field.resolve()) for i in pair) for pair in partners.items()}
    own = {pair for pair in pairs if pair[0].parts[0] == 'progan'}
    expected = {f'{folder}/{i}.png' for folder in ('car', 'cat') for i in range(8)} - {
        'cat/2.png',
        'cat/6.png',
        'cat/7.png',
    }
    assert {fake.parent.parent.name + '/' + fake.name for fake, _ in own} == expected  # two are for validation
    assert all(real == fake.parent.parent / '0_real' / fake.name for fake, real in own)
    make_labelled(field / 'GANGen-Detection' / 'AttGAN', 2)
    with pytest.raises(UserError, match=r'holds tables of generators .GANGen-Detection.; give one table'):
        read_sources(field, 'lender')


def test_fakes_keep_their_partners_where_a_real_image_is_missing(field, made, tmp_path):
    (made[0] / 'nearest' / '0_real' / '2.png').unlink()
    link(training_set(read_sources(field, 'lender', made=made), 'one'), tmp_path / 'data')
    samples = list_samples(tmp_path / 'data' / 'train', both=False)
    batches = PairBatches(samples, 2, 0)
    partners = {samples[fake].path.resolve(): samples[real].path.resolve() for fake, real in batches.partners.items()}
    for name in ('3.png', '4.png'):
        place = made[0].resolve() / 'nearest'
        assert partners[place / '1_fake' / name] == place / '0_real' / name
    assert made[0].resolve() / 'nearest' / '1_fake' / '2.png' not in partners


def test_a_generator_may_have_too_few_images_for_validation(field, tmp_path):
    make_labelled(field / 'tiny', 3)
    link(training_set(read_sources(field, 'lender'), 'one'), tmp_path / 'data')
    places = [path.relative_to(tmp_path / 'data').parts[:2] for path in (tmp_path / 'data').rglob('*.png')]
    assert places.count(('train', 'tiny')) == 6 and ('val', 'tiny') not in places


def test_names_are_as_short_as_tells_paths_apart():
    one, two = [('x', 'a', '1'), ('x', 'b', '1')], [('x', 'a', '2'), ('x', 'b', '1')]
    assert shortest_tails(two) == [['2', '1']]
    assert shortest_tails(one, two) == [['a_1', 'b_1'], ['a_2', 'b_1']]
    with pytest.raises(ValueError, match='two paths are the same'):
        shortest_tails([*one, one[0]])


def test_mistakes_are_named(field, tmp_path):
    with pytest.raises(UserError, match='no real images for bare; say whose to lend with --reals'):
        read_sources(field)
    with pytest.raises(UserError, match='--reals nobody: no such folder with 0_real'):
        read_sources(field, 'nobody')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='no images in it or below it'):
        read_sources(field, 'lender', tmp_path / 'empty')
    shutil.rmtree(field / 'two')
    shutil.rmtree(field / 'bare')
    with pytest.raises(UserError, match='found 1 generators'):
        read_sources(field)


def test_a_folder_that_a_kill_left_unfinished_is_made_again(field, tmp_path):
    half = tmp_path / 'data' / '.one.tmp' / 'train' / 'two' / '1_fake'
    half.mkdir(parents=True)
    (half / 'left_behind.png').touch()
    link(training_set(read_sources(field, 'lender'), 'one'), tmp_path / 'data' / 'one')
    assert len(list((tmp_path / 'data' / 'one' / 'train' / 'two' / '1_fake').iterdir())) == 14 and not half.exists()
