"""What of the five public tables is below a folder: found, missing, incomplete, and where to obtain the rest."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from data.collection import tables_root
from data.images import is_image
from data.listing import LABELS, find_generators, public_table, subfolders, walk
from data.tables import TABLES, TRAINING_FOLDER, match_generator, match_table, plain
from options.base_options import StrictParser
from util.errors import UserError, friendly_errors

HEADERS = 20  # read for each label, evenly spaced over the sorted files


@dataclass(frozen=True)
class Stock:
    """What one generator's folder holds: counts by label, counts by suffix, sizes in `looked` headers, classes."""

    real: int
    fake: int
    formats: dict
    sizes: tuple  # of (width, height)
    looked: int
    classes: tuple


def take_stock(folder):
    """Count the images of a generator and read the headers of a few; nothing is decoded.

    Returns:
        Stock.
    """
    paths, classes = {0: [], 1: []}, set()
    for parent, _, files in walk(folder):
        if parent.name in LABELS:
            paths[LABELS[parent.name]] += [parent / file for file in filter(is_image, files)]
            if parent.parent != folder:
                classes.add(parent.parent.relative_to(folder).as_posix())
    sizes, looked = set(), 0
    for label in paths:
        ordered = sorted(paths[label])
        for path in ordered[:: max(1, -(-len(ordered) // HEADERS))]:
            looked += 1
            try:
                with Image.open(path) as image:
                    sizes.add(image.size)
            except Exception:  # many kinds; test.py names broken files, here they only have no size
                continue
    formats = Counter(path.suffix.lower().lstrip('.') for label in paths for path in paths[label])
    counts = {label: len(paths[label]) for label in paths}
    return Stock(
        counts[0], counts[1], dict(formats.most_common()), tuple(sorted(sizes)), looked, tuple(sorted(classes))
    )


def state(stock, per_class):
    """One phrase: is it all there?"""
    if not stock.real and not stock.fake:
        return 'no images'
    if not stock.real or not stock.fake:
        return 'fake only' if stock.fake else 'real only'
    if per_class and min(stock.real, stock.fake) < per_class:
        return f'fewer than expected ({per_class} each)'
    return 'complete' if per_class else 'found'


def sizes_in_words(stock):
    """'256x256 in 40 headers', or the range where sizes differ."""
    if not stock.sizes:
        return '-'
    low, high = (f'{width}x{height}' for width, height in (stock.sizes[0], stock.sizes[-1]))
    return f'{low if len(stock.sizes) == 1 else f"{low} to {high}"} in {stock.looked} headers'


def row_of(known, folder):
    """Cells of the report for one generator; `folder` is where it is, or None."""
    if folder is None:
        return [known.name, known.family, '-', '-', 'not found', '-', '-', '-']
    stock = take_stock(folder)
    formats = ' '.join(f'{name}:{count}' for name, count in stock.formats.items()) or '-'
    classes = f'{len(stock.classes)}: {" ".join(stock.classes)}' if stock.classes else '-'
    cells = [str(stock.real), str(stock.fake), state(stock, known.per_class), formats, sizes_in_words(stock)]
    return [known.name, known.family, *cells, classes if len(classes) <= 40 else classes[:37] + '...']


def layout_hints(root, home):
    """Sentences about folders below `root` that look like data but are laid out otherwise."""
    hints = []
    table = public_table(root.resolve())
    if table:
        hints.append(
            f'{root} is table {table.number} ({table.name}) itself; for all tables give the folder above: {home}'
        )
    elif home != root:
        hints.append(f'the tables are in {home}; give that folder to test.py to score nothing else')
    for folder in (root, *subfolders(root), *(deep for sub in subfolders(root) for deep in subfolders(sub))):
        inside = subfolders(folder)
        own = public_table(folder.resolve())
        for sub in inside:
            known = own and match_generator(own, sub.name)
            if known and not any(name in LABELS for _, names, _ in walk(sub) for name in names):
                found = ', '.join(sorted(entry.name for entry in sub.iterdir())[:5]) or 'nothing'
                hints.append(
                    f'{sub}: {known.name} without 0_real and 1_fake in it or in its classes; it holds: {found}; '
                    'name the folder of its real images 0_real and that of its fakes 1_fake'
                )
        names = [sub.name for sub in inside if sub.name not in LABELS]
        if (
            not own
            and plain(folder.name) != plain(TRAINING_FOLDER)
            and plain(folder.parent.name) != plain(TRAINING_FOLDER)
        ):
            likely = max(TABLES, key=lambda table: sum(bool(match_generator(table, name)) for name in names))
            matches = [name for name in names if match_generator(likely, name)]
            if len(matches) > 1 and not any(match_table(name) for name in names):
                hints.append(
                    f'{folder}: {", ".join(matches[:3])} look like table {likely.number}; to have them counted as '
                    f'{likely.name}, name their folder {likely.folder}'
                )
    return hints


def report(root, progress=False):
    """Lines of the whole report.

    Raises:
        UserError: a folder of one generator.
    """
    root = Path(root)
    generators = find_generators(root, needed=False) if root.is_dir() else ()
    if root.name in LABELS or any(found.folder == root for found in generators):
        raise UserError(
            f'{root}: holds the images of one generator; expected the root of all tables, as ROOT in\n'
            '  ROOT/ForenSynths_test/progan/<class>/0_real'
        )
    places = {(found.table, found.name): found.folder for found in generators}
    home = tables_root(root, generators)
    lines, missing = [] if root.is_dir() else [f'{root}: no such folder', ''], []
    headings = ['Generator', 'Family', 'Real', 'Fake', 'State', 'Formats', 'Sizes', 'Classes']
    with tqdm(total=len(places), desc='looking', unit='generator', disable=not progress, leave=False) as bar:
        for table in TABLES:
            here = {known: places.get((table.name, known.name)) for known in table.generators}
            there = sum(folder is not None for folder in here.values())
            lines.append(
                f'Table {table.number}, {table.name}: '
                + (f'{there} of {len(here)} generators' if there else 'not found')
            )
            if there < len(here):
                used = [folder.parent for folder in here.values() if folder]
                missing.append((table, used[0] if used else home / table.folder))
            if there:
                rows = []
                for known, folder in here.items():
                    rows.append(row_of(known, folder))
                    bar.update(folder is not None)
                lines += aligned([headings, *rows])
            lines.append('')
    others = [f'{table}/{generator}' for table, generator in places if not is_public(table, generator)]
    if others:
        lines += [f'Also there, in no public table: {", ".join(others[:12])}{" ..." if len(others) > 12 else ""}', '']
    if root.is_dir() and (hints := layout_hints(root, home)):
        lines += ['Layout:', *(f'  {hint}' for hint in hints), '']
    if missing:
        lines.append('To obtain what is missing (nothing is downloaded from here):')
        for table, goes_to in missing:
            lines.append(f'  table {table.number}: {table.data_set}')
            lines += [f'    {table.page}', f'    goes to {goes_to}/<generator>/[<class>/]0_real and 1_fake']
            lines += [f'    {table.remark}'] if table.remark else []
    return lines


def is_public(table, generator):
    return any(table == known.name and match_generator(known, generator) for known in TABLES)


def aligned(rows):
    """Lists of cells to lines, columns padded to one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def get_parser():
    parser = StrictParser(
        prog='python -m data.tables',
        description='Report which of the five public tables are below a folder, what they hold and what is missing, '
        'and where to obtain it. Nothing is downloaded; the exit status is 0 also when tables are missing.',
    )
    parser.add_argument('--dataroot', required=True, help='root of all tables, as ./datasets/Generalization_Test')
    return parser


def run():
    with friendly_errors('data.tables'):
        print('\n'.join(report(get_parser().parse_args().dataroot, progress=True)))
