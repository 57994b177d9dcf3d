"""How good is a detector on generators it never saw? python leave_one_out.py --dataroot DIR --out OUT [-- TRAIN FLAGS]

DIR holds a folder for each generator (0_real, 1_fake). One after the other, each is left out: a detector is trained on
all others, without the real images it will be compared with, gets its threshold on a part of what it may see, and
scores the generator as its files are and with both classes saved (JPEG) or resized alike. Another one is trained on
everything with the first seed, to be used. After a kill the same command goes on.
"""

from dataclasses import replace
from pathlib import Path

from analysis.leave_one_out import ALL_CONDITIONS, CONDITIONS, all_scores, detector_file, draw, summarise, table
from data.left_out import (
    VALIDATION,
    counts,
    fingerprint,
    link,
    numbers_alone,
    read_sources,
    training_set,
    validation_reals,
)
from options import train_options
from options.base_options import StrictParser, bounded, distinct, fraction, numbers, positive
from pipeline.plan import PYTHON, Step
from pipeline.queue import Queue, slots
from util import machine
from util.errors import UserError, friendly_errors
from util.files import read_json, write_csv, write_json, write_text

ALL = 'all'  # name of the training that leaves nothing out
SIDE = 256  # of the centre crop that is scored
OWN = ('--name', '--checkpoints_dir', '--cache_dir', '--dataroot', '--seed', '--niter', '--continue_train')
OWN += ('--overwrite', '--classes', '--train_split', '--val_split', '--loadSize')  # not for the user to give
SCORED = ('--no_resize', '--cropSize', SIDE, '--batch_size', 16)
RECIPE = ('--model_type', 'single_scale', '--fine', '--pairs', '--no_resize', '--cropSize', 64, '--batch_size', 32)
RECIPE += ('--jpg_prob', 0.5, '--jpg_qual', '60,100', '--lr', 0.002, '--cosine', '--patch_loss')


def get_parser():
    parser = StrictParser(prog='leave_one_out.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--dataroot', required=True, help='folder of generators')
    parser.add_argument('--out', required=True, help='trainings, scores, table, figure')
    parser.add_argument(
        '--reals', metavar='NAME', help='folder in --dataroot whose real images are lent to generators without any'
    )
    parser.add_argument('--more_reals', metavar='DIR', help='photographs (any depth) that every training may use')
    parser.add_argument(
        '--more',
        nargs='+',
        default=(),
        metavar='DIR',
        help='folders of sources with 0_real and 1_fake (generators.redo) that training may use',
    )
    parser.add_argument('--seeds', type=distinct, default=(0,), metavar='N,N,...', help='of the trainings')
    parser.add_argument('--niter', type=positive, default=6, help='epochs of each training')
    parser.add_argument(
        '--false_alarm_rate', type=bounded(float, 0, 1, low_excluded=True), default=0.05, help='see calibrate.py'
    )
    parser.add_argument('--copy', type=fraction, help='also compare images with copies, see join_copy.py')
    parser.add_argument('--gpus', type=numbers, metavar='N,N,...', help='as for run_multiscale_experiments.sh')
    parser.add_argument('--side_by_side', type=positive, default=1, metavar='N', help='steps at a time without GPUs')
    parser.add_argument('--dry_run', action='store_true', help='print the commands')
    parser.add_argument(
        'training',
        nargs='*',
        metavar='TRAIN FLAGS',
        help=f'for train.py, after --; they follow {text_of(RECIPE)} and override it (attention takes --no-patch_loss)',
    )
    return parser


def text_of(words):
    return ' '.join(map(str, words))


def steps_of(args, left_out, seed, sources):
    """[Step] of one detector: train, score what it kept for validation, threshold, score who was left out."""
    name = f'{left_out or ALL}_seed_{seed}'
    run, val = args.out / 'checkpoints' / name, args.out / 'validation' / name
    trained, model, data = detector_file(run), detector_file(run, args.copy), args.out / 'data' / (left_out or ALL)
    words = [PYTHON, 'train.py', '--name', name, '--checkpoints_dir', run.parent, '--dataroot', data, '--seed', seed]
    words += [*RECIPE, '--niter', args.niter, '--cache_dir', args.out / '.cache', *args.training]
    score = [PYTHON, 'test.py', '--model_path', model, '--dataroot', data / 'val', '--output_dir', val, *SCORED]
    freeze = [PYTHON, 'calibrate.py', '--model_path', model, '--scores', val / 'scores.csv']
    freeze += ['--false_alarm_rate', args.false_alarm_rate]
    steps = [
        Step(f'train_{name}', words, resume=lambda: ['--continue_train'] if (run / 'opt.json').is_file() else []),
        Step(f'validate_{name}', score, (f'join_{name}' if args.copy else f'train_{name}',)),
        Step(f'calibrate_{name}', freeze, (f'validate_{name}',)),
    ]
    if args.copy:
        words = [PYTHON, 'join_copy.py', '--model_path', trained, '--dataroot', data / 'val', '--out', model]
        steps.insert(1, Step(f'join_{name}', [*words, '--copy', args.copy, *SCORED], (f'train_{name}',)))
    if left_out:
        words = [PYTHON, 'robustness.py', '--model_path', model, '--dataroot', Path(args.dataroot) / left_out]
        words += ['--out', args.out / 'scores' / left_out, '--perturbations', *list(ALL_CONDITIONS)[1:], *SCORED]
        lent = sources.compared_with(left_out)
        words += [] if lent == left_out else ['--reals', Path(args.dataroot) / lent]
        steps.append(Step(f'score_{name}', words, (f'calibrate_{name}',)))
    return steps


def check_flags(args):
    """Let train.py's own parser refuse what it would refuse in every step, before anything is made."""
    if own := sorted({word.partition('=')[0] for word in args.training} & {*OWN}):
        raise UserError(f'after --: {", ".join(own)} is for this program to say (--seeds, --niter; images stay native)')
    words = ['--name', ALL, '--dataroot', args.dataroot, *RECIPE, '--niter', args.niter, *args.training]
    train_options.get_config(train_options.get_parser().parse_args([str(word) for word in words]))


def check_validation(args, sources):
    """Refuse before any training what calibrate.py would refuse after it."""
    for name in (*sources.tested, None):
        chosen = training_set(sources, name)
        reals = sum(len(paths) for (split, _, label), paths in chosen.items() if (split, label) == ('val', 0))
        if reals * args.false_alarm_rate < 1 - 1e-9:
            raise UserError(
                f'without {name or "any"} there are {reals} real images for validation (one of {VALIDATION} of each '
                f'source), too few for --false_alarm_rate {args.false_alarm_rate:g}; add --more_reals, or raise it'
            )


def main(args):
    args.out, args.dataroot = Path(args.out).resolve(), Path(args.dataroot).resolve()
    sources = read_sources(args.dataroot, args.reals, args.more_reals, args.more)
    detectors = [(name, seed) for seed in args.seeds for name in sources.tested]
    detectors.insert(len(sources.tested), (None, args.seeds[0]))
    steps = [step for name, seed in detectors for step in steps_of(args, name, seed, sources)]
    check_flags(args)
    if ALL in sources.images:
        raise UserError(f'a source is called {ALL}, as the last training is; rename the folder')
    check_validation(args, sources)
    if args.dry_run:
        print('\n'.join(text_of(step.command()) for step in steps))
        return
    queue = Queue(steps, args.out, slots(args.gpus, args.side_by_side))
    record = args.out / 'leave_one_out.json'
    asked = {'training': [str(word) for word in (*RECIPE, *args.training)], 'niter': args.niter, 'reals': args.reals}
    asked |= {'copy': args.copy, 'false_alarm_rate': args.false_alarm_rate}
    asked |= {'more': [Path(more).name for more in args.more], 'trained_on': counts(training_set(sources, None))}
    asked['images'] = fingerprint(training_set(sources, None))
    before = read_json(record)['asked'] if record.is_file() else asked
    before = {'copy': None, **before}
    differ = [f'  {key}: {before[key]} before, {now} now' for key, now in asked.items() if before.get(key, now) != now]
    if differ:
        raise UserError('\n'.join([f'{args.out}: holds another experiment; choose another --out', *differ]))
    write_json(record, {'asked': asked, 'machine': machine.describe()})
    for name in (*sources.tested, None):
        if not (folder := args.out / 'data' / (name or ALL)).is_dir():
            link(training_set(sources, name), folder)
    state = queue.run()
    found = summarise(args.out, sources.tested, args.seeds, args.copy)
    found['validation_reals'] = validation_reals(training_set(sources, None))
    scored = replace(sources, tested=tuple(found['images']))
    found['alone'] = numbers_alone(scored, CONDITIONS, SIDE)
    write_json(record, {'asked': asked, 'machine': machine.describe(), **found})
    text = table(found)
    write_text(args.out / 'leave_one_out.md', text)
    draw(found, args.out / 'leave_one_out.png')
    dateless = {'method': 'gzip', 'mtime': 0}  # the same scores, the same bytes
    write_csv(args.out / 'scores.csv.gz', all_scores(args.out, found), compression=dateless)
    released = f'checkpoints/{ALL}_seed_{args.seeds[0]}/'
    print(f'{text}\nwritten to {args.out}: leave_one_out.md, .json, .png; scores.csv.gz, {released}')
    if 'failed' in state.values():
        raise SystemExit(1)


if __name__ == '__main__':
    with friendly_errors('leave_one_out.py'):
        main(get_parser().parse_args())
