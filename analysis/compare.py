"""Compare detectors from their results: python -m analysis.compare RUN RUN ... --out DIR

A RUN is a folder that test.py wrote (one seed), or a folder of such folders (one for each seed); its name is the
detector's, unless it is given as NAME=FOLDER. All must have scored the same images. Writes comparison.md,
comparison.json, comparison.png, differences.png and, for three detectors or more, critical_difference.png;
docs/overview.md says what is in them.
"""

from pathlib import Path

from analysis.comparison import compare, over_seeds
from analysis.comparison_figures import comparison_figure, critical_difference_figure, differences_figure
from analysis.comparison_text import (
    by_generator,
    caveats,
    comparison_table,
    friedman_text,
    generators_table,
    over_what,
    sentence,
    tests_table,
)
from analysis.runs import align, at_frozen_thresholds, read_results, split_generators
from analysis.scores import attention_scales
from analysis.summary import counted, summarise
from options.base_options import StrictParser, bounded
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_json, write_text


def get_parser():
    parser = StrictParser(prog='python -m analysis.compare', description=__doc__.split('\n\n')[1])
    parser.add_argument('runs', nargs='+', metavar='RUN', help='folder of one seed (scores.csv) or of several')
    parser.add_argument('--out', required=True, help='folder for what is written')
    parser.add_argument('--baseline', metavar='NAME', help='detector the others are tested against; default: the first')
    parser.add_argument(
        '--frozen_threshold',
        action='store_true',
        help='accuracies at the threshold that calibrate.py froze for each seed, instead of a score of 0.5',
    )
    parser.add_argument('--resamples', type=bounded(int, 100), default=10_000, help='of the bootstrap')
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of the bootstrap')
    parser.add_argument('--alpha', type=bounded(float, 0.001, 0.5), default=0.05, help='level of tests and intervals')
    return parser


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


def mean_attention(results):
    """(table of mean weights, scales) of the first detector with attention, averaged over its seeds; or (None, ...)."""
    for result in results:
        scales = attention_scales(result.frames[0])
        if scales:
            columns = [f'attention_{scale:g}' for scale in scales]
            per_seed = [
                frame.groupby(frame['table'] + '/' + frame['generator'], sort=False)[columns].mean()
                for frame in result.frames
            ]
            return (sum(per_seed) / len(per_seed)).set_axis([f'{scale:g}' for scale in scales], axis=1), scales
    return None, [0.25, 0.5, 0.75]


def report(summaries, result, baseline, alpha, frozen=False):
    """(comparison.md, the sentences in it)"""
    seeds = {name: summary['seeds'] for name, summary in summaries.items()}
    sentences = [sentence(test, baseline, alpha) for test in result['tests']] if result else []
    sentences += caveats(seeds, result)
    parts = [comparison_table(summaries), over_what(summaries, frozen)]
    if result and result['tests']:
        units = 'clusters of related generators' if result['units'] < len(result['generators']) else 'generators'
        parts.append(
            f'## Against {baseline}\n\n{tests_table(result["tests"], alpha)}\n'
            f'Points of percent. Intervals: hierarchical bootstrap; tests: two-sided, over {units}, on means over '
            'seeds; Holm: over all rows.\n'
        )
    if result and result['friedman']:
        parts.append(f'## All detectors (Friedman)\n\n{friedman_text(result["friedman"], list(summaries), alpha)}')
    if sentences:
        parts.append('## What these data say\n\n' + '\n'.join(f'- {text}' for text in sentences) + '\n')
    for name, rows in (result['per_generator'] if result else {}).items():
        parts.append(
            f'## {name} against {baseline}, within each generator\n\n{generators_table(rows, alpha)}\n'
            'Intervals over seeds and images; McNemar (mid-p) and DeLong on logits averaged over seeds, '
            'Holm over the generators.\n'
        )
    return '\n'.join(parts), sentences


def main(args):
    results = align([read_results(run) for run in args.runs])
    as_scored = {result.name: result.frames for result in results}
    if args.frozen_threshold:
        results = [at_frozen_thresholds(result) for result in results]
    names = [result.name for result in results]
    baseline = args.baseline or names[0]
    if baseline not in names:
        raise UserError(f'--baseline {baseline}: no such detector; there are {", ".join(names)}')
    out = make_folder(args.out)
    summaries = {}
    for result in results:
        seeds = [summarise(frame) for frame in result.frames]
        if args.frozen_threshold:  # which moves no score, so the calibration error stays what it was
            for summary, frame in zip(seeds, as_scored[result.name], strict=True):
                for entry, own in zip(summary['generators'], summarise(frame)['generators'], strict=True):
                    entry['ece'] = own['ece']
        summaries[result.name] = over_seeds(seeds)
    inside = {(e['table'], e['generator']) for e in summaries[names[0]]['generators'] if counted(e)}
    sets = [scores for scores in split_generators(results) if (scores.table, scores.generator) in inside]
    result = compare(sets, names, baseline, args.resamples, args.seed, args.alpha) if sets else None

    text, sentences = report(summaries, result, baseline, args.alpha, args.frozen_threshold)
    write_text(out / 'comparison.md', text)
    facts = {'baseline': baseline, 'resamples': args.resamples, 'seed': args.seed, 'alpha': args.alpha}
    facts['frozen_threshold'] = args.frozen_threshold
    folders = {each.name: [folder.name for folder in each.folders] for each in results}
    facts |= {'folders': folders, 'detectors': summaries, 'comparison': result, 'sentences': sentences}
    write_json(out / 'comparison.json', facts)
    attention, scales = mean_attention(results)
    drawn = {name: by_generator(summary, controls=False) for name, summary in summaries.items()}
    pair = example_pair(results[0].folders[0], results[0].frames[0])
    comparison_figure(drawn, attention, pair, scales, out / 'comparison.png')
    written = ['comparison.md', 'comparison.json', 'comparison.png']
    for name, needed, draw in (
        ('differences.png', result and result['tests'], differences_figure),
        ('critical_difference.png', result and result['friedman'], critical_difference_figure),
    ):
        if needed:
            draw(result, names, baseline, args.alpha, out / name)
            written.append(name)
        else:
            (out / name).unlink(missing_ok=True)  # of an earlier comparison, of other detectors
    print(text)
    print(f'written to {out}: {", ".join(written)}')


if __name__ == '__main__':
    with friendly_errors('analysis.compare'):
        main(get_parser().parse_args())
