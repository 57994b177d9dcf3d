"""How fast is a detector here, against the same network run plainly? python benchmarks/speed.py [--out FILE]

Each variant runs in a process of its own, since the allocator's settings cannot be undone. The processes take turns, so
that all see the same machine; ratios of medians to `plain` are the result. `plain` is fp32, NCHW and the default
allocator, as the ancestors run on a CPU; `ours` is what train.py and test.py do; the others show what each step is
worth. Batches are random numbers already in memory: loading images is not measured here.
"""

import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from networks import DETECTORS
from options.base_options import StrictParser, positive
from util import machine
from util.files import write_json


@dataclass(frozen=True)
class Variant:
    """What is switched on: tensors channels last, glibc keeps freed memory, batch norms folded, torch.compile.

    `product` calls Trainer.step and score_batch themselves instead of the plain loop here.
    """

    channels_last: bool = False
    allocator: bool = False
    folded: bool = False
    compiled: bool = False
    product: bool = False
    precision: str = 'fp32'


VARIANTS = {
    'plain': Variant(),
    'channels_last': Variant(channels_last=True),
    'allocator': Variant(allocator=True),
    'ours': Variant(channels_last=True, allocator=True, folded=True, product=True, precision='auto'),
    'bf16': Variant(channels_last=True, allocator=True, folded=True, precision='bf16'),
    'compiled': Variant(channels_last=True, allocator=True, folded=True, compiled=True, precision='auto'),
}
TASKS = ('inference', 'training')


def worker(pipe, variant, model_type, side, batch_size):
    """Serve the names of TASKS with seconds per batch until None comes."""
    import torch
    from torch.nn import functional as F

    from networks import create_detector, detector_config
    from networks.folding import fold_batch_norms
    from networks.scoring import prepare, score_batch
    from networks.trainer import Trainer

    if variant.allocator:
        machine.keep_freed_memory()
    precision = machine.choose_precision(variant.precision, torch.device('cpu'))
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, side, side).contiguous(memory_format=layout)
    labels = (torch.arange(batch_size) % 2).float()
    detector = create_detector(detector_config(model_type)).to(memory_format=layout)
    optimizer = torch.optim.Adam(detector.parameters(), lr=2e-4)
    scorer = fold_batch_norms(detector).to(memory_format=layout) if variant.folded else detector
    in_training, in_inference = detector, scorer
    if variant.compiled:
        in_training, in_inference = torch.compile(detector), torch.compile(scorer)

    def training():
        detector.train()
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
            logits = in_training(images)
        F.binary_cross_entropy_with_logits(logits.squeeze(1).float(), labels).backward()
        optimizer.step()

    @torch.inference_mode()
    def inference():
        scorer.eval()
        with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
            in_inference(images).sigmoid().flatten().tolist()

    work = {'training': training, 'inference': inference}
    if variant.product:
        device, plain_images = torch.device('cpu'), images.contiguous()
        trainer = Trainer(detector, device, precision=precision)
        prepared = prepare(detector, device)
        work = {
            'training': lambda: trainer.step(plain_images, labels),
            'inference': lambda: score_batch(prepared, plain_images, device, precision),
        }
    while (request := pipe.recv()) is not None:
        start = time.perf_counter()
        work[request]()
        pipe.send(time.perf_counter() - start)


def main(args):
    context = multiprocessing.get_context('spawn')
    pipes = {}
    for name in dict.fromkeys(['plain', *args.variants]):
        pipes[name], end = context.Pipe()
        arguments = (end, VARIANTS[name], args.model_type, args.side, args.batch_size)
        context.Process(target=worker, args=arguments, daemon=True).start()
    result = {'model_type': args.model_type, 'side': args.side, 'batch_size': args.batch_size, 'rounds': args.rounds}
    for task in TASKS:
        seconds = {name: [] for name in pipes}
        for turn in range(args.rounds + 2):
            for name, pipe in pipes.items():
                pipe.send(task)
                value = pipe.recv()
                if turn >= 2:  # the first two rounds warm up
                    seconds[name].append(value)
        rates = {name: args.batch_size / statistics.median(values) for name, values in seconds.items()}
        result[task] = {}
        for name, rate in rates.items():
            ratio = rate / rates['plain']
            result[task][name] = {'images_per_s': round(rate, 2), 'ratio': round(ratio, 2)}
            print(f'{task:9s}  {name:14s} {rate:7.1f} images/s  {ratio:5.2f}x', flush=True)
    for pipe in pipes.values():
        pipe.send(None)
    result['precision'] = machine.choose_precision('auto', machine.choose_device('-1'))
    result['machine'] = machine.describe()
    if args.out:
        write_json(args.out, result)


def get_parser():
    parser = StrictParser(prog='benchmarks/speed.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_type', choices=DETECTORS, default='single_scale', help='detector')
    parser.add_argument(
        '--variants', nargs='+', choices=VARIANTS, default=list(VARIANTS)[:4], help='plain must be there'
    )
    parser.add_argument('--side', type=positive, default=224, help='of the square images, pixels')
    parser.add_argument('--batch_size', type=positive, default=16, help='images at once')
    parser.add_argument('--rounds', type=positive, default=7, help='measured turns of each process')
    parser.add_argument('--out', help='JSON file for the result')
    return parser


if __name__ == '__main__':
    main(get_parser().parse_args())
