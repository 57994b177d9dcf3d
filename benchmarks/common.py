"""What benchmarks share: files to load, what the machine could do, results as JSON."""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from generators.scenes import render_scene
from options.base_options import positive
from util import machine
from util.files import write_json

SIDE, CROP = 256, 224  # pixels, of the files and of what the network sees


def make_images(folder, count):
    """PNG files of different tiles of a rendered scene, as noisy as photographs; half of them labelled fake."""
    scene, rng = render_scene(0, 1024), np.random.default_rng(0)
    for i in range(count):
        place = Path(folder) / ('0_real', '1_fake')[i % 2] / f'{i:05d}.png'
        place.parent.mkdir(parents=True, exist_ok=True)
        top, left = rng.integers(0, 1024 - SIDE, 2)
        Image.fromarray(scene[top : top + SIDE, left : left + SIDE]).save(place)


def roofline(device, precision):
    """{'matrix_tflops', 'copy_gb_per_s'} of the machine: medians of 7 large matrix products and copies of 256 MiB."""
    side = 2048 if device.type == 'cpu' else 8192
    kind = torch.bfloat16 if precision == 'bf16' else torch.float32
    one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates = []
    for work, amount in ((lambda: one @ other, 2 * side**3), (lambda: target.copy_(source), 2 * source.numel())):
        seconds = []
        for _ in range(9):
            if device.type == 'cuda':
                torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            if device.type == 'cuda':
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        rates.append(amount / statistics.median(seconds[2:]))
    return {'matrix_tflops': rates[0] / 1e12, 'copy_gb_per_s': rates[1] / 1e9}


def add_turns(parser, rounds):
    """The flags of a benchmark that measures ways of doing one thing in turns (`timed`)."""
    parser.add_argument('--batch_size', type=positive, default=16, help='images at once')
    parser.add_argument('--rounds', type=positive, default=rounds, help='measured turns of each way')
    parser.add_argument('--gpu_ids', metavar='ID', help='number of the GPU, or -1 for the CPU; default: a GPU if any')
    parser.add_argument('--out', help='JSON file for the result')


def timed(functions, rounds, device):
    """{name: median milliseconds} of functions called in turns, after two turns that do not count."""
    seconds = {name: [] for name in functions}
    for _ in range(2 + rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if device.type == 'cuda':
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(each[2:]) for name, each in seconds.items()}


def finished(args, results):
    """Write flags, results and machine to --out, if that was given."""
    if args.out:
        flags = {key: value for key, value in vars(args).items() if key != 'out'}
        write_json(args.out, {**flags, **results, 'machine': machine.describe()})
