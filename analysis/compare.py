"""Compare detectors from their results: python -m analysis.compare RESULTS RESULTS ... --out DIR

Each RESULTS is a folder that test.py wrote. Writes comparison.md (metrics of all side by side) and
comparison.png (metrics and attention per generator, residuals of one real/fake pair). One run of each
detector says nothing about the spread over seeds; the table says so too.
"""

from pathlib import Path

from analysis.figures import comparison_figure
from analysis.scores import attention_scales, read_scores
from analysis.summary import is_control, markdown_table, summarise
from options.base_options import StrictParser
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_text

COMPARED = {'ap': 'AP', 'accuracy': 'Acc.', 'real_accuracy': 'Real acc.', 'fake_accuracy': 'Fake acc.'}


def get_parser():
    parser = StrictParser(prog='python -m analysis.compare', description=__doc__.split('\n\n')[1])
    parser.add_argument('results', nargs='+', metavar='RESULTS', help='folders written by test.py')
    parser.add_argument('--out', required=True, help='folder of comparison.md and comparison.png')
    return parser


def by_generator(summary, controls):
    """{'table/generator': metrics} in order, without (or only) the controls, and with the mean at the end."""
    rows = {
        f'{entry["table"]}/{entry["generator"]}': entry
        for entry in summary['generators']
        if is_control(entry['table']) == controls
    }
    if summary['mean'] and not controls:
        rows['mean'] = summary['mean']
    return rows


def comparison_table(summaries):
    """Markdown: one row for each generator, AP and accuracy of each detector; then the controls."""
    parts = []
    for controls, keys in ((False, ('ap', 'accuracy')), (True, ('real_accuracy', 'fake_accuracy'))):
        rows = {name: by_generator(summary, controls) for name, summary in summaries.items()}
        generators = list(next(iter(rows.values())))
        if not generators:
            continue
        headings = ['Generator', 'Table', *(f'{COMPARED[key]} {name}' for key in keys for name in summaries)]
        lines = []
        for generator in generators:
            table, _, short = generator.rpartition('/')
            values = [rows[name].get(generator, {}).get(key) for key in keys for name in summaries]
            lines.append([short, table, *('-' if value is None else f'{100 * value:.1f}' for value in values)])
        if controls:
            parts.append('Controls (no up-sampling; "Fake acc." is the rate of false alarms on them):\n')
        parts.append(markdown_table(headings, lines))
    return '\n'.join(parts)


def example_pair(folder, frame):
    """Paths of a photograph and its fake in an edition of UpsampleBench, or None for other data."""
    metrics = folder / 'metrics.json'
    dataroot = Path(read_json(metrics)['dataroot']) if metrics.is_file() else Path()
    # Only in an edition of UpsampleBench do equal file names mean one photograph.
    if not any((above / 'edition.json').is_file() for above in (dataroot, *dataroot.resolve().parents)):
        return None
    paths = set(frame['path'])
    for path in frame.loc[frame['label'] == 1, 'path']:
        real = path.replace('1_fake', '0_real')
        if real in paths and (dataroot / path).is_file() and (dataroot / real).is_file():
            return {'real': dataroot / real, 'fake': dataroot / path}
    return None


def main(args):
    folders = {Path(folder).name: Path(folder) for folder in args.results}
    if len(folders) < len(args.results):
        raise UserError(f'two results folders have the same name: {args.results}; rename one')
    frames = {name: read_scores(folder / 'scores.csv') for name, folder in folders.items()}
    generators = {name: set(zip(frame['table'], frame['generator'], strict=True)) for name, frame in frames.items()}
    first = next(iter(generators))
    for name, found in generators.items():
        if found != generators[first]:
            differ = ', '.join('/'.join(pair) for pair in sorted(found ^ generators[first])[:5])
            raise UserError(f'{first} and {name} were not tested on the same generators; only one has: {differ}')
    summaries = {name: summarise(frame) for name, frame in frames.items()}
    out = make_folder(args.out)
    text = comparison_table(summaries) + '\nOne run of each detector: differences include the luck of one seed.\n'
    write_text(out / 'comparison.md', text)

    attention, scales = None, [0.25, 0.5, 0.75]
    for frame in frames.values():
        if attention_scales(frame):
            scales = attention_scales(frame)
            columns = {f'{scale:g}': f'attention_{scale:g}' for scale in scales}
            means = frame.groupby(frame['table'] + '/' + frame['generator'], sort=False)[list(columns.values())].mean()
            attention = means.set_axis(list(columns), axis=1)
            break
    drawn = {name: by_generator(summary, controls=False) for name, summary in summaries.items()}
    pair = example_pair(folders[first], frames[first])
    comparison_figure(drawn, attention, pair, scales, out / 'comparison.png')
    print(text)
    print(f'written to {out}: comparison.md, comparison.png')


if __name__ == '__main__':
    with friendly_errors('analysis.compare'):
        main(get_parser().parse_args())
