"""Report and slides: no number without a result file, the right one in its place, nothing that overflows."""

import copy
import re
import shutil
from dataclasses import replace

import pytest
from PIL import Image
from pptx import Presentation
from pypdf import PdfReader

import report.evidence
from analysis.disagreement import OUTCOMES
from analysis.runs import at_frozen_thresholds, read_results
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.__main__ import contents
from report.evidence import load
from report.figures import attention_figure, draw_all
from report.paper import write_report
from report.slides import MOST_ROWS, write_slides
from tests.conftest import ROOT
from tests.tracing import Traced, tokens, traced
from util.errors import UserError
from util.files import read_json, write_json

RESULTS = ROOT / 'results' / 'upsamplebench'
# Numbers of the prose of report.typ, slides.toml and the findings, which are no results of ours.
METHOD = {
    '0', '1', '2', '3', '4', '12', '15', '32', '64', '128',  # the residual, its ranks, the architecture, the aim
    '0.25', '0.5', '0.75', '0.001', '50',  # scales, chance, a bound of p-values
    '0.09', '0.69',  # RIDER's ablation
    '79.7', '92.5', '26',  # what a user of NPR reports, in issue 26 of its repository
    '100', '2024',  # GB of the public sets, year of the paper
}  # fmt: skip


@pytest.fixture
def results():
    return load(RESULTS)


def names_of(evidence):
    """Strings of result files that are printed as they are: names, machines, commands, verdicts."""
    machines = [run['machine'] for runs in (*evidence.training.values(), *evidence.tests.values()) for run in runs]
    strings = [list(machine.values()) for machine in machines]
    strings += [evidence.names, evidence.commands, list(evidence.comparison['folders'].values())]
    strings += [entry[key] for entry in evidence.summary(BASELINE.name)['generators'] for key in ('table', 'generator')]
    strings += [list(verdict.values()) for verdict in evidence.faithfulness['verdicts']]
    strings += [evidence.edition['name'], evidence.edition['training_decoder'], *evidence.faithfulness['stability']]
    return [each for each in strings if not isinstance(each, Traced)]


def result_numbers(monkeypatch):
    """(contents of the committed results, numbers that may stand in them)"""
    plain_ap = report.evidence.validation_ap
    monkeypatch.setattr(report.evidence, 'read_json', lambda path: traced(read_json(path)))
    monkeypatch.setattr(report.evidence, 'validation_ap', lambda run: traced(plain_ap(run)))
    Traced.printed.clear()
    evidence = load(RESULTS)
    found = contents(evidence)
    counts = {len(evidence.names), len(evidence.generators(BASELINE.name)), len(evidence.result['tests'])}
    scales = {f'{scale:g}' for design in DESIGNS for scale in design.scales}
    public = tokens([f'{table.number} {table.name}' for table, _ in evidence.public])
    allowed = Traced.printed | tokens(names_of(evidence)) | {f'{count}' for count in counts} | scales | public
    return found, allowed


def test_every_number_of_the_contents_is_read_from_a_result_file(monkeypatch):
    found, allowed = result_numbers(monkeypatch)
    strange = tokens(found) - allowed - METHOD
    assert Traced.printed and not strange, strange


def test_a_number_that_is_in_no_result_file_would_be_noticed(monkeypatch):
    monkeypatch.setattr('report.findings.seeds', lambda evidence: 'Mean AP 98.76 of 47.')
    found, allowed = result_numbers(monkeypatch)
    assert tokens(found) - allowed - METHOD == {'98.76', '47'}


def test_prose_holds_no_number_but_those_of_the_method():
    """A result typed into the template or the talk would be the same for all results."""
    talk = (ROOT / 'report' / 'slides.toml').read_text().partition('[[slide]]')[2]
    layout = re.compile(r'[\d.]+(pt|em|cm|%(?=[,)]))|luma\(\d+\)|len\(\) > \d+|"[^"]*"|: \d+')
    report = (ROOT / 'report' / 'report.typ').read_text().partition('*Abstract.*')[2]
    report = ''.join(line for line in report.splitlines(True) if not line.startswith('#set'))
    assert not tokens(layout.sub('', report)) - METHOD
    assert not tokens(talk) - METHOD


def test_numbers_stand_where_they_belong(results):
    """Against the files, by hand: which detector, which metric, which generator."""
    found, comparison = contents(results), read_json(RESULTS / 'comparison.json')
    detectors = comparison['detectors']

    def metric(name, generator, key):
        (entry,) = [e for e in detectors[name]['generators'] if e['generator'] == generator]
        return f'{100 * entry[key]:.1f}±{100 * entry["std"][key]:.1f}'

    (table,) = found['generator_tables']
    rows = {row[0]: row for row in table['rows']}
    assert table['head'] == ['Generator', 'AP base', 'AP multi', 'Acc. base', 'Acc. multi']
    for name in ('nearest_x4', 'transposed_x2'):
        cells = [metric(d, name, key) for key in ('ap', 'accuracy') for d in ('baseline', 'multiscale_3')]
        assert rows[name.replace('_', ' ')][1:] == cells
    designs = {row[0]: row for row in found['design_table']['rows']}
    for name, summary in detectors.items():
        row = designs[name.replace('_', ' ')]
        assert row[3].startswith(f'{100 * summary["mean"]["ap"]:.1f}±')
        assert row[4].startswith(f'{100 * summary["mean"]["accuracy"]:.1f}±')
        assert row[5] == f'{100 * summary["minimum"]["ap"]:.1f}'
    alarms = []
    for name in ('baseline', 'multiscale_3'):
        first = next(entry for entry in detectors[name]['generators'] if entry['table'] == 'U4_controls')
        alarms.append(f'{100 * first["fake_accuracy"]:.1f}%')
    assert re.search(rf'the baseline calls {alarms[0]} .* detector {alarms[1]}', found['controls'][0])
    assert found['detectors'] == f'{len(detectors)} designs of detectors, 5 seeds each'
    tested = [entry for entry in detectors['baseline']['generators'] if entry['table'] != 'U4_controls']
    fakes = sum(entry['fake_images'] for entry in tested)
    assert f'Tested on {fakes} fakes of {len(tested)} generators' in found['data'][-1]
    best = max(summary['mean']['ap'] for summary in detectors.values())
    assert any(f'has the highest mean AP, {100 * best:.1f}' in sentence for sentence in found['ablation'])


def test_disagreements_count_every_image_once(results):
    frames = [
        at_frozen_thresholds(read_results(RESULTS / 'results' / name / 'seed_0')).frames[0]
        for name in ('baseline', 'multiscale_3')
    ]
    right = [(frame['logit'] > 0) == (frame['label'] == 1) for frame in frames]
    words = []
    for label, name in enumerate(('real', 'fake')):
        chosen = (frames[0]['label'] == label) & ~(frames[0]['table'] == 'U4_controls')
        chosen &= ~frames[0]['path'].str.rpartition('/')[2].duplicated() if label == 0 else True
        both = [right[0] & right[1], right[0] & ~right[1], ~right[0] & right[1], ~right[0] & ~right[1]]
        counts = [int((chosen & each).sum()) for each in both]
        assert list(results.disagreements['totals'][name].values()) == counts and len(OUTCOMES) == 4
        a, b, c, d = counts
        words.append(
            f'of {sum(counts)} {name} images both {a}, only the baseline {b}, only the multi-scale detector {c}'
        )
        words[-1] += f', neither {d}'
    assert contents(results)['disagreements'] == (
        'Right at the first seed, at the threshold that was frozen on validation images for each seed: '
        f'{"; ".join(words)}.'
    )


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
    references = tokens((ROOT / 'report' / 'references.yml').read_text())
    strange = tokens(text) - allowed - METHOD - small - references
    assert not strange, strange
    flat = ''.join(text.split())
    tables = found['generator_tables']
    if name == 'slides.pptx' and any(len(table['rows']) > MOST_ROWS for table in tables):
        tables = [found['means_table']]  # what a slide has room for
    for part in (found['design_table'], *tables):
        for row in part['rows']:
            assert ''.join(''.join(row).split()) in flat, row
    assert ''.join(found['headline'].split()) in flat
    assert name != 'report.pdf' or 4 <= len(PdfReader(RESULTS / name).pages) <= 6


def test_report_and_slides_of_a_comparison_alone(tmp_path, call):
    """Without attention, faithfulness, options of trainings: everything still says what there is."""
    shutil.copy(RESULTS / 'comparison.json', tmp_path)
    assert call('report/__main__.py', tmp_path)[0] == 0
    text = ' '.join(pdf_text(tmp_path / 'report.pdf').split())
    assert 'Whether attention weights may be believed was not tested' in text
    assert 'options of the trainings are not among these results' in text
    assert len(Presentation(tmp_path / 'slides.pptx').slides) == 18
    first = {name: (tmp_path / name).read_bytes() for name in ('report.pdf', 'slides.pptx')}
    assert call('report/__main__.py', tmp_path)[0] == 0
    assert all((tmp_path / name).read_bytes() == content for name, content in first.items())


def test_a_folder_without_results_is_refused(fails, tmp_path):
    assert 'no comparison.json' in fails('report/__main__.py', tmp_path)
    comparison = read_json(RESULTS / 'comparison.json')
    del comparison['detectors'][PROPOSED.name]
    write_json(tmp_path / 'comparison.json', comparison)
    with pytest.raises(UserError, match='multiscale_3, whose results are missing'):
        load(tmp_path)
    comparison = read_json(RESULTS / 'comparison.json')
    del comparison['comparison']['by_table']
    write_json(tmp_path / 'comparison.json', comparison)
    with pytest.raises(UserError, match='of an earlier version'):
        load(tmp_path)


def test_generators_without_reals_keep_their_row_in_the_attention_figure(results, tmp_path, monkeypatch):
    entries = copy.deepcopy(results.attention['generators'])
    entries[2]['real'] = None
    drawn = []
    monkeypatch.setattr('report.figures.sns.heatmap', lambda values, **style: drawn.append(values))
    attention_figure(replace(results, attention={**results.attention, 'generators': entries}), tmp_path / 'a.png')
    real, fake = (values if len(values) == len(entries) else values.T for values in drawn)
    assert list(real.index) == list(fake.index) and len(real) == len(entries)
    assert real.iloc[2].isna().all() and fake.iloc[2].notna().all()


def test_all_figures_are_drawn_and_text_stands_in_for_missing_ones(results, tmp_path):
    drawn = draw_all(results, tmp_path)
    assert set(drawn) == {'architecture', 'generators', 'designs', 'attention', 'faithfulness'}
    for path in drawn.values():
        with Image.open(path) as image:
            assert min(image.size) > 200
    found = contents(results)
    write_report(found, drawn, tmp_path / 'r.pdf')
    write_slides(found, {}, tmp_path / 's.pptx')
    assert len(PdfReader(tmp_path / 'r.pdf').pages) >= 3 and len(Presentation(tmp_path / 's.pptx').slides) == 18
