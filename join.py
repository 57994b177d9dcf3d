"""Make one detector out of several: python join.py CHECKPOINT CHECKPOINT ... --out CHECKPOINT

Its logit is the mean of theirs. Detectors that were trained on different fakes err differently, and one small network
that sees all of these fakes does not learn what they know together (docs/experiments.md, E10).
"""

from pathlib import Path

from networks import CheckpointError, load_checkpoint, save_checkpoint
from networks.joining import join
from options.base_options import StrictParser
from util.errors import UserError, friendly_errors
from util.files import make_folder


def get_parser():
    parser = StrictParser(prog='join.py', description=__doc__.split('\n\n')[1])
    parser.add_argument(
        'checkpoints', nargs='+', metavar='CHECKPOINT', help='train.py --model_type single_scale --fine'
    )
    parser.add_argument('--out', required=True, metavar='CHECKPOINT', help='replaced if it is there')
    return parser


def main(args):
    if len(set(args.checkpoints)) != len(args.checkpoints) or len(args.checkpoints) < 2:
        raise UserError('give two or more different checkpoints')
    config, model, pixels = join({path: load_checkpoint(path) for path in args.checkpoints})
    make_folder(Path(args.out).parent)
    save_checkpoint(args.out, config, model, pixels=pixels)
    print(f'written: {args.out}, the mean of {len(args.checkpoints)} detectors; freeze its threshold with calibrate.py')


if __name__ == '__main__':
    with friendly_errors('join.py', CheckpointError):
        main(get_parser().parse_args())
