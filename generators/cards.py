"""The cards of the shipped generators as one table: python -m generators.cards [--weights DIR]"""

from analysis.summary import markdown_table
from generators.decoders import WEIGHTS, weights_file
from generators.tables import networks
from options.base_options import StrictParser
from util.errors import UserError, friendly_errors
from util.files import read_json

HEADINGS = ['Generator', 'Seed', 'Family', 'Operator', 'Factor', 'Parameters', 'Steps', 'PSNR, dB', 'HF energy', 'AUC']
COLUMNS = 'PSNR, energy and AUC: held-out photographs / scenes'


def get_parser():
    parser = StrictParser(prog='python -m generators.cards', description='Print the cards of generators as a table.')
    parser.add_argument('--weights', metavar='DIR', help='made by generators.train; default: the shipped ones')
    return parser


def steps(training):
    """Of all rounds: a training that started from weights goes on with theirs."""
    return training['steps'] + (steps(training['started_from']) if 'started_from' in training else 0)


def row(card):
    held_out = [card['held_out'][origin] for origin in ('photos', 'scenes')]

    def both(key, digits):
        return ' / '.join('-' if facts is None else f'{facts[key]:.{digits}f}' for facts in held_out)

    return [
        card['decoder'],
        str(card['training']['seed']),
        card['family'],
        card['operator'],
        str(card['factor']),
        f'{card["parameters"]:,}',
        str(steps(card['training'])),
        both('psnr_db', 1),
        both('energy_ratio', 2),
        both('shortcut_auc', 2),
    ]


def table(folder=WEIGHTS):
    """Markdown; one row for each network that an edition needs.

    Raises:
        UserError: a card is missing.
    """
    files = [weights_file(name, seed, folder).with_suffix('.json') for name, seed in networks()]
    cards = [read_json(file) if file.is_file() else {} for file in files]
    if missing := [file.name for file, card in zip(files, cards, strict=True) if 'held_out' not in card]:
        raise UserError(
            f'{folder}: no finished {", ".join(missing)}; python -m generators.train --out {folder} makes them'
        )
    return markdown_table(HEADINGS, [row(card) for card in cards])


if __name__ == '__main__':
    with friendly_errors('generators.cards'):
        print(f'{table(get_parser().parse_args().weights or WEIGHTS)}\n\n{COLUMNS}')
