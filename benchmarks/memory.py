"""Does memory grow with the number of images? python benchmarks/memory.py [--images 1000 100000 1000000]

Runs test.py on folders of that many tiny PNG files (links to a few) and prints how much memory its largest process
took at most. Nothing but the lists of what is scored may grow.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from networks import DETECTORS, create_detector, detector_config, save_checkpoint
from options.base_options import StrictParser, positive
from util import machine
from util.files import write_json

ROOT = Path(__file__).resolve().parents[1]
SIDE = 16  # pixels
PER_FOLDER = 20_000


def get_parser():
    parser = StrictParser(prog='benchmarks/memory.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--images', type=positive, nargs='+', default=[1000, 100_000, 1_000_000], help='ascending')
    parser.add_argument('--model_type', choices=DETECTORS, default='multiscale_attention', help='detector')
    parser.add_argument('--out', help='JSON file for the result')
    return parser


def grow(folder, have, count):
    """Add links until a generator folder holds `count` images, in classes of PER_FOLDER."""
    rng = np.random.default_rng(have)
    for i in range(have, count):
        target = folder / f'class_{i // PER_FOLDER:03d}' / ('0_real', '1_fake')[i % 2] / f'image_{i:07d}.png'
        if i % 1000 == have % 1000:  # a file can have only so many links
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(target)
            source = target
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(source)


def main(args):
    lines = []
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        config = detector_config(args.model_type)
        save_checkpoint(place / 'detector.pth', config, create_detector(config).state_dict())
        have = 0
        for count in sorted(args.images):
            grow(place / 'generator', have, count)
            have = count
            start = time.perf_counter()
            words = ['--model_path', place / 'detector.pth', '--dataroot', place / 'generator', '--mode', 'native']
            words += ['--output_dir', place / 'out', '--batch_size', 256]
            subprocess.run([sys.executable, ROOT / 'test.py', *map(str, words)], check=True, capture_output=True)
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of any process so far
            line = {'images': count, 'largest_process_mib': round(most), 'seconds': round(time.perf_counter() - start)}
            print(line, flush=True)
            lines.append(line)
    if args.out:
        write_json(args.out, {'runs': lines, 'machine': machine.describe()})


if __name__ == '__main__':
    main(get_parser().parse_args())
