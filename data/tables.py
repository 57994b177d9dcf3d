"""The five public tables as data: folders, generators, families, preprocessing, where to obtain them.

`python -m data.tables --dataroot DIR` reports what of them is below DIR (data/inventory.py).

Order as the paper prints it (arXiv:2312.10461v2, Tables 1-5); folders and pages as in the authors' README
(github.com/chuangchuangtan/NPR-DeepfakeDetection); preprocessing as in their test.py, which resizes tables
1, 3 and 4 to 256 x 256, leaves table 2 alone, crops nothing, and does not mention table 5.
"""

import re
from dataclasses import dataclass

PAPER_SIZE = 256  # what the authors' --loadSize defaults to


@dataclass(frozen=True)
class Generator:
    """One generator of a public table; `per_class` is its number of real, and of fake, images if it is known."""

    name: str
    family: str
    aliases: tuple = ()  # folder names seen in downloads; case, '-', '_' and blanks never matter
    per_class: int | None = None


@dataclass(frozen=True)
class BenchmarkTable:
    """One table of the NPR paper: its folder below the root of all tables, its generators in printing order."""

    number: int
    name: str
    folder: str
    data_set: str
    page: str
    resize: bool  # paper mode resizes to 256 x 256 before scoring
    generators: tuple
    aliases: tuple = ()
    remark: str = ''


def _all(family, *names, per_class=None):
    return tuple(Generator(name, family, per_class=per_class) for name in names)


NPR_PAGE = 'https://github.com/chuangchuangtan/NPR-DeepfakeDetection'
TABLES = (
    BenchmarkTable(
        1,
        'ForenSynths',
        'ForenSynths_test',
        'the test set of CNNDetection (Wang et al., CVPR 2020)',
        'https://github.com/PeterWang512/CNNDetection',
        True,
        (
            *_all('gan', 'progan', 'stylegan', 'stylegan2', 'biggan', 'cyclegan', 'stargan', 'gaugan'),
            Generator('deepfake', 'face swap', ('deepfakes', 'faceforensics')),
        ),
        aliases=('CNN_synth_testset',),
        remark='its other folders (crn, imle, san, seeingdark, whichfaceisreal) are not in the paper',
    ),
    BenchmarkTable(
        2,
        'GANGen-Detection',
        'GANGen-Detection',
        'GANGen-Detection (Tan et al.)',
        'https://github.com/chuangchuangtan/GANGen-Detection',
        False,
        # its README: 2k real/fake images in each folder
        (
            *_all('gan', 'AttGAN', 'BEGAN', 'CramerGAN', 'InfoMaxGAN', 'MMDGAN', per_class=2000),
            *_all('gan', 'RelGAN', 'S3GAN', 'SNGAN', 'STGAN', per_class=2000),
        ),
    ),
    BenchmarkTable(
        3,
        'DiffusionForensics',
        'DiffusionForensics',
        'DiffusionForensics (DIRE, Wang et al., ICCV 2023)',
        'https://github.com/ZhendongWang6/DIRE',
        True,
        (
            *_all('diffusion', 'adm', 'ddpm'),
            Generator('iddpm', 'diffusion', ('improved_diffusion',)),
            Generator('ldm', 'diffusion', ('latent_diffusion',)),
            Generator('pndm', 'diffusion'),
            Generator('vqdiffusion', 'diffusion', ('vq_diffusion',)),
            Generator('sdv1_new', 'diffusion', ('sdv1', 'stable_diffusion_v1')),
            Generator('sdv2', 'diffusion', ('stable_diffusion_v2',)),
        ),
        aliases=('DIRE',),
        remark='DIRE names its folders real and <generator>; the README of the NPR authors links a copy with '
        f'0_real and 1_fake ({NPR_PAGE})',
    ),
    BenchmarkTable(
        4,
        'UniversalFakeDetect',
        'UniversalFakeDetect',
        'the diffusion test set of UniversalFakeDetect (Ojha et al., CVPR 2023)',
        'https://github.com/WisconsinAIVision/UniversalFakeDetect',
        True,
        (
            Generator('dalle', 'diffusion', ('dalle_mini',), 1000),
            *_all('diffusion', 'glide_100_10', 'glide_100_27', 'glide_50_27', per_class=1000),
            Generator('guided', 'diffusion', ('adm', 'guided_diffusion'), 1000),
            *_all('diffusion', 'ldm_100', 'ldm_200', 'ldm_200_cfg', per_class=1000),
        ),  # its README: 1k fake and 1k real images for each
        aliases=('diffusion_datasets', 'Ojha'),
        remark='generators that come without real images can borrow them: test.py --reals DIR',
    ),
    BenchmarkTable(
        5,
        'Diffusion1kStep',
        'Diffusion1kStep',
        'Diffusion1kStep (Tan et al.), linked from the README of the NPR authors',
        NPR_PAGE,
        True,
        (
            Generator('ddpm', 'diffusion'),
            Generator('improved-diffusion', 'diffusion', ('iddpm',)),
            Generator('guided-diffusion', 'diffusion', ('adm', 'guided')),
            Generator('midjourney', 'diffusion'),
            Generator('DALLE', 'diffusion'),
        ),
        remark="in none of the authors' scripts; paper mode treats it like tables 1, 3 and 4",
    ),
)
TRAINING_FOLDER = 'ForenSynths_train_val'
EXTRA = '_extra'  # tables named so hold generators that the paper does not have


def plain(name):
    """'Guided_Diffusion' -> 'guideddiffusion': what two spellings of a folder's name have in common."""
    return re.sub(r'[-_ ]', '', name).lower()


def match_table(name):
    """The public table that a folder's (or table's) name stands for, or None."""
    for table in TABLES:
        if plain(name) in map(plain, (table.name, table.folder, *table.aliases)):
            return table
    return None


def match_generator(table, name):
    """The generator of `table` that a folder's name stands for, or None; its own name goes before any alias."""
    for spellings in (lambda known: (known.name,), lambda known: known.aliases):
        for known in table.generators:
            if plain(name) in map(plain, spellings(known)):
                return known
    return None


def known_anywhere(name):
    """Is this the name of a generator of any public table?"""
    return any(match_generator(table, name) for table in TABLES)


def family_of(table, generator):
    """'gan', 'diffusion', 'face swap', 'control', or '' where nothing is known.

    Args:
        table: name or folder of a public table, or of one of UpsampleBench (U<digit>_...).
        generator: its generator; ddpm, ldm and dalle are in several tables, so the table is always needed.
    """
    public = match_table(table)
    if public:
        known = match_generator(public, generator)
        return known.family if known else ''
    if re.match(r'U\d_', table):
        return 'control' if table.endswith('_controls') else 'diffusion' if 'diffusion' in table else 'gan'
    return ''


def paper_pixels(table):
    """(load size, crop size) with which the authors score a table; None leaves the step out.

    Tables that are not the paper's (and table 5) are treated like tables 1, 3 and 4.
    """
    public = match_table(table.removesuffix(EXTRA))
    return (None if public and not public.resize else PAPER_SIZE, None)


if __name__ == '__main__':
    from data.inventory import run

    run()
