"""Flags of test.py."""

from options.base_options import StrictParser, add_detector, add_machine, add_pixels, names, positive


def get_parser():
    parser = StrictParser(
        prog='test.py',
        description='Score the images of one generator, of a folder of generators, or of all tables.',
    )
    run = parser.add_argument_group('run')
    run.add_argument('--model_path', required=True, help='checkpoint; it knows its detector and scales')
    run.add_argument(
        '--dataroot',
        required=True,
        help='one generator (0_real, 1_fake), a folder of them, or the root of several tables: everything found below '
        'is scored, public tables first (python -m data.tables reports what is there)',
    )
    run.add_argument(
        '--reals', metavar='DIR', help='lend the real images of DIR to generators that have none (no 0_real)'
    )
    run.add_argument('--output_dir', help='default: results/<run>/<checkpoint>/<dataroot>, below the current folder')
    run.add_argument('--classes', type=names, metavar='A,B,...', help='class folders of one generator; default: all')
    run.add_argument('--batch_size', type=positive, default=64, help='images scored at once')
    add_detector(parser, required=False)
    add_pixels(parser, modes=True)
    add_machine(parser)
    return parser
