"""How good is a detector on generators it never saw? python leave_one_out.py --dataroot DIR --out OUT [-- TRAIN FLAGS]

DIR holds a folder for each generator (0_real, 1_fake). One after the other, each is left out: a detector is trained on
all others, without the real images it will be compared with, gets its threshold on a part of what it may see, and
scores the generator as its files are and with both classes saved alike (JPEG). At the end another one is trained on
everything, to be used. After a kill the same command goes on.
"""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from analysis.leave_one_out import CONDITIONS, all_scores, draw, summarise, table
from data.images import is_image, load_rgb
from data.listing import LABELS, check_folder, subfolders, walk
from data.perturbations import Perturbation
from data.pixel_facts import smoothness
from data.transforms import ScoreTransform
from options.base_options import StrictParser, bounded, positive
from pipeline.__main__ import numbers
from pipeline.plan import PYTHON, Step
from pipeline.queue import Queue
from util import machine
from util.errors import UserError, friendly_errors
from util.files import atomic_path, make_folder, read_json, write_json, write_text

VALIDATION = 8  # one image in so many: the last ones of each folder by name, so that series stay together
ALL = 'all'  # name of the training that leaves nothing out
SIDE = 256  # of the centre crop that is scored
SCORED = ('--no_resize', '--cropSize', SIDE, '--batch_size', 16)
RECIPE = ('--model_type', 'single_scale', '--fine', '--pairs', '--no_resize', '--cropSize', 64, '--batch_size', 32)
RECIPE += ('--jpg_prob', 0.5, '--jpg_qual', '60,100', '--lr', 0.002, '--cosine')


def get_parser():
    parser = StrictParser(prog='leave_one_out.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--dataroot', required=True, help='folder of generators')
    parser.add_argument('--out', required=True, help='trainings, scores, table, figure')
    parser.add_argument(
        '--reals', metavar='NAME', help='folder in --dataroot whose real images are lent to generators without any'
    )
    parser.add_argument('--more_reals', metavar='DIR', help='photographs (any depth) that every training may use')
    parser.add_argument(
        '--more', metavar='DIR', help='folders of 0_real and 1_fake that every training may use (generators.redo)'
    )
    parser.add_argument('--seeds', type=numbers, default=(0,), metavar='N,N,...', help='of the trainings (default: 0)')
    parser.add_argument('--niter', type=positive, default=6, help='epochs of each training')
    parser.add_argument(
        '--false_alarm_rate', type=bounded(float, 0, 1, low_excluded=True), default=0.05, help='see calibrate.py'
    )
    parser.add_argument('--gpus', type=numbers, metavar='N,N,...', help='as for run_multiscale_experiments.sh')
    parser.add_argument('--side_by_side', type=positive, default=1, metavar='N', help='steps at a time without GPUs')
    parser.add_argument('--dry_run', action='store_true', help='print the commands')
    parser.add_argument(
        'training', nargs='*', metavar='TRAIN FLAGS', help=f'for train.py, after --; they override {text_of(RECIPE)}'
    )
    return parser


def text_of(words):
    return ' '.join(map(str, words))


def images_of(folder):
    """{0: [Path], 1: [Path]} of a source, sorted by name."""
    return {label: sorted(p for p in (folder / name).glob('*') if is_image(p.name)) for name, label in LABELS.items()}


def read_sources(args):
    """({source: {label: [Path]}}, [generators to leave out]); lender and photographs are among the sources.

    Raises:
        UserError: no such lender, a generator without fakes or without any real images to compare it with.
    """
    found = {folder.name: images_of(folder) for folder in subfolders(check_folder(args.dataroot))}
    sources = {name: images for name, images in found.items() if images[0] or images[1]}
    if args.reals and not sources.get(args.reals, {}).get(0):
        raise UserError(f'--reals {args.reals}: no such folder with 0_real in {args.dataroot}: {", ".join(sources)}')
    tested = [name for name, found in sources.items() if found[1]]
    lacking = [name for name in tested if not sources[name][0]]
    if lacking and not args.reals:
        raise UserError(f'{args.dataroot}: no real images for {", ".join(lacking)}; say whose to lend with --reals')
    if len(tested) < 2:
        raise UserError(f'{args.dataroot}: found {len(tested)} generators with 1_fake; leaving one out takes two')
    if args.more_reals:
        photos = sorted(place / name for place, _, names in walk(args.more_reals) for name in names if is_image(name))
        if not photos:
            raise UserError(f'{args.more_reals}: no images in it or below it')
        sources['photographs'] = {0: photos, 1: []}
    if args.more:
        found = {folder.name: images_of(folder) for folder in subfolders(check_folder(args.more))}
        if not any(images[1] for images in found.values()):
            raise UserError(f'{args.more}: no folders with 1_fake in it')
        sources |= {f'made_{name}': images for name, images in found.items()}
    return sources, tested


def training_set(sources, left_out, lender):
    """{(split, source, label): [Path]} without a generator and without the reals it is compared with."""
    own = None if left_out is None else left_out if sources[left_out][0] else lender
    chosen = {}
    for name, found in sources.items():
        for label, paths in found.items():
            if paths and not (name == left_out or (label == 0 and name == own)):
                last = len(paths) // VALIDATION
                chosen['train', name, label] = paths[: len(paths) - last]
                chosen['val', name, label] = paths[len(paths) - last :]
    return chosen


def counts(chosen):
    """{source: training images of both classes} of a training set."""
    found = Counter()
    for (split, name, _), paths in chosen.items():
        if split == 'train':
            found[name] += len(paths)
    return dict(found)


def link(chosen, folder):
    """Make the folder of a training set out of links to the images."""
    shutil.rmtree(folder, ignore_errors=True)
    kinds = {label: name for name, label in LABELS.items()}
    for (split, name, label), paths in chosen.items():
        place = make_folder(folder / split / name / kinds[label])
        for number, path in enumerate(paths):
            (place / f'{number:06d}_{path.name}').symlink_to(path.resolve())


def steps_of(args, left_out, seed, sources):
    """[Step] of one training: train, score what it kept for validation, threshold, score the generator left out."""
    name = f'{left_out or ALL}_seed_{seed}'
    data, run = args.out / 'data' / (left_out or ALL), args.out / 'checkpoints' / name
    model, val = run / 'model_epoch_last.pth', args.out / 'validation' / name
    train = [PYTHON, 'train.py', '--name', name, '--checkpoints_dir', run.parent, '--dataroot', data, '--seed', seed]
    train += [*RECIPE, '--niter', args.niter, '--cache_dir', args.out / '.cache', *args.training]
    score = [PYTHON, 'test.py', '--model_path', model, '--dataroot', data / 'val', '--output_dir', val, *SCORED]
    freeze = [PYTHON, 'calibrate.py', '--model_path', model, '--scores', val / 'scores.csv']
    freeze += ['--false_alarm_rate', args.false_alarm_rate]
    again = lambda: ['--continue_train'] if (run / 'opt.json').is_file() else []  # noqa: E731
    steps = [
        Step(f'train_{name}', train, resume=again),
        Step(f'validate_{name}', score, (f'train_{name}',)),
        Step(f'calibrate_{name}', freeze, (f'validate_{name}',)),
    ]
    if left_out:
        words = [PYTHON, 'robustness.py', '--model_path', model, '--dataroot', Path(args.dataroot) / left_out]
        words += ['--out', args.out / 'scores' / left_out, '--perturbations', 'jpeg', *SCORED]
        words += [] if sources[left_out][0] else ['--reals', Path(args.dataroot) / args.reals / '0_real']
        steps.append(Step(f'score_{name}', words, (f'calibrate_{name}',)))
    return steps


def smoothness_alone(sources, tested, lender):
    """{condition: {generator: AUC}} of smoothness as the score: what a detector has to beat, without any training."""
    found = {condition: {} for condition in CONDITIONS}
    for name in tqdm(tested, desc='smoothness', unit='generator'):
        both = sources[name] if sources[name][0] else {0: sources[lender][0], 1: sources[name][1]}
        labels = np.repeat([0, 1], [len(both[0]), len(both[1])])
        for condition in CONDITIONS:
            perturbation = None if condition == 'as_is' else Perturbation('jpeg', int(condition.removeprefix('jpeg_')))
            seen = ScoreTransform(None, SIDE, perturbation)
            values = [smoothness(np.asarray(seen.pixels(load_rgb(path)))) for path in both[0] + both[1]]
            found[condition][name] = float(roc_auc_score(labels, values))
    return found


def main(args):
    args.out, args.dataroot = Path(args.out).resolve(), Path(args.dataroot).resolve()
    sources, tested = read_sources(args)
    trainings = [(name, seed) for seed in args.seeds for name in (*tested, None)]
    steps = [step for name, seed in trainings for step in steps_of(args, name, seed, sources)]
    if args.dry_run:
        print('\n'.join(text_of(step.command()) for step in steps))
        return
    make_folder(args.out)
    record = args.out / 'leave_one_out.json'
    asked = {'training': [str(word) for word in (*RECIPE, *args.training)], 'niter': args.niter, 'reals': args.reals}
    if record.is_file() and read_json(record)['asked'] != asked:
        raise UserError(f'{args.out}: holds another experiment ({read_json(record)["asked"]}); choose another --out')
    write_json(record, {'asked': asked, 'machine': machine.describe()})
    for name in (*tested, None):
        if not (args.out / 'data' / (name or ALL)).is_dir():
            link(training_set(sources, name, args.reals), args.out / 'data' / (name or ALL))
    state = Queue(steps, args.out, args.gpus or [None] * args.side_by_side).run()
    found = summarise(args.out, tested, args.seeds)
    found['smoothness'] = smoothness_alone(sources, found['images'], args.reals)
    found['trained_on'] = counts(training_set(sources, None, args.reals))
    write_json(record, {'asked': asked, 'machine': machine.describe(), **found})
    text = table(found)
    write_text(args.out / 'leave_one_out.md', text)
    draw(found, args.out / 'leave_one_out.png')
    with atomic_path(args.out / 'scores.csv.gz') as temporary:  # without a date in it: the same scores, the same bytes
        all_scores(args.out, found).to_csv(temporary, index=False, compression={'method': 'gzip', 'mtime': 0})
    print(f'{text}\nwritten to {args.out}: leave_one_out.md, .json, .png; scores.csv.gz, checkpoints/{ALL}_seed_*/')
    if 'failed' in state.values():
        raise SystemExit(1)


if __name__ == '__main__':
    with friendly_errors('leave_one_out.py'):
        main(get_parser().parse_args())
