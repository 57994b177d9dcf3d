"""How fast is the baseline here, against the same network run plainly? python benchmarks/speed.py [--out FILE]

Two processes hold one detector each: `plain` runs it in fp32 with NCHW tensors and the default allocator, as the
ancestors do on a CPU; `ours` runs it as train.py and test.py do. They take turns, so that both see the same
machine; the ratio of the medians is the result.
"""

import multiprocessing
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.base_options import StrictParser, positive
from util.files import write_json


def worker(pipe, how, model_type, side, batch_size):
    """Serve 'inference' and 'training' requests with seconds per batch until None comes."""
    import torch
    from torch.nn import functional as F

    from networks import create_detector, detector_config
    from networks.scoring import prepare, score_batch
    from networks.trainer import Trainer
    from util import machine

    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, side, side)
    labels = torch.arange(batch_size) % 2
    detector = create_detector(detector_config(model_type))
    if how == 'ours':
        machine.keep_freed_memory()
        device = torch.device('cpu')
        precision = machine.choose_precision('auto', device)
        trainer = Trainer(detector, device, precision=precision)
        scorer = prepare(detector, device)
        work = {
            'training': lambda: trainer.step(images, labels),
            'inference': lambda: score_batch(scorer, images, device, precision),
        }
    else:
        optimizer = torch.optim.Adam(detector.parameters(), lr=2e-4)

        def training():
            detector.train()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(detector(images).squeeze(1), labels.float())
            loss.backward()
            optimizer.step()

        @torch.no_grad()
        def inference():
            detector.eval()
            detector(images).sigmoid().flatten().tolist()

        work = {'training': training, 'inference': inference}
    while (request := pipe.recv()) is not None:
        start = time.perf_counter()
        work[request]()
        pipe.send(time.perf_counter() - start)


def main(args):
    context = multiprocessing.get_context('spawn')
    pipes = {}
    for how in ('plain', 'ours'):
        pipes[how], end = context.Pipe()
        arguments = (end, how, args.model_type, args.side, args.batch_size)
        context.Process(target=worker, args=arguments, daemon=True).start()
    result = {'model_type': args.model_type, 'side': args.side, 'batch_size': args.batch_size, 'rounds': args.rounds}
    for task in ('inference', 'training'):
        seconds = {how: [] for how in pipes}
        for turn in range(args.rounds + 2):
            for how, pipe in pipes.items():
                pipe.send(task)
                value = pipe.recv()
                if turn >= 2:  # the first two rounds warm up
                    seconds[how].append(value)
        rate = {how: args.batch_size / statistics.median(values) for how, values in seconds.items()}
        result[task] = {f'{how}_images_per_s': round(value, 2) for how, value in rate.items()}
        result[task]['ratio'] = round(rate['ours'] / rate['plain'], 2)
        rates = f'plain {rate["plain"]:6.1f}  ours {rate["ours"]:6.1f} images/s'
        print(f'{task:9s}  {rates}  ratio {result[task]["ratio"]:.2f}', flush=True)
    for pipe in pipes.values():
        pipe.send(None)
    from util import machine  # after the workers: it imports torch

    result['precision'] = machine.choose_precision('auto', machine.choose_device('-1'))
    result['machine'] = machine.describe()
    if args.out:
        write_json(args.out, result)


if __name__ == '__main__':
    parser = StrictParser(prog='benchmarks/speed.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_type', default='single_scale', help='detector')
    parser.add_argument('--side', type=positive, default=224, help='of the square images, pixels')
    parser.add_argument('--batch_size', type=positive, default=16, help='images at once')
    parser.add_argument('--rounds', type=positive, default=7, help='measured turns of each process')
    parser.add_argument('--out', help='JSON file for the result')
    main(parser.parse_args())
