"""What benchmarks share: files to load, what the machine could do, results as JSON."""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from generators.scenes import render_scene
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


def finished(args, results):
    """Write flags, results and machine to --out, if that was given."""
    if args.out:
        flags = {key: value for key, value in vars(args).items() if key != 'out'}
        write_json(args.out, {**flags, **results, 'machine': machine.describe()})
