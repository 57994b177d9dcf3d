"""The images behind a results folder of test.py, as its detector saw them."""

import os
from pathlib import Path

from data.images import load_rgb
from data.transforms import ScoreTransform
from util.errors import UserError
from util.files import read_json


class SeenImages:
    """Reads images that a score file names.

    Args:
        results: folder that test.py wrote; dataroot: where the images are now, or None for where test.py read them.
    Attributes:
        facts: what metrics.json says; dataroot: Path.
    Raises:
        UserError: no metrics.json, which says where the images are and which pixels were scored.
    """

    def __init__(self, results, dataroot=None):
        path = Path(results) / 'metrics.json'
        if not path.is_file():
            raise UserError(f'{results}: no metrics.json, which says where the images are; test.py writes it')
        self.facts = read_json(path)
        self.dataroot = Path(dataroot or self.facts['dataroot'])

    @property
    def scales(self):
        return self.facts['detector']['npr_scales']

    def transform(self, table):
        """The ScoreTransform of a table's images."""
        sizes = self.facts['pixels'].get('by_table', {}).get(table, self.facts['pixels'])
        return ScoreTransform(sizes['load_size'], sizes['crop_size'])

    def __call__(self, table, path):
        """RGB PIL image.

        Raises:
            BadImage: it is not there any more, or cannot be read.
        """
        image = load_rgb(os.path.normpath(self.dataroot / path))  # lent images lie at ../...
        return self.transform(table).pixels(image)
