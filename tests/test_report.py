"""Report and slides: no number without a result file, sentences by outcome, nothing that overflows."""

import copy
import hashlib
import operator
import re
import shutil
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from matplotlib import font_manager
from PIL import Image, ImageFont
from pptx import Presentation
from pptx.util import Emu
from pypdf import PdfReader
from report.words import percent, points, typographic

import report.evidence
from networks import load_detector, weights_fingerprint
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.__main__ import contents
from report.deck import fitting_size
from report.evidence import load
from report.findings import ablation, added, aim, believed, conclusion, headline, limits, not_run
from report.paper import write_report
from report.slides import write_slides
from tests.conftest import ROOT
from util.errors import UserError
from util.files import read_json, write_json

RESULTS = ROOT / 'results' / 'upsamplebench'
NUMBER = re.compile(r'\d+(?:\.\d+)?')
# Numbers of the prose of report.typ, slides.toml and findings.py, which are no results of ours.
METHOD = {
    '0', '1', '2', '3', '4', '12', '15', '32', '128',  # the residual, its ranks, the architecture, the aim
    '0.25', '0.5', '0.75', '0.001',  # scales, chance, a bound of p-values
    '0.09', '0.69',  # RIDER's ablation
    '79.7', '92.5', '26',  # what users of NPR report, in issue 26 of its repository
    '100',  # GB of the public sets
}  # fmt: skip


def tokens(value):
    """All numbers in the strings of a nested value."""
    if isinstance(value, str):
        return set(NUMBER.findall(value))
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return set().union(*map(tokens, value)) if isinstance(value, list | tuple) else set()


class Traced:
    """A number of a result file that writes down how it is printed, and whose arithmetic gives such numbers."""

    printed: ClassVar = set()

    def __format__(self, spec):
        text = format(plain(self), spec)
        Traced.printed |= tokens(text)
        return text

    def __str__(self):
        return format(self, '')


def plain(value):
    return value.as_integer_ratio()[0] if isinstance(value, TracedInt) else float(value)


def operation(name, reflected=False):
    function = getattr(operator, name)

    def method(self, other):
        values = [plain(each) if isinstance(each, Traced) else each for each in (self, other)]
        return traced(function(*(reversed(values) if reflected else values)))

    return method


class TracedInt(Traced, int):
    pass


class TracedFloat(Traced, float):
    pass


for _name in ('add', 'sub', 'mul', 'truediv'):
    for _class in (TracedInt, TracedFloat):
        setattr(_class, f'__{_name}__', operation(_name))
        setattr(_class, f'__r{_name}__', operation(_name, reflected=True))


def traced(value):
    """The same nested value with numbers that are traced."""
    if isinstance(value, dict):
        return {key: traced(each) for key, each in value.items()}
    if isinstance(value, list):
        return [traced(each) for each in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return (TracedInt if isinstance(value, int) else TracedFloat)(value)


@pytest.fixture
def results():
    return load(RESULTS)


def result_numbers(monkeypatch):
    """(contents of the committed results, numbers that may stand in them)"""
    read = []

    def traced_json(path):
        read.append(read_json(path))
        return traced(read[-1])

    monkeypatch.setattr(report.evidence, 'read_json', traced_json)
    Traced.printed = set()
    evidence = load(RESULTS)
    found = contents(evidence)
    counts = {len(evidence.names), len(evidence.generators(BASELINE.name)), len(evidence.seeds)}
    counts |= {len(summary['tables']) for summary in evidence.comparison['detectors'].values()}
    scales = {f'{scale:g}' for design in DESIGNS for scale in design.scales}
    tables = tokens([table.name for table, _ in evidence.public])
    allowed = Traced.printed | tokens(read) | tokens([f'{count}' for count in counts]) | scales | tables
    return found, allowed | {str(table.number) for table, _ in evidence.public}


def test_every_number_of_the_contents_is_read_from_a_result_file(monkeypatch):
    found, allowed = result_numbers(monkeypatch)
    assert Traced.printed
    strange = tokens(found) - allowed - METHOD
    assert not strange, strange


def test_a_number_that_is_in_no_result_file_would_be_noticed(monkeypatch):
    monkeypatch.setattr('report.findings.seeds', lambda evidence: 'Mean AP 98.76.')
    found, allowed = result_numbers(monkeypatch)
    assert tokens(found) - allowed - METHOD == {'98.76'}


def pdf_text(path):
    return '\n'.join(page.extract_text() for page in PdfReader(path).pages)


def slide_text(path):
    parts = []
    for slide in Presentation(path).slides:
        parts += [shape.text_frame.text for shape in slide.shapes if shape.has_text_frame]
        tables = [shape.table for shape in slide.shapes if shape.has_table]
        parts += [cell.text for table in tables for row in table.rows for cell in row.cells]
        parts.append(slide.notes_slide.notes_text_frame.text)
    return '\n'.join(parts)


@pytest.mark.parametrize('name, read', [('report.pdf', pdf_text), ('slides.pptx', slide_text)])
def test_published_documents_hold_the_published_results_and_no_other_number(monkeypatch, name, read):
    found, allowed = result_numbers(monkeypatch)
    text = read(RESULTS / name)
    small = {str(number) for number in range(20)}  # of pages, slides, sections, figures, references
    references = tokens((ROOT / 'report' / 'references.yml').read_text()) | {'2024'}
    strange = tokens(text) - allowed - METHOD - small - references
    assert not strange, strange
    flat = ''.join(text.split())
    for part in (found['design_table'], *found['generator_tables']):
        for row in part['rows']:
            assert ''.join(''.join(row).split()) in flat, row
    assert ''.join(found['headline'].split()) in flat
    assert name != 'report.pdf' or 4 <= len(PdfReader(RESULTS / name).pages) <= 6


def width_of(text, size):
    """Width in inches of a line in a font that is a little wider than Arial."""
    path = font_manager.findfont('DejaVu Sans')
    return ImageFont.truetype(path, 100).getlength(text) / 100 * size / 72 * 0.92


def wrapped(text, size, width):
    """Number of lines of a paragraph, word by word."""
    lines, line = 1, ''
    for word in text.split(' '):
        if line and width_of(f'{line} {word}', size) > width:
            lines, line = lines + 1, word
        else:
            line = f'{line} {word}'.strip()
    return lines


def test_slides_are_complete_and_nothing_leaves_them():
    presentation = Presentation(RESULTS / 'slides.pptx')
    assert 15 <= len(presentation.slides) <= 18
    for slide in presentation.slides:
        assert slide.shapes.title.text_frame.text
        notes = slide.notes_slide.notes_text_frame.text
        assert 'If asked "' in notes and len(notes) > 100
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.top >= 0
            assert shape.left + shape.width <= presentation.slide_width
            assert shape.top + shape.height <= presentation.slide_height
            if shape.has_text_frame and shape.text_frame.text:
                paragraphs = shape.text_frame.paragraphs
                size, width = paragraphs[0].font.size.pt, Emu(shape.width).inches
                lines = sum(wrapped(paragraph.text, size, width) for paragraph in paragraphs)
                height = (lines * 1.2 + 0.6 * (len(paragraphs) - 1)) * size / 72
                assert height <= Emu(shape.height).inches + 0.05, shape.text_frame.text
            if shape.has_table:
                for row in shape.table.rows:
                    for cell, column in zip(row.cells, shape.table.columns, strict=True):
                        font = cell.text_frame.paragraphs[0].font
                        assert width_of(cell.text, font.size.pt) * (1.1 if font.bold else 1) <= Emu(column.width).inches
        pictures = [shape for shape in slide.shapes if shape.shape_type == 13]
        for one in pictures:
            for other in slide.shapes:
                if other is not one and other.has_text_frame and other.text_frame.text:
                    assert not overlap(one, other), (slide.shapes.title.text, other.text_frame.text)


def overlap(one, other):
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return across > 0 and down > 0


def test_text_that_fits_no_slide_is_refused():
    assert fitting_size(['short'], 10, 5) > fitting_size(['long ' * 200], 10, 5)
    with pytest.raises(ValueError, match='too much text for a slide'):
        fitting_size(['long ' * 2000], 10, 5)


def with_outcome(results, low, high, p, metric='ap'):
    """The results, with another outcome of the proposal."""
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        if (test['detector'], test['metric']) == (PROPOSED.name, metric):
            test['interval'] = {'estimate': (low + high) / 2, 'low': low, 'high': high}
            test['wilcoxon'] |= {'p_holm': p, 'smallest_p': 0.001}
    return replace(results, comparison=comparison)


@pytest.mark.parametrize(
    'low, high, p, begins, concludes',
    [
        (0.01, 0.05, 0.01, 'Several scales rank images of 4 unseen generators better than one: mean AP +3.0', 'better'),
        (-0.05, -0.01, 0.01, 'Several scales rank images of 4 unseen generators worse than one', 'worse'),
        (0.01, 0.05, 0.2, 'No gain from several scales is shown', 'do not show'),
        (-0.01, 0.05, 0.01, 'No gain from several scales is shown', 'do not show'),
    ],
)
def test_sentences_follow_the_outcome(results, low, high, p, begins, concludes):
    results = with_outcome(results, low, high, p)
    assert headline(results).startswith(begins)
    assert concludes in conclusion(results)[0]


def test_the_aim_is_judged_by_tables(results):
    def judged(*gains):
        comparison = copy.deepcopy(results.comparison)
        comparison['comparison']['by_table'][PROPOSED.name] = {
            f'T{i}': {'accuracy': {'estimate': gain, 'low': gain - width, 'high': gain + width}}
            for i, (gain, width) in enumerate(gains)
        }
        return aim(replace(results, comparison=comparison))

    assert 'cannot be judged on 1 table.' in judged((0.5, 0.1))
    assert 'is not met (T0 +3.0 (+2.0 to +4.0); T1 +1.9' in judged((0.03, 0.01), (0.019, 0.01))
    assert 'is met by the means (T0' in judged((0.03, 0.01), (0.02, 0.01), (-0.3, 0.1))
    assert 'but intervals of these gains include zero' in judged((0.03, 0.01), (0.02, 0.03))


def test_designs_that_differ_are_named(results):
    assert 'none of them differs' in ' '.join(ablation(results))
    comparison = copy.deepcopy(results.comparison)
    for test in comparison['comparison']['tests']:
        if (test['detector'], test['metric']) == ('multiscale_4', 'ap'):
            test['interval'], test['wilcoxon']['p_holm'] = {'estimate': -0.2, 'low': -0.3, 'high': -0.1}, 0.01
    text = ' '.join(ablation(replace(results, comparison=comparison)))
    assert 'multiscale_4 has a lower mean AP than the baseline' in text and 'multiscale 4 -20.0 (' in text


@pytest.mark.parametrize(
    'needed, whole, expected',
    [
        ('yes', 'yes', 'pass all four tests'),
        ('no', 'no', 'is not needed'),
        ('yes', 'no', 'must not be read'),
        ('not shown', 'not shown', 'is not shown by these data'),
        ('yes', 'cannot be asked', 'Not all tests'),
    ],
)
def test_belief_in_attention_follows_the_verdicts(results, needed, whole, expected):
    verdicts = copy.deepcopy(results.faithfulness['verdicts'])
    assert verdicts[0]['question'].startswith('Are weights of its own') and 'explanation' in verdicts[-1]['question']
    verdicts[0]['answer'], verdicts[-1]['answer'] = needed, whole
    assert expected in believed(replace(results, faithfulness={**results.faithfulness, 'verdicts': verdicts}))
    assert 'was not tested' in believed(replace(results, faithfulness=None))


def test_what_was_not_run_is_said(results):
    assert (
        'the public table 1 (ForenSynths)' in not_run(results)[0] and 'table 5 (Diffusion1kStep)' in not_run(results)[0]
    )
    few = copy.deepcopy(results.comparison)
    del few['detectors']['multiscale_4']
    for summary in few['detectors'].values():
        summary['seeds'] = 2
    parts = replace(results, comparison=few, faithfulness=None)
    assert 'Designs of the plan without results: multiscale 4.' in not_run(parts)
    assert 'There are no results of the tests of attention.' in not_run(parts) and len(not_run(results)) == 1
    assert any(text.startswith('Preliminary: 2 seeds') for text in limits(parts))
    assert not any(text.startswith('Preliminary') for text in limits(results))


def test_nothing_is_claimed_that_was_not_done(results):
    assert 'several seeds, intervals over seeds' in added(results) and 'give nothing away' in added(results)
    alone = copy.deepcopy(results.comparison)
    for summary in alone['detectors'].values():
        summary['seeds'] = 1
    poor = replace(results, comparison=alone, edition=None, faithfulness=None)
    assert added(poor) == 'This work adds a test with intervals over images; it claims no first use of several scales.'
    public = copy.deepcopy(results.comparison)
    for summary in public['detectors'].values():
        summary['generators'][0] |= {'table': 'ForenSynths', 'generator': 'progan'}
    assert any('nothing here is a result on StyleGAN' in text for text in limits(results))
    both = replace(results, comparison=public)
    assert not any('nothing here is a result on StyleGAN' in text for text in limits(both))
    assert '4 generators (with ProGAN, seen in training)' in headline(both) and '4 unseen' in headline(results)
    assert 'table 1 (ForenSynths): 1 of 8 generators' in not_run(both)[1]


def test_report_and_slides_of_a_comparison_alone(tmp_path, call):
    """Without attention, faithfulness, options of trainings: everything still says what there is."""
    shutil.copy(RESULTS / 'comparison.json', tmp_path)
    assert call('report/__main__.py', tmp_path)[0] == 0
    text = ' '.join(pdf_text(tmp_path / 'report.pdf').split())
    assert 'Whether attention weights may be believed was not tested' in text
    assert 'options of the trainings are not among these results' in text
    assert len(Presentation(tmp_path / 'slides.pptx').slides) == 18
    first = {path.name: path.read_bytes() for path in tmp_path.glob('*.pdf')}
    assert call('report/__main__.py', tmp_path)[0] == 0 and first == {
        path.name: path.read_bytes() for path in tmp_path.glob('*.pdf')
    }


def test_a_folder_without_results_is_refused(fails, tmp_path):
    assert 'no comparison.json' in fails('report/__main__.py', tmp_path)
    comparison = read_json(RESULTS / 'comparison.json')
    del comparison['detectors'][PROPOSED.name]
    write_json(tmp_path / 'comparison.json', comparison)
    with pytest.raises(UserError, match='multiscale_3, whose results are missing'):
        load(tmp_path)


def test_words():
    assert percent(0.7654, 0.0221) == '76.5±2.2' and percent(None) == '-' and points(-0.028) == '-2.8'
    assert typographic({'a': ['-2.8 to +1, x-3, 1e-5, -', 4]}) == {'a': ['\N{MINUS SIGN}2.8 to +1, x-3, 1e-5, -', 4]}


@pytest.mark.parametrize('design', [BASELINE, PROPOSED])
def test_hub_gives_the_detector_that_was_tested(design, tmp_path, call):
    detector = torch.hub.load(str(ROOT), design.model_type, source='local')
    assert detector.config['npr_scales'] == design.scales and not detector.training
    fingerprint = weights_fingerprint(detector.detector.state_dict())
    tested = [read_json(path)['weights'] for path in RESULTS.glob(f'results/{design.name}/seed_*/metrics.json')]
    card = (ROOT / 'checkpoints' / 'pretrained' / f'{design.model_type}.md').read_text()
    assert fingerprint in tested and fingerprint in card
    Image.effect_noise((100, 64), 40).convert('RGB').save(tmp_path / 'a.png')
    path = ROOT / 'checkpoints' / 'pretrained' / f'{design.model_type}.pth'
    words = ['--model_path', path, '--mode', 'native', '--precision', 'fp32', '--output', tmp_path / 'scores.csv']
    assert call('detect.py', tmp_path / 'a.png', *words)[0] == 0
    score = float((tmp_path / 'scores.csv').read_text().splitlines()[1].split(',')[2])
    assert detector.score([tmp_path / 'a.png']).item() == pytest.approx(score, abs=1e-5)
    assert detector.score([Image.open(tmp_path / 'a.png')]).shape == (1,) and detector.score([]).shape == (0,)


def test_hub_refuses_a_damaged_file_and_builds_fresh_ones(tmp_path, monkeypatch):
    import hubconf

    folder = ROOT / 'checkpoints' / 'pretrained'
    for file in ('single_scale.pth', 'SHA256SUMS'):
        shutil.copy(folder / file, tmp_path)
    monkeypatch.setattr(hubconf, 'PRETRAINED', tmp_path)
    assert hubconf.single_scale()(torch.zeros(1, 3, 32, 32)).shape == (1, 1)
    data = bytearray((tmp_path / 'single_scale.pth').read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / 'single_scale.pth').write_bytes(data)
    with pytest.raises(ValueError, match='not the file that SHA256SUMS names'):
        hubconf.single_scale()
    fresh = hubconf.single_scale(pretrained=False)
    assert weights_fingerprint(fresh.detector.state_dict()) != weights_fingerprint(
        load_detector(folder / 'single_scale.pth')[0].state_dict()
    )


def test_checksums_are_those_of_the_files():
    folder = ROOT / 'checkpoints' / 'pretrained'
    for line in (folder / 'SHA256SUMS').read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / name).stat().st_size < 12e6


def test_architecture_is_drawn_as_it_is_built(results, tmp_path):
    from report.figures import draw_all

    drawn = draw_all(results, tmp_path)
    assert set(drawn) == {'architecture', 'generators', 'designs', 'attention', 'faithfulness'}
    for path in drawn.values():
        with Image.open(path) as image:
            assert min(image.size) > 200
    found = contents(results)
    write_report(found, drawn, tmp_path / 'r.pdf')
    write_slides(found, {}, tmp_path / 's.pptx')  # text stands where a figure is missing
    assert len(PdfReader(tmp_path / 'r.pdf').pages) >= 3 and len(Presentation(tmp_path / 's.pptx').slides) == 18
