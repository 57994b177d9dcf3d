"""How do scores hold up? python robustness.py --model_path CHECKPOINT ... --dataroot DIR --out DIR [--formats]

Scores every image again after each perturbation (compression, blur, noise, resizing, shifts, screenshots), the same way
in every run, and draws curves with intervals. With --formats instead: both classes saved alike (JPEG 96) and cropped
alike, which shows how much of a result was file format or size. What is scored already is not scored again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from scipy.special import expit

from analysis.robustness import CURVES, UNTOUCHED, conditions_table, curves_figure, summarise_conditions
from analysis.words import count, listed
from data.collection import collect, describe
from data.datasets import tensor_sizes
from data.perturbations import PERTURBATIONS, Perturbation, parse
from data.transforms import GRID, ScoreTransform, wanted_pixels
from networks import CheckpointError, load_checkpoint
from networks.verdict import threshold
from options.base_options import StrictParser, add_detector, add_machine, add_pixels, pixel_sizes, positive
from session import Scorer, check_alike, describe_pixels, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, shortest_tails, write_json, write_text

ALIKE = 96  # JPEG quality


def get_parser():
    parser = StrictParser(prog='robustness.py', description=__doc__.split('\n\n')[1])
    parser.add_argument(
        '--model_path', required=True, nargs='+', help='checkpoints; named after their folders or files'
    )
    parser.add_argument('--dataroot', required=True, help='as for test.py')
    parser.add_argument('--reals', metavar='DIR', help='real images for generators that come without')
    parser.add_argument('--out', required=True, help='folder of scores, tables and figures')
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--perturbations',
        nargs='+',
        type=perturbations,
        metavar='KIND',
        help=f'of {", ".join(PERTURBATIONS)} (default: all), or one level of one, as resize_0.9',
    )
    what.add_argument('--formats', action='store_true', help='file formats and crops alike instead of perturbations')
    parser.add_argument('--batch_size', type=positive, default=64, help='images scored at once')
    add_detector(parser, required=False)
    add_pixels(parser, modes=True)
    add_machine(parser)
    return parser


def perturbations(text):
    """data.perturbations.parse, for argparse."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def perturbed(found):
    """{name of a condition: function of a ScoreTransform} for each Perturbation."""
    return {str(each): (lambda transform, each=each: replace(transform, perturbation=each)) for each in found}


def formats(samples, load_size, crop_size):
    """Conditions under which the file format and the size of an image tell nothing of its class.

    Raises:
        UserError: pixels are resized, which changes both anyway; images below GRID pixels.
    """
    if load_size:
        raise UserError('--formats compares native pixels: add --mode native or --no_resize')
    sizes = tensor_sizes(samples, ScoreTransform(None, None), progress=True)
    smallest = int(sizes[sizes.all(1)].min()) // GRID * GRID if sizes.any() else 0
    smallest = min(smallest, crop_size or smallest)
    if not smallest:
        raise UserError(f'--formats: the smallest image is below {GRID} pixels, or none can be read')
    jpeg = Perturbation('jpeg', ALIKE)
    return {
        str(jpeg): lambda transform: replace(transform, perturbation=jpeg),
        f'crop_{smallest}': lambda transform: ScoreTransform(None, smallest),
        f'crop_{smallest}_{jpeg}': lambda transform: ScoreTransform(None, smallest, jpeg),
    }


def named(paths):
    """{name: path} of the checkpoints.

    As little of the end of each path as tells them apart; a file that train.py saved is called after its folder, unless
    several of one folder are given.

    Raises:
        UserError: one is given twice.
    """
    whole = [Path(path).resolve().with_suffix('').parts for path in paths]
    short = [parts[:-1] if parts[-1].startswith('model_epoch_') else parts for parts in whole]
    try:
        names = shortest_tails(short if len(set(short)) == len(short) else whole)[0]
    except ValueError:
        raise UserError(f'--model_path: a checkpoint is given twice: {", ".join(paths)}') from None
    return dict(zip(names, paths, strict=True))


def main(opt):
    machine.only_one_process('robustness.py')
    place = machine.start(opt.gpu_ids, opt.precision)
    out = make_folder(opt.out)
    found = collect(Path(opt.dataroot), reals=opt.reals)
    print('\n'.join(describe(Path(opt.dataroot), found, opt.reals)))
    found.demand_both_classes()
    conditions = {UNTOUCHED: lambda transform: transform}
    check_alike(opt, opt.model_path)
    wanted = load_checkpoint(opt.model_path[0])
    sizes = pixel_sizes(opt, wanted_pixels(wanted))
    asked = [each for group in opt.perturbations or map(parse, PERTURBATIONS) for each in group]
    conditions |= formats(found.samples, *sizes) if opt.formats else perturbed(asked)
    plain = transforms(opt, wanted, found.tables)
    print('\n'.join(describe_pixels(plain)))
    summaries, facts = {}, {}
    for name, path in named(opt.model_path).items():
        scorer = Scorer(opt, path, place, opt.npr_scales)
        for number, (condition, change) in enumerate(conditions.items(), start=1):
            folder = make_folder(out / name / condition)
            pixels = {table: change(transform) for table, transform in plain.items()}
            label = f'{name}: {condition} ({number}/{len(conditions)})'
            scorer.to_file(found.with_pixels(pixels), found.rows, str(pixels), folder, label, again=False)
        if scorer.bad_images.summary():
            print(scorer.bad_images.summary())
        above = threshold(scorer.config)
        summaries[name], averaged, left_out = summarise_conditions(out / name, list(conditions), above)
        facts[name] = {'model_path': path, 'weights': scorer.weights, 'precision': scorer.precision, 'threshold': above}
        facts[name] |= {'bad_images': list(scorer.bad_images.messages), 'mean_over': averaged}
        facts[name] |= {'left_out': left_out}
    stem = 'formats' if opt.formats else 'robustness'
    text, levels = conditions_table(summaries), summaries[name][UNTOUCHED]['ap']['levels']
    verdicts = ', '.join(f'{expit(fact["threshold"]):.3f} ({name})' for name, fact in facts.items())
    text += (
        f'\nMeans over {count(len(averaged), "generator")}: {", ".join(averaged)}; 95% intervals over '
        f'{listed([f"{level}s" for level in levels])}. '
        f'Accuracies count as fake what scores above {verdicts}: the frozen threshold of a detector that has one.\n'
    )
    if any(fact['left_out'] for fact in facts.values()):
        counts = ', '.join(f'{fact["left_out"]} ({name})' for name, fact in facts.items())
        text += f'\nImages that could not be scored under every condition are in no number: {counts}.\n'
    if opt.formats:
        text += '\nSaving both classes as PNG changes no pixel, so its scores are those of "as is".\n'
    write_text(out / f'{stem}.md', text)
    pixels = {table: str(transform) for table, transform in plain.items()}
    facts = {'dataroot': opt.dataroot, 'pixels': pixels, 'detectors': facts, 'machine': machine.describe()}
    write_json(out / f'{stem}.json', {**facts, 'conditions': summaries})
    written = [f'{stem}.md', f'{stem}.json']
    if not opt.formats:
        levels = {}
        for each in dict.fromkeys(asked):
            levels.setdefault(each.kind, []).append(each.level)
        kinds = {kind: (PERTURBATIONS[kind].unit, known) for kind, known in levels.items()}
        for metric in CURVES:
            curves_figure(summaries, kinds, metric, out / f'{stem}_{metric}.png')
            written.append(f'{stem}_{metric}.png')
    print(text)
    print(f'written to {out}: {", ".join(written)}')


if __name__ == '__main__':
    with friendly_errors('robustness.py', CheckpointError):
        main(get_parser().parse_args())
