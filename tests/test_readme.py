"""Numbers of the README are those of the published result files, and its links lead somewhere."""

import re

import numpy as np
import pytest

from tests.conftest import ROOT
from util.files import read_json

README = (ROOT / 'README.md').read_text()
RESULTS = ROOT / 'results' / 'upsamplebench'
CONDITIONS = ('as_is', 'jpeg_95', 'jpeg_75')
SCALES = {
    'baseline': ('0.5', '-'),
    'multiscale_3': ('0.25, 0.5, 0.75', 'evidence'),
    'multiscale_4': ('0.2, 0.4, 0.6, 0.8', 'evidence'),
    'multiscale_2_fine': ('0.5, 0.75', 'evidence'),
    'multiscale_2_coarse': ('0.25, 0.5', 'evidence'),
    'attention_3': ('0.25, 0.5, 0.75', 'MLP attention'),
    'single_0.25': ('0.25', '-'),
    'single_0.75': ('0.75', '-'),
    'three_0.5': ('0.5, 0.5, 0.5', 'evidence'),
}


def cells(line):
    return [cell.strip() for cell in line.strip('|').split('|')]


@pytest.mark.parametrize('design', SCALES)
def test_the_table_of_designs_is_that_of_the_comparison(design):
    assert sorted(path.name for path in (RESULTS / 'results').iterdir()) == sorted(SCALES)
    heading, _, *lines = [cells(line) for line in (RESULTS / 'comparison.md').read_text().splitlines()[:20]]
    means = {line[1]: dict(zip(heading, line, strict=True)) for line in lines if line[0] == 'mean'}
    found = [means[table][f'AP {design}'] for table in ('U1_gan_decoders', 'U2_diffusion_decoders', '')]
    assert f'| {" | ".join([*SCALES[design], *found, means[""][f"Acc. {design}"]])} |' in README


def test_the_table_of_generators_left_out_is_that_of_the_study():
    study = read_json(ROOT / 'results' / 'field' / 'leave_one_out.json')
    names = {line[0]: line[1:] for line in map(cells, README.splitlines()) if len(line) == 5}
    shown = {
        'ldm_superres': 'latent diffusion, super-resolution',
        'ldm_text': 'latent diffusion, text',
        'pix2pix_facades': 'pix2pix, facades',
        'pix2pix_maps': 'pix2pix, maps',
        'sdv1': 'Stable Diffusion v1',
        'stylegan2_ffhq256': 'StyleGAN2, FFHQ',
    }
    assert set(study['images']) == set(shown)
    for name, row in [*shown.items(), (None, 'mean')]:
        expected, alone = [], []
        for condition in CONDITIONS:
            entries = [entry for key, entry in study['generators'][condition].items() if name in (None, key)]
            auc = 100 * np.mean([entry['auc'] for entry in entries], axis=0)
            reals, fakes = (100 * np.mean([e[f'{kind}_accuracy'] for e in entries]) for kind in ('real', 'fake'))
            expected.append(f'{auc.mean():.1f} ± {auc.std(ddof=1):.1f} ({reals:.0f}, {fakes:.0f})')
            values = study['alone']['smoothness'][condition]
            alone.append(f'{100 * np.mean([value for key, value in values.items() if name in (None, key)]):.0f}')
        assert names[row] == [*expected, ', '.join(alone)]


def test_links_lead_to_files():
    links = re.findall(r'\]\(((?!https?:)[^)#]+)', README)
    assert len(links) > 15 and [link for link in links if not (ROOT / link).exists()] == []
