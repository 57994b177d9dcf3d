"""The five public tables: recognised, collected, reported."""

import numpy as np
import pytest
from PIL import Image

from data.collection import collect, describe, list_reals
from data.inventory import report, take_stock
from data.listing import find_generators
from data.published import published_results
from data.tables import TABLES, family_of, match_generator
from tests.conftest import make_image, make_labelled
from util.errors import UserError

WITH_CLASSES = ('progan', 'stylegan', 'stylegan2', 'cyclegan')


@pytest.fixture(scope='module')
def public_root(tmp_path_factory):
    """All five tables, one real and one fake image for each generator (or class), and a table of someone's own."""
    root = tmp_path_factory.mktemp('datasets') / 'Generalization_Test'
    for table in TABLES:
        for generator in table.generators:
            for inner in ('cat', 'dog') if generator.name in WITH_CLASSES else ('',):
                make_labelled(root / table.folder / generator.name / inner, 1, side=16)
    make_labelled(root / 'a_table' / 'mine', 1, side=16)
    return root


def names_of(generators):
    return [(generator.table, generator.name) for generator in generators]


# -- the tables ------------------------------------------------------------------------------------------------------


def test_five_tables_with_families():
    assert [len(table.generators) for table in TABLES] == [8, 9, 8, 8, 5]
    assert family_of('ForenSynths_test', 'deepfake') == 'face swap' and family_of('ForenSynths', 'ProGAN') == 'gan'
    assert {family_of(table.name, g.name) for table in TABLES[2:] for g in table.generators} == {'diffusion'}
    assert family_of('Diffusion1kStep', 'dalle') == 'diffusion' and family_of('GANGen-Detection', 'dalle') == ''
    made = ('U0_seen', 'U1_gan_decoders', 'U2_diffusion_decoders', 'U4_controls', 'other')
    assert [family_of(table, 'x') for table in made] == ['gan', 'gan', 'diffusion', 'control', '']


def test_no_folder_name_stands_for_two_generators_of_a_table():
    for table in TABLES:
        for generator in table.generators:
            assert match_generator(table, generator.name) is generator
            for alias in generator.aliases:
                assert match_generator(table, alias.upper()) is generator


def test_published_numbers_cover_every_generator():
    for method in ('NPR', 'CNNDetection', 'LGrad', 'Ojha'):
        found = published_results(method)
        assert set(found) == {(table.name, g.name) for table in TABLES for g in table.generators}
    npr = published_results()
    assert npr['ForenSynths', 'biggan']['accuracy'] == pytest.approx(0.875)
    # arXiv:2312.10461v2 prints these means
    for table, accuracy in zip(TABLES, (92.5, 93.2, 95.3, 95.2, 80.1), strict=True):
        mean = np.mean([npr[table.name, g.name]['accuracy'] for g in table.generators])
        assert 100 * mean == pytest.approx(accuracy, abs=0.1)
    with pytest.raises(ValueError, match='known: CNNDetection'):
        published_results('none')


# -- finding them ----------------------------------------------------------------------------------------------------


def test_everything_is_found_in_printing_order(public_root):
    expected = [(table.name, g.name) for table in TABLES for g in table.generators] + [('a_table', 'mine')]
    assert names_of(find_generators(public_root)) == expected
    found = collect(public_root)
    assert len(found.samples) == 2 * (38 + len(WITH_CLASSES)) + 2 and found.not_found == []
    assert found.rows[0] == ('ForenSynths', 'progan', 0, 'ForenSynths_test/progan/cat/0_real/0.png', 'gan')
    assert names_of(find_generators(public_root / 'Diffusion1kStep'))[-1] == ('Diffusion1kStep', 'DALLE')
    one = find_generators(public_root / 'ForenSynths_test' / 'cyclegan')
    assert names_of(one) == [('ForenSynths', 'cyclegan')]
    assert len(find_generators(public_root.parent)) == 39


def test_aliases_and_extras(tmp_path):
    for folder in (
        'gangen_detection/attgan',
        'DIRE/Stable-Diffusion_V1',
        'DIRE/Improved_Diffusion',
        'Ojha/guided_diffusion',
    ):
        make_labelled(tmp_path / folder, 1, side=16)
    make_labelled(tmp_path / 'CNN_synth_testset' / 'DeepFakes', 1, side=16)
    make_labelled(tmp_path / 'CNN_synth_testset' / 'crn', 1, side=16)
    make_labelled(tmp_path / 'ForenSynths_train_val' / 'train' / 'car', 1, side=16)  # is no test set
    assert names_of(find_generators(tmp_path)) == [
        ('ForenSynths', 'deepfake'),
        ('ForenSynths_extra', 'crn'),  # not in the paper, so not in its table
        ('GANGen-Detection', 'AttGAN'),
        ('DiffusionForensics', 'iddpm'),
        ('DiffusionForensics', 'sdv1_new'),
        ('UniversalFakeDetect', 'guided'),
    ]
    make_labelled(tmp_path / 'DIRE' / 'sdv1_new', 1, side=16)  # the very name goes before an alias
    found = {generator.folder.name: (generator.table, generator.name) for generator in find_generators(tmp_path)}
    assert found['sdv1_new'] == ('DiffusionForensics', 'sdv1_new')
    assert found['Stable-Diffusion_V1'] == ('DiffusionForensics_extra', 'Stable-Diffusion_V1')
    make_labelled(tmp_path / 'ForenSynths_test' / 'deepfake', 1, side=16)
    with pytest.raises(UserError, match='ForenSynths/deepfake is there twice'):
        find_generators(tmp_path)


def test_what_is_missing_is_said(tmp_path):
    make_labelled(tmp_path / 'ForenSynths_test' / 'biggan', 1, side=16)
    found = collect(tmp_path)
    assert len(found.not_found) == 5 and found.not_found[0].startswith('table 1, ForenSynths: not found: progan, ')
    assert found.not_found[4] == f'table 5, Diffusion1kStep: not found (expected {tmp_path / "Diffusion1kStep"})'
    assert found.not_found[4] in describe(tmp_path, found)
    assert len(collect(tmp_path / 'ForenSynths_test').not_found) == 1
    assert collect(tmp_path / 'ForenSynths_test' / 'biggan').not_found == []
    make_labelled(tmp_path / 'own' / 'U1_gan_decoders' / 'nearest_x2', 1, side=16)
    assert collect(tmp_path / 'own').not_found == []  # nobody asked for the public tables there


def test_reals_are_lent_to_those_without(tmp_path):
    root = tmp_path / 'tests'
    make_image(root / 'UniversalFakeDetect' / 'dalle' / '1_fake' / 'a.png', 0, True, 16)
    make_labelled(root / 'UniversalFakeDetect' / 'ldm_100', 1, side=16)
    make_image(tmp_path / 'photos' / 'deep' / 'r.png', 0, False, 16)
    found = collect(root, reals=tmp_path / 'photos')
    assert found.borrowed == ['UniversalFakeDetect/dalle'] and len(found.samples) == 4
    assert found.rows[0] == ('UniversalFakeDetect', 'dalle', 0, '../photos/deep/r.png', 'diffusion')
    assert any('lent to: UniversalFakeDetect/dalle' in line for line in describe(root, found, 'photos'))
    make_labelled(tmp_path / 'set', 2, side=16)
    assert [sample.path.parent.name for sample in list_reals(tmp_path / 'set')] == ['0_real', '0_real']
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'no real images to lend \(--reals\)'):
        collect(root, reals=tmp_path / 'empty')


# -- the report ------------------------------------------------------------------------------------------------------


def test_report_of_all_tables(call, public_root):
    status, out, _ = call('data/tables.py', '--dataroot', public_root)
    assert status == 0 and out.count('not found') == 0 and 'To obtain' not in out
    assert 'Table 1, ForenSynths: 8 of 8 generators' in out and '2: cat dog' in out and 'png:2' in out
    assert 'fewer than expected (2000 each)' in out and 'a_table/mine' in out


def test_report_of_what_is_missing_or_laid_out_otherwise(tmp_path):
    tests = tmp_path / 'Generalization_Test'
    make_image(tests / 'ForenSynths_test' / 'progan' / 'cat' / '1_fake' / 'a.png', 0, True, 16)
    make_image(tests / 'DiffusionForensics' / 'adm' / 'real' / 'a.png', 0, True, 16)
    make_labelled(tests / 'downloads' / 'ldm_100', 1, side=16)
    make_labelled(tests / 'downloads' / 'ldm_200', 1, side=16)
    text = '\n'.join(report(tests))
    assert 'fake only' in text and 'Table 3, DiffusionForensics: not found' in text
    assert 'adm without 0_real and 1_fake' in text and 'it holds: real' in text
    assert 'ldm_100, ldm_200 look like table 4' in text and 'name their folder UniversalFakeDetect' in text
    assert all(table.page in text for table in TABLES)
    assert f'the tables are in {tests}' in '\n'.join(report(tmp_path))  # one level too high
    deep = '\n'.join(report(tests / 'ForenSynths_test'))
    assert 'is table 1 (ForenSynths) itself' in deep and f'the folder above: {tests}' in deep
    with pytest.raises(UserError, match='the images of one generator; expected the root'):
        report(tests / 'ForenSynths_test' / 'progan')
    (tmp_path / 'empty').mkdir()
    for name in ('empty', 'nowhere'):
        lines = report(tmp_path / name)
        assert sum('not found' in line for line in lines) == 5 and 'To obtain what is missing' in '\n'.join(lines)
        assert (lines[0] == f'{tmp_path}/{name}: no such folder') == (name == 'nowhere')


def test_stock_samples_headers(tmp_path):
    make_labelled(tmp_path, 30, side=16)
    Image.new('RGB', (40, 20)).save(tmp_path / '0_real' / '0.jpg')
    (tmp_path / '1_fake' / 'broken.png').write_bytes(b'no image')
    stock = take_stock(tmp_path)
    assert (stock.real, stock.fake, stock.formats) == (31, 31, {'png': 61, 'jpg': 1})
    assert stock.sizes == ((16, 16), (40, 20)) and stock.looked <= 40


def test_a_table_that_is_laid_out_otherwise_is_not_called_missing(tmp_path):
    make_labelled(tmp_path / 'ForenSynths_test' / 'progan', 1)
    (tmp_path / 'DiffusionForensics' / 'ddpm' / 'real').mkdir(parents=True)
    sentences = {sentence.split(':')[0]: sentence for sentence in collect(tmp_path).not_found}
    assert 'is there, but without 0_real and 1_fake' in sentences['table 3, DiffusionForensics']
    assert 'expected' in sentences['table 2, GANGen-Detection']
