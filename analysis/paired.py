"""One training against another, seed by seed: python -m analysis.paired NEW.json BASE.json

Both files are leave_one_out.json of leave_one_out.py, or elsewhere.json of analysis.elsewhere, of trainings that have
seeds and generators in common. Prints, in points, how NEW differs from BASE: the mean over generators (all in common,
or those named) for every condition that both have, then the AUC of each of them under the three main conditions.
"""

from pathlib import Path

import numpy as np

from analysis.leave_one_out import ALL_CONDITIONS, CONDITIONS
from analysis.statistics import mean_interval
from analysis.summary import markdown_table
from analysis.words import count, percent, points, shown, span
from options.base_options import StrictParser, bounded, names
from util.errors import UserError, friendly_errors
from util.files import read_json

METRICS = {'auc': 'AUC', 'real_accuracy': 'Reals below', 'fake_accuracy': 'Fakes above'}
THREE = 'mean of the three'


def get_parser():
    parser = StrictParser(prog='python -m analysis.paired', description=__doc__.split('\n\n')[1])
    parser.add_argument('new', metavar='NEW.json', help='what is asked about')
    parser.add_argument('base', metavar='BASE.json', help='what it is compared with')
    parser.add_argument('--generators', type=names, metavar='A,B,...', help='of the mean (default: all in common)')
    parser.add_argument('--alpha', type=bounded(float, 0.001, 0.5), default=0.05, help='1 - level of the intervals')
    return parser


def read_numbers(path):
    """Raises UserError unless `path` holds numbers of generators and seeds, as summarise of either program has them."""
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be read as JSON ({error})') from error
    if not isinstance(found, dict) or not {'seeds', 'generators'} <= found.keys():
        raise UserError(f'{path}: expected leave_one_out.json or elsewhere.json of an experiment that has ended')
    return found


def compare(new, base, generators=None, alpha=0.05):
    """Paired differences of two experiments.

    Args:
        new, base: as analysis.leave_one_out.summarise and analysis.elsewhere.summarise return them.
        generators: names, those of the mean; None: all that both have.
    Returns:
        {'seeds': those of both; 'generators': names; 'mean': {condition: {metric: {'new', 'base' (means over generators
        and seeds), 'mean', 'low', 'high' (of the differences over seeds, each the mean over generators; Student's t,
        None for fewer than two seeds)}}}, with THREE as a further condition where both have all of CONDITIONS;
        'by_generator': {generator: {condition: {'mean', 'low', 'high'} of the AUC's difference}}}.
    Raises:
        UserError: nothing in common, or a generator that one lacks.
    """
    seeds = [seed for seed in new['seeds'] if seed in base['seeds']]
    conditions = [c for c in ALL_CONDITIONS if c in new['generators'] and c in base['generators']]
    if not seeds:
        raise UserError(f'no seed in common: {new["seeds"]} and {base["seeds"]}')
    if not conditions:
        raise UserError('no condition in common')
    shared = [name for name in new['generators'][conditions[0]] if name in base['generators'][conditions[0]]]
    generators = list(dict.fromkeys(generators or shared))
    if lacking := [name for name in generators if name not in shared]:
        raise UserError(f'no generator {", ".join(lacking)} in both; in both are {", ".join(shared) or "none"}')
    if not generators:
        raise UserError('no generator in common')

    def values(found, condition, metric):  # (generators, seeds)
        at = [found['seeds'].index(seed) for seed in seeds]
        return np.array([np.array(found['generators'][condition][name][metric])[at] for name in generators])

    tables = {c: {m: [values(found, c, m) for found in (new, base)] for m in METRICS} for c in conditions}
    by_generator = {
        name: {c: mean_interval(np.subtract(*tables[c]['auc'])[row], alpha) for c in conditions}
        for row, name in enumerate(generators)
    }
    if all(c in tables for c in CONDITIONS):
        tables[THREE] = {m: np.mean([tables[c][m] for c in CONDITIONS], 0) for m in METRICS}
    mean = {
        c: {
            m: {'new': float(a.mean()), 'base': float(b.mean()), **mean_interval((a - b).mean(0), alpha)}
            for m, (a, b) in entry.items()
        }
        for c, entry in tables.items()
    }
    return {'seeds': seeds, 'generators': generators, 'mean': mean, 'by_generator': by_generator}


def difference(interval):
    """'+1.3 (-0.4 to +3.1)', without the bracket for one seed."""
    words = points(interval['mean'])
    return words if interval['low'] is None else f'{words} ({span(interval)})'


def text(found, alpha=0.05):
    headings = ['Mean over generators']
    for title in METRICS.values():
        headings += [f'{title}, new', 'base', 'difference']
    rows = []
    for condition, entry in found['mean'].items():
        rows.append([ALL_CONDITIONS.get(condition, condition)])
        for metric in METRICS:
            rows[-1] += [percent(entry[metric]['new']), percent(entry[metric]['base']), difference(entry[metric])]
    conditions = [condition for condition in found['mean'] if condition in CONDITIONS]
    each = [
        [shown(name), *(difference(entry[condition]) for condition in conditions)]
        for name, entry in found['by_generator'].items()
    ]
    note = f'{count(len(found["seeds"]), "seed")} in common: {", ".join(map(str, found["seeds"]))}'
    if len(found['seeds']) > 1:
        note += f'; brackets: {100 * (1 - alpha):g}% intervals over them (Student)'
    second = markdown_table(['Difference of AUC', *(ALL_CONDITIONS[condition] for condition in conditions)], each)
    return f'{markdown_table(headings, rows)}\n{second}\n{note}.'


def main(args):
    found = compare(read_numbers(Path(args.new)), read_numbers(Path(args.base)), args.generators, args.alpha)
    print(text(found, args.alpha))


if __name__ == '__main__':
    with friendly_errors('analysis.paired'):
        main(get_parser().parse_args())
