"""What does train.py keep of the network's own speed? python benchmarks/training.py [--images 192] [--out FILE]

Runs train.py itself on 256-px PNG files made on the spot, and the bare training step on a batch in memory in turns with
it: images per second of the epochs after the first against those of the bare step. Then the same with one core and
with one core each for several processes of torchrun that share the global batch: what several processes keep, and
how far their weights are from those of one process that takes the batch in as many parts. With --more_images, how
much memory the largest process takes at most, with the first number of images and with these.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.common import CROP, finished, make_images
from networks import DETECTORS, create_detector, detector_config, load_checkpoint
from networks.trainer import Trainer
from options.base_options import StrictParser, bounded, positive
from util import machine

ROOT = Path(__file__).resolve().parents[1]


def get_parser():
    parser = StrictParser(prog='benchmarks/training.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_type', choices=DETECTORS, default='single_scale', help='detector')
    parser.add_argument('--images', type=bounded(int, 16), default=192, help='PNG files of 256 x 256 pixels')
    parser.add_argument('--more_images', type=positive, nargs='*', default=[], help='to see whether memory grows')
    parser.add_argument('--batch_size', type=positive, default=16, help='images in a step, over all processes')
    parser.add_argument('--epochs', type=bounded(int, 2), default=4, help='of each training; the first is not measured')
    parser.add_argument('--processes', type=positive, default=2, help='of torchrun; on a CPU one core each')
    parser.add_argument('--precision', choices=('auto', 'fp32', 'bf16'), default='auto', help='of the network')
    parser.add_argument('--gpu_ids', metavar='ID', help='-1 for the CPU; default: GPUs if any')
    parser.add_argument('--out', help='JSON file for the result')
    return parser


def train(folder, name, args, images, *more, processes=1, cores=None):
    """Run train.py on `images` files; returns (run folder, images per second after the first epoch)."""
    words = ['--name', name, '--checkpoints_dir', folder / 'checkpoints', '--dataroot', folder / str(images)]
    words += ['--model_type', args.model_type, '--batch_size', args.batch_size, '--niter', args.epochs]
    words += ['--precision', args.precision, *more]
    words += ['--gpu_ids', args.gpu_ids] if args.gpu_ids and processes == 1 else []
    start = [sys.executable]
    if processes > 1:
        start += ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(processes)]
    environment = {**os.environ, 'OMP_NUM_THREADS': str(cores)} if cores else os.environ
    if args.gpu_ids == '-1':
        environment = {**environment, 'CUDA_VISIBLE_DEVICES': ''}
    command = [*start, ROOT / 'train.py', *words]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{" ".join(map(str, command))} failed:\n{done.stderr[-2000:]}')
    run = folder / 'checkpoints' / name
    lines = (run / 'train_log.jsonl').read_text().splitlines()
    return run, images / statistics.median(json.loads(line)['seconds'] for line in lines[1:])


def bare(args):
    """Images per second of Trainer.step on one batch that is on the device already: median of 7."""
    device = machine.choose_device(args.gpu_ids)
    if device.type == 'cpu':
        machine.keep_freed_memory()
    torch.manual_seed(0)
    detector = create_detector(detector_config(args.model_type))
    trainer = Trainer(detector, device, precision=machine.choose_precision(args.precision, device))
    images = torch.randn(args.batch_size, 3, CROP, CROP, device=device)
    labels = (torch.arange(args.batch_size) % 2).float()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        trainer.step(images, labels)  # reads the loss, and so waits for a GPU
        seconds.append(time.perf_counter() - start)
    return args.batch_size / statistics.median(seconds[3:])


def distance(one, other):
    """How far two runs' parameters are apart, as a share of their norm (running statistics are of each one's parts)."""
    one, other = (load_checkpoint(run / 'model_epoch_last.pth') for run in (one, other))
    names = [name for name, _ in create_detector(one['config']).named_parameters()]
    one, other = (torch.cat([state['model'][name].flatten() for name in names]) for state in (one, other))
    return float((one - other).norm() / one.norm())


def main(args):
    result, parts = {}, args.processes
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for count in (args.images, *args.more_images):
            make_images(folder / str(count) / 'train', count)
            make_images(folder / str(count) / 'val', 2)
        before, (_, rate), after = bare(args), train(folder, 'alone', args, args.images), bare(args)
        step = (before + after) / 2
        result['whole'] = {'bare_step_images_per_s': [before, after], 'train_images_per_s': rate, 'kept': rate / step}
        print(f'bare step {before:.1f} and {after:.1f} images/s, train.py {rate:.1f}: {100 * rate / step:.0f}% kept')
        grown = [{'images': args.images, 'largest_process_mib': largest()}]
        for count in args.more_images:
            train(folder, f'images_{count}', args, count)
            grown.append({'images': count, 'largest_process_mib': largest()})
        result['memory'] = grown
        print(*(f'{line["images"]} images: {line["largest_process_mib"]} MiB at most' for line in grown), sep='\n')
        cores = max(1, machine.cores() // parts)
        run, one = train(folder, 'parts', args, args.images, '--accumulate', parts, cores=cores)
        several_run, several = train(folder, 'processes', args, args.images, processes=parts, cores=cores)
        result['processes'] = {
            'processes': parts,
            'cores_each': cores,
            'one_images_per_s': one,
            'all_images_per_s': several,
            'kept': several / one / parts,
            'relative_distance_of_parameters': distance(run, several_run),
        }
        print(
            f'{parts} processes with {cores} core(s) each {several:.1f} images/s, one {one:.1f}: '
            f'{100 * several / one / parts:.0f}% kept; distance of parameters {distance(run, several_run):.1e}'
        )
    finished(args, result)


def largest():
    """MiB that the largest process so far has taken at most; it can only grow."""
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


if __name__ == '__main__':
    main(get_parser().parse_args())
