"""Make one detector out of several: python join.py CHECKPOINT CHECKPOINT ... --out CHECKPOINT

Its logit is the mean of theirs. Detectors that were trained on different fakes may err on different generators; what
that was worth is in docs/experiments.md, E10.
"""

from pathlib import Path

from networks import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
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
    contents = {path: load_checkpoint(path) for path in args.checkpoints}
    different = {weights_fingerprint(content['model']) for content in contents.values()}
    if len(args.checkpoints) < 2 or len(different) < len(args.checkpoints):
        raise UserError('give two or more different checkpoints')
    if Path(args.out).resolve() in [Path(path).resolve() for path in args.checkpoints]:
        raise UserError(f'--out {args.out}: is one of the checkpoints; give another file')
    config, model, pixels = join(contents)
    make_folder(Path(args.out).parent)
    save_checkpoint(args.out, config, model, pixels=pixels)
    print(f'written: {args.out}, the mean of {len(args.checkpoints)} detectors; freeze its threshold with calibrate.py')


if __name__ == '__main__':
    with friendly_errors('join.py', CheckpointError):
        main(get_parser().parse_args())
