"""Do images of a data set give their class away? python -m data.audit DIR [--out DIR]

For each generator at or below DIR: formats, sizes and JPEG qualities of real and fake images, and the AUC that a
classifier reaches on file facts alone and on global pixel statistics alone. 0.5 means no shortcut.
"""

from pathlib import Path

import pandas as pd

from analysis.audit_figure import file_audit_figure
from data.file_audit import audit_generator
from data.listing import find_generators, list_samples
from options.base_options import StrictParser, bounded
from util.errors import friendly_errors
from util.files import make_folder, write_json

HEADINGS = ['Table', 'Generator', 'Class', 'Images', 'Formats', 'Sizes', 'JPEG quality', 'AUC of files', 'of pixels']


def get_parser():
    parser = StrictParser(prog='python -m data.audit', description=__doc__.split('\n\n')[1])
    parser.add_argument('folder', metavar='DIR', help='one generator, a table of them, or the root of all tables')
    parser.add_argument('--most', type=bounded(int, 10), default=500, help='images looked at of each class')
    parser.add_argument('--out', metavar='DIR', help='also write the numbers to audit.json and a picture to audit.png')
    return parser


def rows(table, generator, facts):
    """Two rows of the printed table: real, fake."""
    for name in ('real', 'fake'):
        found = facts[name]
        more = found['different_sizes'] - len(found['sizes'])
        yield [
            table,
            generator,
            name,
            str(found['images']),
            ', '.join(f'{kind} {count}' for kind, count in found['formats'].items()) or '-',
            (', '.join(found['sizes']) or '-') + (f' and {more} more' if more else ''),
            '-' if found['jpeg_quality'] is None else '{} to {}'.format(*found['jpeg_quality']),
            *('-' if facts[key] is None else f'{facts[key]:.3f}' for key in ('file_auc', 'pixel_auc')),
        ]


def main(opt):
    lines, result = [], {}
    for generator in find_generators(Path(opt.folder)):
        facts = audit_generator(list_samples(generator.folder, both=False), opt.most)
        result[f'{generator.table}/{generator.name}'] = facts
        lines += rows(generator.table, generator.name, facts)
    print(pd.DataFrame(lines, columns=HEADINGS).to_string(index=False))
    print(f'at most {opt.most} images of each class were looked at; AUC 0.5 = the class cannot be told, 1 = always')
    unreadable = sum(facts['unreadable'] for facts in result.values())
    if unreadable:
        print(f'{unreadable} files could not be read and are left out')
    if opt.out:
        out = make_folder(opt.out)
        write_json(out / 'audit.json', result)
        file_audit_figure(result, out / 'audit.png')


if __name__ == '__main__':
    with friendly_errors('data.audit'):
        main(get_parser().parse_args())
