"""The talk: complete, and nothing leaves a slide."""

import pytest
from matplotlib import font_manager
from PIL import ImageFont
from pptx import Presentation
from pptx.util import Emu

from report.__main__ import contents
from report.deck import fit, fitting_size
from report.evidence import load
from report.slides import write_slides
from tests.conftest import ROOT

RESULTS = ROOT / 'results' / 'upsamplebench'


@pytest.fixture
def results():
    return load(RESULTS)


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


def test_text_that_fits_no_slide_goes_to_the_notes(results, tmp_path):
    assert fitting_size(['short'], 10, 5) > fitting_size(['long ' * 200], 10, 5)
    assert fit(['long ' * 100, 'word ' * 2000], 10, 3)[1:] == (['long ' * 100], ['word ' * 2000])
    assert fit(['long ' * 2000], 10, 3)[1:] == (['See the notes.'], ['long ' * 2000])
    found = contents(results) | {'limits': ['first ' * 40, 'more ' * 1600, 'last']}
    write_slides(found, {}, tmp_path / 's.pptx')
    (slide,) = [s for s in Presentation(tmp_path / 's.pptx').slides if s.shapes.title.text == 'Limits']
    shown = ' '.join(shape.text_frame.text for shape in slide.shapes)
    notes = slide.notes_slide.notes_text_frame.text
    assert (
        'first' in shown and 'more' not in shown and notes.index('more') < notes.index('last') < notes.index('If asked')
    )
