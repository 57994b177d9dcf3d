"""Where does the time go? python benchmarks/stages.py [--model_type single_scale] [--out FILE]

Milliseconds per image of every stage of training and scoring, in turns: `plain` as the ancestors run (every image
decoded by Pillow in every epoch, floats image by image, fp32, NCHW, batch norms apart, default allocator), `ours`, what
train.py and test.py do from the second epoch on, and `compiled`, the same with --compile. Beside it what the
machine could do: its rate of matrix products and of copies, and the share of the first that ours reaches.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.v2 import functional as TF

from benchmarks.common import CROP, SIDE, add_turns, finished, make_images, roofline
from data.datasets import collate
from data.images import load_rgb
from data.listing import list_samples
from data.packed import pack
from data.transforms import IMAGENET_MEAN, IMAGENET_STD, TrainTransform, normalise
from networks import DETECTORS, create_detector, detector_config
from networks.compiling import compiled
from networks.scoring import prepare, score_batch
from networks.trainer import Trainer
from options.base_options import StrictParser
from util import machine

STAGES = ('decode', 'transform', 'transfer', 'forward', 'backward', 'optimiser', 'inference')


def get_parser():
    parser = StrictParser(prog='benchmarks/stages.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_type', choices=DETECTORS, default='single_scale', help='detector')
    parser.add_argument('--precision', choices=('auto', 'fp32', 'bf16'), default='auto', help='of ours')
    parser.add_argument('--compile', action='store_true', help='measure that as well; it takes a minute to start')
    add_turns(parser, rounds=7)
    return parser


class Way:
    """One way of doing every stage on the same files; each method of STAGES needs those before it."""

    def __init__(self, folder, model_type, batch_size, device, precision):
        self.samples, self.device, self.precision = list_samples(folder), device, precision
        self.keys = [(i % len(self.samples), i) for i in range(batch_size)]
        torch.manual_seed(0)
        self.detector = create_detector(detector_config(model_type))

    def wait(self):
        if self.device.type == 'cuda':
            torch.cuda.synchronize()


class Plain(Way):
    def __init__(self, *args):
        super().__init__(*args)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.detector.to(self.device)
        self.optimizer = torch.optim.Adam(self.detector.parameters(), lr=2e-4)

    def decode(self):
        self.decoded = [load_rgb(self.samples[index].path) for index, _ in self.keys]

    def transform(self):
        rng, ready = np.random.default_rng(0), []
        for image in self.decoded:
            left, top = rng.integers(0, SIDE - CROP + 1, 2)
            image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).crop((left, top, left + CROP, top + CROP))
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
            pixels = TF.to_dtype(TF.to_image(image), torch.float32, scale=True)
            ready.append(TF.normalize(pixels, IMAGENET_MEAN, IMAGENET_STD))
        self.batch = torch.stack(ready), torch.tensor([self.samples[index].label for index, _ in self.keys]).float()

    def transfer(self):
        self.images, self.labels = (each.to(self.device) for each in self.batch)

    def forward(self):
        self.detector.train()
        self.loss = F.binary_cross_entropy_with_logits(self.detector(self.images).squeeze(1), self.labels)

    def backward(self):
        self.optimizer.zero_grad()
        self.loss.backward()

    def optimiser(self):
        self.optimizer.step()

    def inference(self):
        self.detector.eval()
        with torch.no_grad():
            self.detector(self.images).sigmoid().flatten().tolist()


class Ours(Way):
    compiled = False

    def __init__(self, folder, model_type, batch_size, device, precision):
        super().__init__(folder, model_type, batch_size, device, precision)
        if device.type == 'cpu':
            machine.keep_freed_memory()
        self.packed = pack(self.samples, SIDE, Path(folder) / '.cache', machine.cores())
        self.transformation = TrainTransform(SIDE, CROP)
        wrap = partial(compiled, device=device) if self.compiled else None
        self.trainer = Trainer(self.detector, device, precision=precision, wrap=wrap)
        self.scorer = prepare(self.detector, device)
        if wrap:
            self.scorer.forward = wrap(self.scorer.forward)

    def decode(self):
        self.decoded = [Image.fromarray(self.packed[index]) for index, _ in self.keys]

    def transform(self):
        ready = [
            (index, self.samples[index].label, self.transformation(image, np.random.default_rng(draw)))
            for (index, draw), image in zip(self.keys, self.decoded, strict=True)
        ]
        self.loaded = collate(ready, self.samples)

    def transfer(self):
        images = normalise(self.loaded.images.to(self.device, non_blocking=True))
        self.images, self.labels = self.trainer.transfer(images, self.loaded.labels)

    def forward(self):
        self.loss = self.trainer.loss(self.images, self.labels)

    def backward(self):
        self.trainer.optimizer.zero_grad(set_to_none=True)
        self.loss.backward()

    def optimiser(self):
        self.trainer.optimizer.step()

    def inference(self):
        score_batch(self.scorer, self.images, self.device, self.precision)


class Compiled(Ours):
    compiled = True


WAYS = {'plain': Plain, 'ours': Ours, 'compiled': Compiled}


def worker(pipe, way, folder, model_type, batch_size, gpu_ids, precision):
    """Do each stage that is asked for, and send its seconds, until None comes."""
    device = machine.choose_device(gpu_ids)
    precision = machine.choose_precision(precision, device) if way != 'plain' else 'fp32'
    work = WAYS[way](folder, model_type, batch_size, device, precision)
    while (stage := pipe.recv()) is not None:
        work.wait()
        start = time.perf_counter()
        getattr(work, stage)()
        work.wait()
        pipe.send(time.perf_counter() - start)


def arithmetic(model_type):
    """Floating-point operations of the network for one image: (forward, forward and backward)."""
    detector, images = create_detector(detector_config(model_type)), torch.randn(1, 3, CROP, CROP)
    with FlopCounterMode(display=False) as forward:
        loss = detector(images).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


def main(args):
    context, pipes, processes = multiprocessing.get_context('spawn'), {}, []
    device = machine.choose_device(args.gpu_ids)
    precision = machine.choose_precision(args.precision, device)
    ways = [way for way in WAYS if way != 'compiled' or args.compile]
    seconds = {way: {stage: [] for stage in STAGES} for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        make_images(folder, args.batch_size)
        for way in ways:
            pipes[way], end = context.Pipe()
            arguments = (end, way, folder, args.model_type, args.batch_size, args.gpu_ids, args.precision)
            processes.append(context.Process(target=worker, args=arguments, daemon=True))
            processes[-1].start()
            end.close()  # so that the end of a process that failed is noticed
        for turn in range(args.rounds + 3):
            for way, pipe in pipes.items():
                for stage in STAGES:
                    pipe.send(stage)
                    value = pipe.recv()
                    if turn >= 3:  # the first rounds warm up
                        seconds[way][stage].append(1000 * value / args.batch_size)
        for pipe, process in zip(pipes.values(), processes, strict=True):
            pipe.send(None)
            process.join()  # nothing else runs while the roofline is measured
    medians = {way: {stage: statistics.median(found[stage]) for stage in STAGES} for way, found in seconds.items()}
    for found in medians.values():
        found['training step'] = found['forward'] + found['backward'] + found['optimiser']
        found['training, all'] = sum(found[stage] for stage in STAGES[:-1])
    peak = roofline(device, precision)
    operations = dict(zip(('inference', 'training step'), arithmetic(args.model_type), strict=True))
    print(f'{args.model_type}, {args.batch_size} images of {CROP} px, {precision}; ms per image')
    print(f'{"stage":14s}', *(f'{way:>9s} {"ratio":>7s}' for way in ways), f'{"of peak":>8s}')
    shares = {}
    for stage, plain in medians['plain'].items():
        columns = [f'{medians[way][stage]:9.3f} {plain / medians[way][stage]:6.2f}x' for way in ways]
        if stage in operations:
            rate = operations[stage] / (medians['ours'][stage] / 1000)
            shares[stage] = rate / (peak['matrix_tflops'] * 1e12)
            columns.append(f'{100 * shares[stage]:7.0f}%')
        print(f'{stage:14s}', *columns)
    print(f'matrix products {peak["matrix_tflops"]:.2f} TFLOP/s ({precision}), copies {peak["copy_gb_per_s"]:.1f} GB/s')
    results = {'precision': precision, 'ms_per_image': medians, 'operations_per_image': operations}
    finished(args, {**results, 'roofline': peak, 'share_of_matrix_peak': shares})


if __name__ == '__main__':
    main(get_parser().parse_args())
