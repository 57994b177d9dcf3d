"""Does loading slow scoring down? python benchmarks/throughput.py [--images 192] [--num_threads 2]

Scores a folder of PNG files as test.py does, loading included, and in turns the same number of images that are in
memory already, with the network alone. The ratio of the medians is the share of the network's own speed that is kept.
"""

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.common import finished, make_images
from data.images import BadImages
from data.listing import list_samples
from data.loop import over_images
from data.transforms import ScoreTransform
from networks import DETECTORS, create_detector, detector_config
from networks.scoring import prepare, score_batch
from options.base_options import StrictParser, bounded, positive
from util import machine


def get_parser():
    parser = StrictParser(prog='benchmarks/throughput.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_type', choices=DETECTORS, default='single_scale', help='detector')
    parser.add_argument('--images', type=positive, default=192, help='PNG files of 256 x 256 pixels')
    parser.add_argument('--batch_size', type=positive, default=16, help='images at once')
    parser.add_argument('--num_threads', type=bounded(int, 0), default=machine.cores(), help='loading threads')
    parser.add_argument('--precision', choices=('auto', 'fp32', 'bf16'), default='auto', help='of the network')
    parser.add_argument('--rounds', type=positive, default=5, help='measured turns of each')
    parser.add_argument('--out', help='JSON file for the result')
    return parser


def main(args):
    device, precision, processes = machine.start('-1', args.precision)
    detector = prepare(create_detector(detector_config(args.model_type)), device)
    score = partial(score_batch, detector, device=device, precision=precision)
    batch = torch.randn(args.batch_size, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), args.images)
        samples = list_samples(folder)

        def alone():
            for _ in range(args.images // args.batch_size):
                score(batch)

        def loaded():
            arguments = (args.batch_size, args.num_threads, BadImages('stop'), processes, 'scoring')
            over_images(score, samples, ScoreTransform(), *arguments)

        seconds = {'network alone': [], 'with loading': []}
        for turn in range(args.rounds + 1):
            for name, work in zip(seconds, (alone, loaded), strict=True):
                start = time.perf_counter()
                work()
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - start)
    done = args.images // args.batch_size * args.batch_size
    rates = {
        name: images / statistics.median(seconds[name])
        for name, images in (('network alone', done), ('with loading', args.images))
    }
    for name, rate in rates.items():
        print(f'{name:13s} {rate:7.1f} images/s')
    kept = rates['with loading'] / rates['network alone']
    print(f'kept {100 * kept:.0f}%')
    finished(args, {'images_per_s': rates, 'kept': kept})


if __name__ == '__main__':
    main(get_parser().parse_args())
