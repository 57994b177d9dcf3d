"""Numbers of the README and of docs/detectors_for_use.md are those of the result files; links lead somewhere."""

import re

import numpy as np
import pytest

from analysis.own_rate import fakes_found, read_table
from analysis.paired import compare
from tests.conftest import ROOT
from util.files import read_json

README, FOR_USE = ((ROOT / name).read_text() for name in ('README.md', 'docs/detectors_for_use.md'))
RESULTS, WIDE = (ROOT / 'results' / name for name in ('upsamplebench', 'wide'))
CONDITIONS, FACTORS = ('as_is', 'jpeg_95', 'jpeg_75'), ('0.75', '0.9', '1.1', '1.25')
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


def mean_lines(folder):
    """{table, or '' for all: {heading: cell}} of the means of a comparison."""
    heading, _, *lines = [cells(line) for line in (folder / 'comparison.md').read_text().splitlines()[:20]]
    return {line[1]: dict(zip(heading, line, strict=True)) for line in lines if line[0] == 'mean'}


@pytest.mark.parametrize('design', SCALES)
def test_the_table_of_designs_is_that_of_the_comparison(design):
    assert sorted(path.name for path in (RESULTS / 'results').iterdir()) == sorted(SCALES)
    means, wide = mean_lines(RESULTS), mean_lines(WIDE)['']
    found = [means[table][f'AP {design}'] for table in ('U1_gan_decoders', 'U2_diffusion_decoders', '')]
    found += [means[''][f'Acc. {design}'], wide.get(f'AP {design}', '-')]
    assert f'| {" | ".join([*SCALES[design], *found])} |' in README


def test_what_is_said_of_the_wide_training_is_in_its_comparison():
    found = {}
    for test in read_json(WIDE / 'comparison.json')['comparison']['tests']:
        if not test['family']:
            found[test['detector'], test['metric']] = [100 * test['interval'][k] for k in ('estimate', 'low', 'high')]
    text = ' '.join(README.split())
    three, accuracy = found['multiscale_3', 'ap'], found['multiscale_3', 'accuracy']
    words = 'three scales {:+.1f} points of AP ({:+.1f} to {:+.1f}), {:+.1f} of accuracy ({:+.1f} to {:+.1f})'
    assert words.format(*three, *accuracy) in text
    assert 'instead of one {:+.1f} ({:+.1f} to {:+.1f}), half of which'.format(*three) in text
    assert 'half of it ({:+.1f}, {:+.1f} to {:+.1f})'.format(*found['three_0.5', 'ap']) in text


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
    words = 'with a mean AUC of {:.1f} (its recipe was chosen on these six), but of their fakes only {:.0f}% lie above'
    means = [100 * study['summary']['as_is'][key]['mean'] for key in ('auc', 'fake_accuracy', 'real_accuracy')]
    assert (words + ' a threshold that keeps {:.0f}% of the reals').format(*means) in ' '.join(README.split())


def test_what_a_looser_threshold_finds_is_that_of_the_study_it_names():
    rates = read_json(ROOT / 'results' / 'field' / 'leave_one_out.json')['rates']
    reals, fakes = zip(*(rates[condition]['0.1'] for condition in CONDITIONS), strict=True)
    fakes, reals = ([f'{100 * share:.0f}' for share in shares] for shares in (fakes, [1 - share for share in reals]))
    words = 'these detectors find {}, {} and {}% of the fakes of generators left out, with {}, {} and {}% of the reals'
    assert words.format(*fakes, *reals) in ' '.join(README.split())


def test_what_is_said_of_resized_images_is_that_of_the_study():
    found = read_json(ROOT / 'results' / 'field' / 'e28_e24.json')['summary']
    factors = [found[f'resize_{factor}'] for factor in FACTORS]
    aucs = [f'{100 * part["auc"]["mean"]:.1f}' for part in (*factors, found['as_is'])]
    alarms = [f'{100 * (1 - part["real_accuracy"]["mean"]):.0f}%' for part in factors[2:]]
    text = ' '.join(README.split())
    assert '{}, {}, {} and {} at 0.75, 0.9, 1.1 and 1.25 ({} as they are;'.format(*aucs) in text
    assert 'calls {} of the real images fake that were enlarged by 1.1, {} at 1.25 (E28).'.format(*alarms) in text


def pair(new, base, **options):
    """analysis.paired of two files in results/field."""
    return compare(*(read_json(ROOT / 'results' / 'field' / name) for name in (new, base)), **options)['mean']


def at_own_rate(name, generators):
    """Fakes found where 5% of each generator's own reals lie above, percent, one for each of CONDITIONS."""
    found = fakes_found(read_table(ROOT / 'results' / 'field' / f'{name}.csv.gz'))
    return [100 * (found[c][generators] if generators else found[c]).mean() for c in CONDITIONS]


def test_what_is_said_of_the_earlier_training_is_that_of_the_studies():
    text, six = ' '.join(FOR_USE.split()), pair('leave_one_out.json', 'e26_e16.json')
    gains = [[100 * six[c]['auc'][key] for key in ('mean', 'low', 'high')] for c in CONDITIONS]
    assert 'rose by {:.1f} ({:.1f} to {:+.1f}), '.format(*gains[0]) in text
    assert '{:.1f} ({:+.1f} to {:+.1f}) and {:.1f} points ({:.1f} to {:+.1f})'.format(*gains[1], *gains[2]) in text
    four = pair('elsewhere/elsewhere.json', 'elsewhere/e27_e16.json')['mean of the three']['auc']
    assert 'elsewhere by {mean:.1f} ({low:.1f} to {high:+.1f})'.format(**{k: 100 * x for k, x in four.items()}) in text
    fakes = [100 * six[c]['fake_accuracy'][key] for key in ('new', 'base') for c in CONDITIONS]
    words = '{:.0f}, {:.0f} and {:.0f}% of the fakes are found instead of {:.0f}, {:.0f} and {:.0f} (E26'
    assert words.format(*fakes) in text
    reals = [100 * six['jpeg_75']['real_accuracy'][key] for key in ('new', 'base')]
    assert '{:.0f}% lie below the threshold instead of {:.0f}'.format(*reals) in text
    found = [*at_own_rate('scores', None), *at_own_rate('e26_e16', None)]
    assert '{:.0f}, {:.0f} and {:.0f}% are found instead of {:.0f}, {:.0f} and {:.0f} (`'.format(*found) in text


@pytest.mark.parametrize(
    ('row', 'folder', 'generators'),
    [
        ('diffusion models (three)', '', ['ldm_superres', 'ldm_text', 'sdv1']),
        ('pix2pix (two)', '', ['pix2pix_facades', 'pix2pix_maps']),
        ('StyleGAN2', '', ['stylegan2_ffhq256']),
        ('all six', '', None),
        ('elsewhere (four)', 'elsewhere/', None),
        ('of these, Gemini 3 Pro Image', 'elsewhere/', ['gemini_3_pro']),
    ],
)
def test_the_table_of_copies_is_that_of_the_study(row, folder, generators):
    joined, alone = (f'{folder}e31_{kind}' for kind in ('joined', 'alone'))
    found = pair(f'{joined}.json', f'{alone}.json', generators=generators)

    def values(metric, key, form='.0f'):
        return ', '.join(f'{100 * found[condition][metric][key]:{form}}' for condition in CONDITIONS)

    expected = [row, values('auc', 'new', '.1f'), values('auc', 'mean', '+.1f')]
    expected += [f'{values(m, "new")} ({values(m, "base")})' for m in ('fake_accuracy', 'real_accuracy')]
    own = [', '.join(f'{share:.0f}' for share in at_own_rate(name, generators)) for name in (joined, alone)]
    assert f'| {" | ".join([*expected, f"{own[0]} ({own[1]})"])} |' in FOR_USE


@pytest.mark.parametrize(
    ('study', 'row'),
    [
        ('e16.json', "| a published CycleGAN's fakes beside | {} | E16 |"),
        ('e26_e16.json', '| the same, other fakes and seeds | {} | E26 |'),
        ('leave_one_out.json', ': `fine_npr` | {} | E26 |'),
        ('e31_alone.json', '(alone, with the same seeds: {})'),
        ('e31_joined.json', ') | {} | E31 |'),
    ],
)
def test_the_steps_to_the_detectors_for_use_are_those_of_the_studies(study, row):
    found = read_json(ROOT / 'results' / 'field' / study)['summary']
    means = ', '.join('{:.1f}'.format(100 * found[condition]['auc']['mean']) for condition in CONDITIONS)
    assert row.format(means) in FOR_USE


def test_what_is_said_of_copies_of_resized_images_is_that_of_the_study():
    found = pair('e33_joined.json', 'e28_e24.json')
    values = {
        (metric, key): ['{:.{}f}'.format(100 * found[f'resize_{factor}'][metric][key], digits) for factor in FACTORS]
        for metric, digits in (('auc', 1), ('real_accuracy', 0))
        for key in ('new', 'base')
    }
    new, base, reals, before = values.values()
    words = (
        '({} and {} at 0.75 and 0.9 instead of {} and {}) and enlarged ones lower ({} and {} at 1.1 and 1.25 instead '
    )
    words += (
        'of {} and {}), and of enlarged reals {} and {}% lie below the threshold instead of {} and {} (E33, seed 8)'
    )
    found = words.format(*new[:2], *base[:2], *new[2:], *base[2:], *reals[2:], *before[2:])
    assert found in ' '.join(FOR_USE.split())


def test_what_copies_cost_and_gain_is_in_the_readme_too():
    def gains(generators, folder=''):
        found = pair(f'{folder}e31_joined.json', f'{folder}e31_alone.json', generators=generators)
        return ['{:.1f}'.format(abs(100 * found[condition]['auc']['mean'])) for condition in CONDITIONS]

    words = "Diffusion models rank {}, {} and {} points higher, Gemini's pictures {}, {} and {}, "
    words += 'StyleGAN2 {}, {} and {} lower'
    found = [*gains(['ldm_superres', 'ldm_text', 'sdv1']), *gains(['gemini_3_pro'], 'elsewhere/')]
    assert words.format(*found, *gains(['stylegan2_ffhq256'])) in ' '.join(README.split())


PAGES = ['README.md', *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('docs/**/*.md'))]


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files(page):
    links = re.findall(r'\]\(((?!https?:)[^)#]+)', (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    assert len(links) > 15 or page != 'README.md'
