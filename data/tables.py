"""The five public tables as data (folders as in the README of the NPR authors)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BenchmarkTable:
    """One table of the NPR paper: its folder below the root of all tables, its generators in printing order."""

    number: int
    name: str
    folder: str
    generators: tuple


TABLES = (
    BenchmarkTable(
        1,
        'ForenSynths',
        'ForenSynths_test',
        ('progan', 'stylegan', 'stylegan2', 'biggan', 'cyclegan', 'stargan', 'gaugan', 'deepfake'),
    ),
    BenchmarkTable(
        2,
        'GANGen-Detection',
        'GANGen-Detection',
        ('AttGAN', 'BEGAN', 'CramerGAN', 'InfoMaxGAN', 'MMDGAN', 'RelGAN', 'S3GAN', 'SNGAN', 'STGAN'),
    ),
    BenchmarkTable(
        3,
        'DiffusionForensics',
        'DiffusionForensics',
        ('adm', 'ddpm', 'iddpm', 'ldm', 'pndm', 'sdv1_new', 'sdv2', 'vqdiffusion'),
    ),
    BenchmarkTable(
        4,
        'UniversalFakeDetect',
        'UniversalFakeDetect',
        ('dalle', 'glide_100_10', 'glide_100_27', 'glide_50_27', 'guided', 'ldm_100', 'ldm_200', 'ldm_200_cfg'),
    ),
    BenchmarkTable(
        5,
        'Diffusion1kStep',
        'Diffusion1kStep',
        ('DALLE', 'ddpm', 'guided-diffusion', 'improved-diffusion', 'midjourney'),
    ),
)

GENERATOR_NAMES = frozenset(name for table in TABLES for name in table.generators)
