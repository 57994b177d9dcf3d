"""A 16:9 presentation whose text is made to fit: the largest size, and what fits at none goes to the notes."""

import io
import zipfile
from math import ceil

from PIL import Image
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.util import Inches, Pt

from util.files import atomic_path

WIDTH, HEIGHT, MARGIN, TOP = 13.333, 7.5, 0.6, 1.35  # inches
BOTTOM = HEIGHT - 0.35
SIZES = (28, 26, 24, 22, 20, 18, 16, 15, 14, 13, 12)  # points, of text
TABLE_SIZES = (18, 16, 14, 13, 12, 11, 10)
BLUE, GREY, BLACK = RGBColor(0, 0x4C, 0x80), RGBColor(0x55, 0x55, 0x55), RGBColor(0x22, 0x22, 0x22)
SHADE, WHITE = RGBColor(0xDD, 0xE8, 0xF0), RGBColor(0xFF, 0xFF, 0xFF)
LETTER = 0.54  # mean width of a letter in units of the font size; Arial text has about 0.5
LINE = 1.22  # height of a line
ROW = 1.45 / 72  # height of a row of a table in inches for each point of its text


def lines_of(text, size, width):
    """Lines that a paragraph takes at `size` points in `width` inches."""
    return max(1, ceil(len(text) * LETTER * size / 72 / width))


def height_of(paragraphs, size, width):
    """Height in inches of paragraphs with half a line between them."""
    lines = sum(lines_of(text, size, width) + 0.5 for text in paragraphs)
    return lines * LINE * size / 72


def fitting_size(paragraphs, width, height, sizes=SIZES):
    """The largest of `sizes` at which the paragraphs fit, or None."""
    return next((size for size in sizes if height_of(paragraphs, size, width) <= height), None)


def fit(paragraphs, width, height):
    """(size, paragraphs that fit at it, paragraphs that do not fit at any)."""
    for kept in range(len(paragraphs), 0, -1):
        if size := fitting_size(paragraphs[:kept], width, height):
            return size, paragraphs[:kept], paragraphs[kept:]
    return SIZES[-1], ['See the notes.'], paragraphs


class Deck:
    """Slides, each with a title, one kind of content and speaker notes."""

    def __init__(self):
        self.presentation = Presentation()
        self.presentation.slide_width, self.presentation.slide_height = Inches(WIDTH), Inches(HEIGHT)
        self.presentation.core_properties.title = 'Does looking at several scales help?'

    def _slide(self, title, notes):
        slide = self.presentation.slides.add_slide(self.presentation.slide_layouts[5])  # title only
        shape = slide.shapes.title
        _place(shape, MARGIN, 0.35, WIDTH - 2 * MARGIN, 0.85)
        shape.text_frame.word_wrap = True
        shape.text_frame.vertical_anchor = MSO_ANCHOR.MIDDLE
        _write(
            shape.text_frame,
            [title],
            fitting_size([title], WIDTH - 2 * MARGIN, 0.85, (30, 28, 26, 24)),
            BLUE,
            bold=True,
        )
        shape.text_frame.paragraphs[0].alignment = PP_ALIGN.LEFT
        slide.notes_slide.notes_text_frame.text = '\n\n'.join(notes)
        number = slide.shapes.add_textbox(Inches(WIDTH - 1), Inches(HEIGHT - 0.4), Inches(0.7), Inches(0.3))
        _write(number.text_frame, [str(len(self.presentation.slides))], 11, GREY)
        return slide

    def opening(self, title, subtitle, notes):
        slide = self._slide(title, notes)
        _place(slide.shapes.title, MARGIN, 2.1, WIDTH - 2 * MARGIN, 1.3)
        _write(slide.shapes.title.text_frame, [title], 40, BLUE, bold=True)
        slide.shapes.title.text_frame.paragraphs[0].alignment = PP_ALIGN.LEFT
        self._text(slide, subtitle, MARGIN, 3.6, WIDTH - 2 * MARGIN, 2.4)

    def text(self, title, paragraphs, notes):
        slide = self._slide(title, notes)
        self._text(slide, paragraphs, MARGIN, TOP, WIDTH - 2 * MARGIN, BOTTOM - TOP, bullet=len(paragraphs) > 1)

    def picture(self, title, path, paragraphs, notes):
        """A picture with text: beside it if it is tall, below it if it is wide; text alone without a picture."""
        if path is None:
            return self.text(title, paragraphs, notes)
        slide = self._slide(title, notes)
        with Image.open(path) as image:
            ratio = image.width / image.height
        if ratio > 2:
            needed = height_of(paragraphs, 16, WIDTH - 2 * MARGIN) + 0.2
            below = min(max(1.3, needed), 2.6) if paragraphs else 0
            box = (MARGIN, TOP, WIDTH - 2 * MARGIN, BOTTOM - TOP - below)
            words = (MARGIN, BOTTOM - below + 0.1, WIDTH - 2 * MARGIN, below - 0.1)
        else:
            share = min(BOTTOM - TOP, 8.3 / ratio) * ratio
            box = (MARGIN, TOP, share, BOTTOM - TOP)
            words = (MARGIN + share + 0.4, TOP, WIDTH - 2 * MARGIN - share - 0.4, BOTTOM - TOP)
        _picture(slide, path, ratio, *box)
        if paragraphs:
            self._text(slide, paragraphs, *words)
        return None

    def table(self, title, table, paragraphs, notes):
        """Text above a table of the report: {'head', 'rows'}; a row of one cell is a heading within it."""
        if not table['rows']:
            return self.text(title, paragraphs, notes)
        slide = self._slide(title, notes)
        width, top = WIDTH - 2 * MARGIN, TOP
        if paragraphs:
            size, kept, _ = fit(paragraphs, width, 1.9)
            self._text(slide, paragraphs, MARGIN, top, width, 1.9)
            top += height_of(kept, size, width) + 0.1
        rows = [table['head'], *table['rows']]
        heads = [y for y, row in enumerate(rows) if y == 0 or len(row) == 1]
        rows = [[*row, *[''] * (len(table['head']) - len(row))] for row in rows]
        letters = [max(len(row[x]) for row in rows) + 2 for x in range(len(table['head']))]
        fits = [
            size
            for size in TABLE_SIZES
            if ROW * size * len(rows) <= BOTTOM - top and sum(letters) * LETTER * size / 72 <= width
        ]
        size = fits[0] if fits else TABLE_SIZES[-1]
        shape = slide.shapes.add_table(
            len(rows), len(letters), Inches(MARGIN), Inches(top), Inches(width), Inches(ROW * size * len(rows))
        )
        for x, share in enumerate(letters):
            shape.table.columns[x].width = Inches(width * share / sum(letters))
        for y, row in enumerate(rows):
            shape.table.rows[y].height = Inches(ROW * size)
            for x, text in enumerate(row):
                cell = shape.table.cell(y, x)
                cell.margin_top = cell.margin_bottom = 0
                cell.margin_left = cell.margin_right = Inches(0.06)
                cell.fill.solid()
                cell.fill.fore_color.rgb = SHADE if y in heads else WHITE
                _write(cell.text_frame, [text], size, BLACK, bold=y in heads, wrap=False)
                cell.text_frame.paragraphs[0].alignment = PP_ALIGN.RIGHT if x else PP_ALIGN.LEFT
        return None

    def _text(self, slide, paragraphs, left, top, width, height, bullet=False):
        shape = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height))
        frame = shape.text_frame
        frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
        size, kept, left = fit([f'•  {text}' for text in paragraphs] if bullet else paragraphs, width, height)
        shape.height = Inches(min(height, height_of(kept, size, width)))
        _write(frame, kept, size, BLACK)
        if left:
            notes = slide.notes_slide.notes_text_frame
            notes.text = '\n\n'.join([*left, notes.text])

    def save(self, path):
        """Write the file whole, without the time in it, so that the same results give the same bytes."""
        buffer = io.BytesIO()
        self.presentation.save(buffer)
        with (
            atomic_path(path) as temporary,
            zipfile.ZipFile(buffer) as source,
            zipfile.ZipFile(temporary, 'w') as target,
        ):
            for part in source.infolist():
                target.writestr(zipfile.ZipInfo(part.filename), source.read(part), zipfile.ZIP_DEFLATED)


def _place(shape, left, top, width, height):
    shape.left, shape.top, shape.width, shape.height = (Inches(value) for value in (left, top, width, height))


def _picture(slide, path, ratio, left, top, width, height):
    """As large as fits, in the middle of the box."""
    wide = min(width, height * ratio)
    high = wide / ratio
    slide.shapes.add_picture(
        str(path), Inches(left + (width - wide) / 2), Inches(top + (height - high) / 2), Inches(wide), Inches(high)
    )


def _write(frame, paragraphs, size, colour, bold=False, wrap=True):
    frame.word_wrap = wrap
    for number, text in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.text = text
        paragraph.space_after = Pt(size * LINE / 2)
        paragraph.font.size, paragraph.font.bold, paragraph.font.name = Pt(size), bold, 'Arial'
        paragraph.font.color.rgb = colour
