"""Are branches faster together? python benchmarks/grouped.py [--out FILE]

Milliseconds of the three branches of multi-scale NPR one after the other, as MultiScaleNPR runs them, and as one trunk
whose convolutions have three groups, in turns; as drawn at 224 px, and the fine ones at 64 px. In fp32 both give the
same features but for rounding.
"""

import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from benchmarks.common import add_turns, finished, timed
from networks.folding import fold_batch_norms
from networks.resnet import FINE, BasicBlock, Trunk
from options.base_options import StrictParser, positive
from util import machine

KINDS = {'drawn': ((BasicBlock, (2, 2)), 224), 'fine': (FINE, 64)}  # arguments of Trunk, pixels of the images


def get_parser():
    parser = StrictParser(prog='benchmarks/grouped.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--branches', type=positive, default=3, help='how many')
    add_turns(parser, rounds=7)
    return parser


def grouped(modules):
    """One module that does what each of several alike does to its own share of the channels."""
    first, count = modules[0], len(modules)
    if isinstance(first, nn.Conv2d):
        shape = first.kernel_size, first.stride, first.padding
        bias = first.bias is not None
        one = nn.Conv2d(count * first.in_channels, count * first.out_channels, *shape, groups=count, bias=bias)
    elif isinstance(first, nn.BatchNorm2d):
        one = nn.BatchNorm2d(count * first.num_features)
    else:
        one = copy.deepcopy(first)
        for name, _ in first.named_children():
            setattr(one, name, grouped([getattr(module, name) for module in modules]))
        return one.train(first.training)
    for key, value in one.state_dict().items():
        if value.dim():
            value.copy_(torch.cat([module.state_dict()[key] for module in modules]))
    return one.train(first.training)


def ways(trunks, images, training, precision):
    """The two ways of doing it: functions without arguments that return (N, branches * C) features."""
    device = images[0].device
    together = grouped(trunks).to(device, memory_format=torch.channels_last)
    stacked = torch.cat(images, 1).contiguous(memory_format=torch.channels_last)

    def run(features):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
            found = features()
        if training:
            found.square().mean().backward()
        return found.detach()

    return {
        'one_after_the_other': lambda: run(
            lambda: torch.cat([t.features(x) for t, x in zip(trunks, images, strict=True)], 1)
        ),
        'grouped': lambda: run(lambda: together.features(stacked)),
    }


def main(args):
    device = machine.choose_device(args.gpu_ids)
    machine.keep_freed_memory()
    results = {}
    for kind, (arguments, side) in KINDS.items():
        torch.manual_seed(0)
        trunks = [Trunk(*arguments) for _ in range(args.branches)]
        images = [torch.randn(args.batch_size, 3, side, side, device=device) for _ in trunks]
        images = [image.contiguous(memory_format=torch.channels_last) for image in images]
        for work in ('scoring', 'training'):
            made = [fold_batch_norms(t) if work == 'scoring' else copy.deepcopy(t).train() for t in trunks]
            made = [t.to(device, memory_format=torch.channels_last) for t in made]
            for precision in ('fp32', 'bf16'):
                with torch.set_grad_enabled(work == 'training'):
                    both = ways(made, images, work == 'training', precision)
                    if precision == 'fp32':
                        torch.testing.assert_close(*(way() for way in both.values()), rtol=1e-3, atol=1e-4)
                    found = timed(both, args.rounds, device)
                found['times_as_fast_grouped'] = found['one_after_the_other'] / found['grouped']
                results[f'{kind}_{side}_{work}_{precision}'] = found
                print(kind, side, work, precision, {key: round(value, 2) for key, value in found.items()}, flush=True)
    finished(args, {'milliseconds': results})


if __name__ == '__main__':
    main(get_parser().parse_args())
