"""The report as a PDF: typst lays out report.typ with the findings."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import typst
from PIL import Image

from report.figures import COLUMN, DPI
from util.files import atomic_path, write_json

HERE = Path(__file__).parent


def _is_wide(path):
    """Whether a figure was drawn for the width of the page, not of a column."""
    with Image.open(path) as image:
        return image.width / image.info.get('dpi', (DPI,))[0] > 1.5 * COLUMN


def write_report(found, figures, path):
    """Write the PDF whole, without the time in it, so that the same results give the same bytes.

    Args:
        found: what report.typ reads, from report.__main__.contents; figures: {name: path of a PNG}.
    """
    with tempfile.TemporaryDirectory() as folder:  # typst reads nothing outside it
        folder = Path(folder)
        for file in ('report.typ', 'references.yml'):
            shutil.copy(HERE / file, folder)
        for name, picture in figures.items():
            shutil.copy(picture, folder / f'{name}.png')
        write_json(folder / 'found.json', {**found, 'figures': {n: _is_wide(path) for n, path in figures.items()}})
        beginning = datetime.fromtimestamp(0, UTC)
        pdf = typst.compile(folder / 'report.typ', timestamp=beginning, ignore_system_fonts=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(pdf)
