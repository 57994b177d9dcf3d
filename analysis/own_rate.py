"""Fakes found at equal false alarms: python -m analysis.own_rate SCORES.csv.gz [MORE.csv.gz ...]

Frozen thresholds let more or fewer real images pass, so verdicts of two trainings do not compare. Here each generator,
seed and condition gets the threshold that a share of its own real images exceeds. Reads the scores of leave_one_out.py
(scores.csv.gz) and those in results/field/elsewhere, and prints the share of fakes above that threshold.
"""

import pandas as pd

from analysis.calibration import threshold_at
from analysis.leave_one_out import ALL_CONDITIONS
from analysis.summary import markdown_table
from analysis.words import percent, shown
from options.base_options import StrictParser, bounded
from util.errors import UserError, friendly_errors

NAMES = {'generator': 'left_out', 'detector': 'seed'}  # columns elsewhere: what leave_one_out.py calls them
COLUMNS = 'condition', 'left_out', 'seed', 'label', 'logit'


def get_parser():
    parser = StrictParser(prog='python -m analysis.own_rate', description=__doc__.split('\n\n')[1])
    parser.add_argument('scores', nargs='+', metavar='SCORES.csv.gz', help='scores of every image')
    parser.add_argument(
        '--false_alarm_rate', type=bounded(float, 0, 1, low_excluded=True), default=0.05, help='share of real images'
    )
    return parser


def read_table(path):
    """The scores of a file, with COLUMNS; raises UserError unless it has them."""
    try:
        frame = pd.read_csv(path).rename(columns=NAMES)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f'{path}: cannot be read as a table ({error})') from error
    if missing := [column for column in COLUMNS if column not in frame]:
        raise UserError(f'{path}: no column {", ".join(missing)}; expected scores of leave_one_out.py')
    return frame


def fakes_found(frame, rate=0.05):
    """Share of fakes above the threshold that at most `rate` of the real images exceed.

    Args:
        frame: COLUMNS, a row for each image.
    Returns:
        Series of shares, its index (condition, left_out, seed).
    Raises:
        UserError: too few real images for the rate.
    """

    def found(part):
        labels, logits = part['label'].to_numpy(), part['logit'].to_numpy()
        return float((logits[labels == 1] > threshold_at(labels, logits, rate)[0]).mean())

    parts = frame.groupby(['condition', 'left_out', 'seed'])
    return pd.Series({key: found(part) for key, part in parts}).rename_axis(['condition', 'left_out', 'seed'])


def main(args):
    for path in args.scores:
        table = fakes_found(read_table(path), args.false_alarm_rate).unstack('condition')
        conditions = [condition for condition in ALL_CONDITIONS if condition in table]
        rows = []
        for name, part in [*table.groupby('left_out'), ('mean', table.groupby('seed').mean())]:
            spreads = part.std() if len(part) > 1 else dict.fromkeys(conditions)
            rows.append([shown(name), str(len(part)), *(percent(part[c].mean(), spreads[c]) for c in conditions)])
        print(f'{path}: fakes found at {percent(args.false_alarm_rate)}% false alarms, each with its own real images')
        print(markdown_table(['Generator', 'Seeds', *(ALL_CONDITIONS[c] for c in conditions)], rows))


if __name__ == '__main__':
    with friendly_errors('analysis.own_rate'):
        main(get_parser().parse_args())
