"""All experiments in a row: bash run_multiscale_experiments.sh [flags], which is python -m pipeline [flags]."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from options.base_options import StrictParser, distinct, numbers, positive
from pipeline.estimate import estimate
from pipeline.plan import BASELINE, DESIGNS, PROPOSED, RECIPES, full_plan, quick_plan
from pipeline.queue import ROOT, Queue, slots
from util.errors import UserError, friendly_errors
from util.files import read_json, write_json

PROGRAM = 'run_multiscale_experiments.sh'


def named_designs(text):
    """'all', 'none' or 'multiscale_4,single_0.25' -> designs in order, baseline and proposal always among them."""
    if text == 'all':
        return DESIGNS
    names = [] if text == 'none' else text.split(',')
    if unknown := sorted(set(names) - {design.name for design in DESIGNS}):
        known = ', '.join(design.name for design in DESIGNS)
        raise argparse.ArgumentTypeError(f'unknown: {", ".join(unknown)}; known: {known}')
    return tuple(design for design in DESIGNS if design.name in names or design in (BASELINE, PROPOSED))


def get_parser():
    parser = StrictParser(
        prog=PROGRAM,
        description='Train the baseline, the multi-scale detector, ablations and controls over seeds, test all of '
        'them on everything found, compare them, test the attention, write a report and slides. '
        'What is done is not done again; after a kill or a '
        'reboot the same command goes on. A failed step is shown with its log, the others go on.',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='baseline and multi-scale detector on a small UpsampleBench made on the spot below --out, short '
        'training, native pixels (this is make demo); takes no --dataroot and --testroot',
    )
    parser.add_argument(
        '--dataroot', help='training data with train/ and val/; default: ./datasets/ForenSynths_train_val'
    )
    parser.add_argument('--testroot', help='test generators; default: ./datasets/Generalization_Test')
    parser.add_argument(
        '--out', help='checkpoints, scores, comparison, logs; default: results/experiments, --quick: demo'
    )
    parser.add_argument('--seeds', type=distinct, metavar='N,N,...', help='default: 0,1,2,3,4, --quick: 0')
    parser.add_argument(
        '--designs',
        type=named_designs,
        metavar='NAME,NAME,...',
        help='besides baseline and multiscale_3, which are always there: '
        f'{", ".join(d.name for d in DESIGNS if d not in (BASELINE, PROPOSED))}; default: all, --quick: none',
    )
    parser.add_argument('--epochs', type=positive, help='of each training; default: 50, --quick: 16')
    parser.add_argument(
        '--recipe',
        choices=RECIPES,
        help="proposal: the authors' network against branches weighed by an MLP; tuned: fine networks for all designs, "
        'branches weighed by their own evidence (docs/experiments.md); default: proposal, --quick: tuned',
    )
    parser.add_argument(
        '--wide',
        action='store_true',
        help='with --quick: train on nearest, transposed and shuffle x2, not nearest alone',
    )
    parser.add_argument(
        '--gpus',
        type=numbers,
        metavar='N,N,...',
        help='one step at a time on each; a number given several times runs so many side by side on that GPU, which '
        'one of these small networks may not fill; default: one step',
    )
    parser.add_argument(
        '--side_by_side', type=positive, default=1, metavar='N', help='steps at a time on a CPU, which share its cores'
    )
    parser.add_argument('--dry_run', action='store_true', help='print every command and an estimate of time and disk')
    return parser


def place(given, default):
    """Path that the user gave, or a default below the project; relative to the project where it lies in it."""
    path = Path(given).resolve() if given else ROOT / default
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def make_plan(args):
    if args.quick:
        if given := [f'--{name}' for name in ('dataroot', 'testroot') if getattr(args, name)]:
            raise UserError(f'--quick makes its own data: leave {", ".join(given)} out')
        return quick_plan(
            out=place(args.out, 'demo'),
            seeds=args.seeds or (0,),
            designs=args.designs or (BASELINE, PROPOSED),
            epochs=args.epochs or 16,
            recipe=args.recipe or 'tuned',
            wide=args.wide,
        )
    if args.wide:
        raise UserError('--wide is for --quick: of other data, everything in --dataroot is trained on')
    return full_plan(
        out=place(args.out, 'results/experiments'),
        dataroot=place(args.dataroot, 'datasets/ForenSynths_train_val'),
        testroot=place(args.testroot, 'datasets/Generalization_Test'),
        seeds=args.seeds or (0, 1, 2, 3, 4),
        epochs=args.epochs or 50,
        designs=args.designs or DESIGNS,
        recipe=args.recipe or 'proposal',
    )


def remember(path, command, settings):
    """Add a command to those that made what is in a folder.

    Raises:
        UserError: an experiment with other settings is there already.
    """
    before = read_json(path) if path.is_file() else {'commands': [], 'settings': settings}
    if before.get('settings') != settings:
        raise UserError(
            f'{path.parent}: holds another experiment ({"; ".join(before["commands"])}); choose another --out, or '
            'remove it'
        )
    commands = [*before['commands'], *([] if command in before['commands'] else [command])]
    write_json(path, {'commands': commands, 'settings': settings})


def main(args):
    plan = make_plan(args)
    os.chdir(ROOT)  # where steps run, so that one path means one place
    steps = plan.steps()
    if args.dry_run:
        for step in steps:
            print(f'# {step.name}\n{shlex.join(step.command())}')
        print('\n' + '\n'.join(estimate(plan)))
        return
    if not args.quick:
        for name, folder in (('dataroot', plan.dataroot), ('testroot', plan.testroot)):
            if not folder.is_dir():
                raise UserError(f'--{name} {folder}: no such folder (docs/reproduce.md says where data come from)')
    queue = Queue(steps, plan.out, slots(args.gpus, args.side_by_side))
    settings = {
        'data': str(plan.dataroot),
        'training': shlex.join(map(str, plan.training)),
        'networks': str(plan.recipe),
    }
    remember(plan.out / 'experiment.json', shlex.join(['bash', PROGRAM, *sys.argv[1:]]), settings)
    state = queue.run()
    for outcome in ('failed', 'skipped'):
        if names := [name for name, found in state.items() if found == outcome]:
            print(f'{outcome}: {", ".join(names)}')
    print(f'{sum(found == "done" for found in state.values())} of {len(steps)} steps done; results in {plan.out}')
    if set(state.values()) != {'done'}:
        raise SystemExit(1)


if __name__ == '__main__':
    with friendly_errors(PROGRAM):
        main(get_parser().parse_args())
