"""Does the residual cost anything? python benchmarks/stem.py [--out FILE]

Milliseconds of scoring by the NPR baseline and by multi-scale NPR's branch at 0.5, in turns: with the residual computed
first, as the detectors do, and with the residual at 0.5 folded into the strided convolution behind it, which then has
4 x 4 weights. Both give the same features but for rounding.
"""

import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from benchmarks.common import add_turns, finished, timed
from networks.folding import fold_batch_norms
from networks.npr import npr_residual
from networks.resnet import BasicBlock, Bottleneck, Trunk
from options.base_options import StrictParser, positive
from util import machine
from util.errors import UserError, friendly_errors

KINDS = {'baseline': (Bottleneck, (3, 4)), 'branch': (BasicBlock, (2, 2))}  # arguments of Trunk


def get_parser():
    parser = StrictParser(prog='benchmarks/stem.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--side', type=positive, default=224, help='pixels of the images, an even number')
    add_turns(parser, rounds=9)
    return parser


class FoldedStem(nn.Module):
    """What a 3 x 3 convolution of stride 2 and padding 1 makes of the residual at 0.5, from the image itself.

    An output sees the same phase of the residual's 2 x 2 blocks everywhere: rows 2i - 1, 2i and 2i + 1, of which the
    first has its kept pixel in row 2i - 2 and the others in row 2i.

    forward(image): (N, 3, H, W), H, W even -> (N, C, H / 2, W / 2).
    """

    def __init__(self, convolution):
        super().__init__()
        self.wide = nn.Conv2d(3, convolution.out_channels, 4, 2, 2)
        weights, kept = torch.zeros_like(self.wide.weight), (0, 2, 2)
        for row in range(3):
            for column in range(3):
                each = convolution.weight[:, :, row, column]
                weights[:, :, row + 1, column + 1] += each
                weights[:, :, kept[row], kept[column]] -= each
        self.wide.weight.data, self.wide.bias.data = weights.detach(), convolution.bias.detach()

    def forward(self, image):
        return self.wide(image)[..., :-1, :-1]


def ways(trunk, images, precision):
    """The two ways of scoring: functions without arguments that return (N, C) features."""
    folded = copy.deepcopy(trunk)
    folded.conv1 = FoldedStem(trunk.conv1)
    folded = folded.to(images.device, memory_format=torch.channels_last)

    def run(features):
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=precision == 'bf16'):
            return features()

    return {
        'residual_first': lambda: run(lambda: trunk.features(npr_residual(images, 0.5))),
        'folded': lambda: run(lambda: folded.features(images)),
    }


def main(args):
    if args.side % 2:
        raise UserError(f'--side {args.side}: expected an even number')
    device = machine.choose_device(args.gpu_ids)
    machine.keep_freed_memory()
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, args.side, args.side, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    results = {}
    for kind, arguments in KINDS.items():
        trunk = fold_batch_norms(Trunk(*arguments)).to(device, memory_format=torch.channels_last)
        for precision in ('fp32', 'bf16'):
            both = ways(trunk, images, precision)
            if precision == 'fp32':
                torch.testing.assert_close(*(way() for way in both.values()), rtol=1e-3, atol=1e-4)
            found = timed(both, args.rounds, device)
            found['times_as_fast_folded'] = found['residual_first'] / found['folded']
            results[f'{kind}_{args.side}_{precision}'] = found
            print(kind, precision, {key: round(value, 2) for key, value in found.items()}, flush=True)
    finished(args, {'milliseconds': results})


if __name__ == '__main__':
    with friendly_errors('benchmarks/stem.py'):
        main(get_parser().parse_args())
