"""Finding images and generators."""

import pytest

from data.listing import find_generators, fingerprint, list_samples
from tests.conftest import make_image, make_labelled
from util.errors import UserError


def test_samples_are_sorted_and_labelled(forensynths):
    samples = list_samples(forensynths / 'train')
    assert len(samples) == 32 and sum(sample.label for sample in samples) == 16
    assert [s.path for s in samples] == sorted((s.path for s in samples), key=lambda path: path.as_posix())
    assert all(sample.label == (sample.path.parent.name == '1_fake') for sample in samples)


def test_classes_choose_folders(forensynths):
    samples = list_samples(forensynths / 'train', ('horse', 'car'))
    assert {sample.path.parts[-3] for sample in samples} == {'car', 'horse'} and len(samples) == 16
    with pytest.raises(UserError, match=r"no class folder 'dog'.*found: car, cat, chair, horse"):
        list_samples(forensynths / 'train', ('dog',))


def test_a_list_has_a_fingerprint_wherever_its_images_are(forensynths, tmp_path):
    car, cat = (list_samples(forensynths / 'train' / name) for name in ('car', 'cat'))
    (tmp_path / 'moved').symlink_to(forensynths)
    assert fingerprint(forensynths, car) == fingerprint(tmp_path / 'moved', list_samples(tmp_path / 'moved/train/car'))
    elsewhere = [fingerprint(tmp_path / 'other', samples) for samples in (car, cat)]  # --train_split /some/where/else
    assert elsewhere[0] != elsewhere[1] and fingerprint(forensynths, car) not in elsewhere


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(UserError, match='no such folder'):
        list_samples(tmp_path / 'nowhere' / 'deep')
    with pytest.raises(UserError, match='no images under 0_real/'):
        list_samples(tmp_path)
    make_image(tmp_path / 'a' / '0_real' / 'x.png', 0, False)
    (tmp_path / 'a' / '1_fake').mkdir()
    with pytest.raises(
        UserError, match=r'no images under 1_fake/ or \*/1_fake/\n.*found there: a\n.*expected:.*\n.*readable'
    ):
        list_samples(tmp_path)
    assert len(list_samples(tmp_path, both=False)) == 1


def test_generators_of_a_tree(forensynths, tmp_path):
    found = [(g.table, g.name) for g in find_generators(forensynths / 'test')]
    assert found == [('test', 'biggan'), ('test', 'stylegan')]  # the class folders of stylegan belong together
    assert [g.name for g in find_generators(forensynths / 'test' / 'stylegan')] == ['stylegan']
    make_labelled(tmp_path / 'T1' / 'mine', 1)
    make_labelled(tmp_path / 'T2' / 'yours', 1)
    assert [(g.table, g.name) for g in find_generators(tmp_path)] == [('T1', 'mine'), ('T2', 'yours')]
    (tmp_path / 'T3').mkdir()
    with pytest.raises(UserError, match='no 0_real or 1_fake folder'):
        find_generators(tmp_path / 'T3')


def test_a_class_without_reals_is_refused(tmp_path):
    make_labelled(tmp_path / 'car', 1)
    make_image(tmp_path / 'cat' / '1_fake' / 'x.png', 0, True)
    with pytest.raises(UserError, match=r'cat: no images under 0_real/'):
        list_samples(tmp_path)
    assert len(list_samples(tmp_path, both=False)) == 3


def test_linked_folders_are_followed_once(tmp_path):
    make_labelled(tmp_path / 'real' / 'bedroom', 2)
    (tmp_path / 'sets').mkdir()
    (tmp_path / 'sets' / 'stylegan').symlink_to(tmp_path / 'real')
    (tmp_path / 'real' / 'round').symlink_to(tmp_path / 'real')
    assert [g.name for g in find_generators(tmp_path / 'sets')] == ['stylegan']
    make_labelled(tmp_path / 'real' / '.trash', 2)  # hidden, so not looked into
    assert len(list_samples(tmp_path / 'sets' / 'stylegan')) == 4


def test_linked_reals_belong_to_every_generator_that_links_them(tmp_path):
    for number in range(3):
        make_image(tmp_path / 'photos' / f'{number}.png', number, False)
        for name in 'abc':
            make_image(tmp_path / 'train' / name / '1_fake' / f'{number}.png', number, True)
    for name in 'abc':
        (tmp_path / 'train' / name / '0_real').symlink_to(tmp_path / 'photos')
    assert list(list_samples(tmp_path / 'train').labels) == [0, 0, 0, 1, 1, 1] * 3
    assert len(list_samples(tmp_path / 'train', 'abc')) == 18


def test_training_images_beside_test_images_are_no_generators(tmp_path):
    for name in ('train/a', 'val/a', 'train_wide/c', 'val_wide/c', 'test/b'):
        make_labelled(tmp_path / 'edition' / name, 1)
    assert [found.name for found in find_generators(tmp_path)] == ['b']
    assert [found.name for found in find_generators(tmp_path / 'edition' / 'train')] == ['a']
