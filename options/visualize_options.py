"""Flags of visualize_attention.py."""

from networks import DETECTORS
from options.base_options import StrictParser, add_machine, add_pixels, bounded, positive, scales


def get_parser():
    parser = StrictParser(
        prog='visualize_attention.py',
        description='Show which residual scales a multi-scale detector weighs, for one generator or for all below a '
        'folder: statistics, distributions, a heatmap by family, and panels of images with residuals and weights.',
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--model_path', help='checkpoint of a multiscale_attention detector, which scores the images')
    source.add_argument('--scores', metavar='FILE', help='scores.csv that test.py wrote: no image is scored again')
    parser.add_argument(
        '--dataroot',
        help='folder of one generator (0_real, 1_fake), or of many; with --scores: where test.py read them',
    )
    parser.add_argument('--reals', metavar='DIR', help='real images for generators that come without')
    parser.add_argument('--output_dir', required=True, help='folder for the pictures and numbers')
    parser.add_argument(
        '--scales', type=scales, metavar='S,S,...', help='must agree with the checkpoint; may be left out'
    )
    parser.add_argument('--model_type', choices=DETECTORS, help='only needed for a bare state dict')
    parser.add_argument(
        '--num_samples',
        type=positive,
        default=100,
        help='images in the panels, half real and half fake, from all generators alike; numbers are of all images',
    )
    parser.add_argument(
        '--save_npr_maps', action='store_true', help='also write their residual maps (PNG, .npy), of the first grid'
    )
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of the choice of images')
    parser.add_argument('--batch_size', type=positive, default=32, help='images scored at once')
    add_pixels(parser, modes=True)
    add_machine(parser)
    return parser
