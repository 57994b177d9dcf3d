"""Published numbers of the five public tables, to print beside ours and never to average with them."""

import csv
from pathlib import Path

from data.tables import TABLES, paper_pixels

FILE = Path(__file__).with_name('published_results.csv')
METHODS = ('CNNDetection', 'LGrad', 'Ojha', 'NPR')


def published_results(method='NPR'):
    """{(table name, generator): {'method', 'accuracy', 'ap' (0 to 1), 'source'}}

    Raises:
        ValueError: a method that the file does not have.
    """
    if method not in METHODS:
        raise ValueError(f'{method!r}: no published numbers; known: {", ".join(METHODS)}')
    names = {str(table.number): table.name for table in TABLES}
    with FILE.open(encoding='utf-8', newline='') as lines:
        return {
            (names[row['table']], row['generator']): {
                'method': method,
                'accuracy': float(row['accuracy_percent']) / 100,
                'ap': float(row['average_precision_percent']) / 100,
                'source': row['source'],
            }
            for row in csv.DictReader(lines)
            if row['method'] == method
        }


def other_pixels(sizes):
    """A sentence for each public table whose pixels here are not those of the published numbers.

    Args:
        sizes: {table name: (load size, crop size)} of this run.
    """
    public = {table.name for table in TABLES}
    return [
        f'{table}: scored on {_words(found)}, published on {_words(paper_pixels(table))}; '
        '--mode paper scores as published'
        for table, found in sizes.items()
        if table in public and tuple(found) != paper_pixels(table)
    ]


def _words(sizes):
    load_size, crop_size = sizes
    resized = f'images resized to {load_size} x {load_size}' if load_size else 'native images'
    return f'{resized}, centre crop of {crop_size}' if crop_size else f'{resized}, whole'
