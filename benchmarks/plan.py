"""How long does the proposal's plan take here? python benchmarks/plan.py [--images 4096] [--out FILE]

The plan: five detectors, 50 epochs each of 40,000 images of 256 px, then five test tables of 60,000 images each. Here
train.py and test.py themselves run on fewer files, made on the spot, and what an epoch and a pass take is projected:
training by the median of the epochs after the first (which is counted once; decoding, which comes before, is not),
testing by the difference between two passes of different length, so that the start is not taken for work.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from tqdm import tqdm

from benchmarks.common import finished, make_images
from options.base_options import StrictParser, bounded, positive
from pipeline.plan import DESIGNS, RECIPES

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, TRAINING, TABLES, TESTED = 50, 40_000, 5, 60_000  # of the plan
PLANNED = [design for design in DESIGNS if design.role != 'control']


def get_parser():
    parser = StrictParser(prog='benchmarks/plan.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--images', type=bounded(int, 64), help='files to measure with; default: 4096, on a CPU 64')
    parser.add_argument('--epochs', type=bounded(int, 2), default=4, help='measured epochs, the first included')
    parser.add_argument('--batch_size', type=positive, default=32, help='images in a step of training')
    parser.add_argument('--test_batch_size', type=positive, default=64, help='images at once in testing')
    parser.add_argument('--more', nargs='*', default=[], metavar='FLAG', help='for both scripts, e.g. gpu_ids=0')
    parser.add_argument('--out', help='JSON file for the result')
    return parser


def run(script, *words):
    """Run a script of this project; returns its seconds."""
    start = time.perf_counter()
    command = [sys.executable, script, *(str(word) for word in words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{" ".join(command)} failed:\n{done.stderr[-2000:]}')
    return time.perf_counter() - start


def measure(design, folder, args, more):
    """Seconds of a detector: first epoch, a later one, and for a tested image."""
    words = ('--name', design.name, '--checkpoints_dir', folder / 'checkpoints', '--dataroot', folder)
    words += tuple(design.flags(RECIPES['proposal']))
    run('train.py', *words, '--batch_size', args.batch_size, '--niter', args.epochs, *more)
    lines = (folder / 'checkpoints' / design.name / 'train_log.jsonl').read_text().splitlines()
    first, *later = (json.loads(line)['seconds'] for line in lines)
    model = folder / 'checkpoints' / design.name / 'model_epoch_last.pth'
    passes = []
    for name in ('some', 'all'):
        out = ('--output_dir', folder / 'results' / design.name / name)
        words = ('--model_path', model, '--dataroot', folder / 'test' / name, '--batch_size', args.test_batch_size)
        passes.append(run('test.py', *words, *out, *more))
    images = args.images - args.images // 4
    return first, statistics.median(later), max(passes[1] - passes[0], 0) / images


def main(args):
    more = [word for flag in args.more for word in (f'--{flag.partition("=")[0]}', flag.partition('=')[2]) if word]
    args.images = args.images or (4096 if torch.cuda.is_available() else 64)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        counts = {'train': args.images, 'val': 64, 'test/all/made': args.images, 'test/some/made': args.images // 4}
        for name, count in counts.items():
            make_images(folder / name, count)
        for design in tqdm(PLANNED, desc='detectors', unit='detector'):
            first, later, tested = measure(design, folder, args, more)
            hours = (first - later + EPOCHS * later * TRAINING / args.images + TABLES * TESTED * tested) / 3600
            result[design.name] = {
                'training_images_per_s': args.images / later,
                'tested_images_per_s': 1 / tested if tested else None,
                'first_epoch_s': first,
                'hours': hours,
            }
            tqdm.write(
                f'{design.name:20s} training {args.images / later:8.1f} images/s, '
                f'testing {1 / tested if tested else float("nan"):8.1f} images/s, plan {hours:6.2f} h'
            )
    total = sum(found['hours'] for found in result.values())
    print(f'the whole plan, projected: {total:.2f} hours')
    finished(args, {'detectors': result, 'hours': total})


if __name__ == '__main__':
    main(get_parser().parse_args())
