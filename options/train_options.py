"""Flags of train.py, and the detector that they describe."""

from argparse import BooleanOptionalAction

from networks import detector_config
from networks.fusion import FUSIONS
from options.base_options import (
    StrictParser,
    add_detector,
    add_machine,
    add_pixels,
    bounded,
    names,
    numbers,
    positive,
    probability,
    value_range,
)
from util.errors import UserError


def get_parser():
    parser = StrictParser(
        prog='train.py',
        description='Train a detector of AI-generated images on folders of real (0_real) and fake (1_fake) images.',
    )
    run = parser.add_argument_group('run')
    run.add_argument('--name', required=True, help='name of the run: its folder below --checkpoints_dir')
    run.add_argument('--checkpoints_dir', default='./checkpoints', help='where runs are kept')
    run.add_argument('--continue_train', action='store_true', help='go on with an interrupted run')
    run.add_argument('--overwrite', action='store_true', help='replace an existing run of this name')
    run.add_argument(
        '--seed', type=bounded(int, 0, 2**63 - 1), default=0, help='of weights, order, crops and augmentation'
    )

    data = parser.add_argument_group('data')
    data.add_argument('--dataroot', required=True, help='folder that holds the two splits')
    data.add_argument('--train_split', default='train', help='its folder of training images')
    data.add_argument('--val_split', default='val', help='its folder of validation images')
    data.add_argument('--classes', type=names, metavar='A,B,...', help='class folders to use; default: all')
    balance = data.add_mutually_exclusive_group()
    balance.add_argument('--class_bal', action='store_true', help='draw real and fake images equally often')
    balance.add_argument(
        '--pairs',
        action='store_true',
        help='draw pairs: a fake, every folder of fakes equally often, and the real image of the same name beside it, '
        'cropped and augmented alike; without one, a real image of that folder or of any',
    )
    data.add_argument(
        '--cache_dir',
        metavar='DIR',
        help='where decoded images are kept, so that later epochs and runs need not decode them again (3 bytes a '
        'pixel; safe to remove); default: .cache below --checkpoints_dir',
    )
    data.add_argument('--no_cache', action='store_true', help='decode every image in every epoch')
    add_pixels(parser)

    augmentation = parser.add_argument_group('augmentation (training images only)')
    augmentation.add_argument('--no_flip', action='store_true', help='no horizontal flips')
    augmentation.add_argument('--blur_prob', type=probability, default=0.0, help='probability of Gaussian blur')
    augmentation.add_argument('--blur_sig', type=value_range(0, 20), default=(0.0, 3.0), help='sigma, pixels')
    augmentation.add_argument('--jpg_prob', type=probability, default=0.0, help='probability of JPEG compression')
    augmentation.add_argument('--jpg_qual', type=value_range(1, 100), default=(30, 100), help='quality')
    augmentation.add_argument('--resize_prob', type=probability, default=0.0, help='probability of a resize')
    augmentation.add_argument('--resize_range', type=value_range(0.1, 4), default=(0.5, 1.5), help='factor')
    augmentation.add_argument('--noise_prob', type=probability, default=0.0, help='probability of Gaussian noise')
    augmentation.add_argument('--noise_sig', type=value_range(0, 100), default=(0.0, 5.0), help='deviation of 255')

    detector = add_detector(parser, required=True)
    detector.add_argument(
        '--fine',
        action='store_true',
        help='small trunks that look at full resolution; an eighth to a tenth of the weights',
    )
    detector.add_argument(
        '--grids',
        type=numbers,
        default='1',
        metavar='N[,N,...]',
        help='2: look at the residual on a second grid of blocks as well, half a block away, which sees what differs '
        'between the blocks of the first; one number for all branches or one for each',
    )
    detector.add_argument(
        '--fusion',
        choices=FUSIONS,
        default='attention',
        help='how branches are weighed: attention by an MLP; evidence trains each branch alone and weighs them by how '
        'fake each finds the image; uniform (all alike) and constant (learned, but the same for every image) are '
        'controls, as are several branches of one scale, e.g. --npr_scales 0.5,0.5,0.5',
    )
    detector.add_argument('--normalize_features', action='store_true', help='layer-normalise the branch features')
    detector.add_argument('--zero_init_attention', action='store_true', help='start with equal weights for all scales')
    detector.add_argument(
        '--scale_dropout', type=bounded(float, 0, 0.9), default=0.0, help='probability of leaving a scale out'
    )
    detector.add_argument(
        '--aux_loss_weight', type=bounded(float, 0), default=0.0, help='weight of the mean loss of single branches'
    )
    detector.add_argument(
        '--entropy_weight', type=bounded(float, 0), default=0.0, help='reward for spread-out attention, per nat'
    )

    training = parser.add_argument_group('training')
    training.add_argument('--batch_size', type=positive, default=32, help='images in a step, over all processes')
    training.add_argument(
        '--accumulate',
        type=positive,
        default=1,
        metavar='N',
        help='pass each batch through the network in N parts, which takes less memory (batch norms see the parts)',
    )
    training.add_argument('--niter', type=positive, default=50, help='epochs')
    training.add_argument('--optim', choices=('adam', 'sgd'), default='adam', help='optimiser')
    training.add_argument('--lr', type=bounded(float, 0, low_excluded=True), default=2e-4, help='first learning rate')
    training.add_argument('--beta1', type=bounded(float, 0, 0.9999), default=0.9, help="Adam's beta1 or SGD's momentum")
    training.add_argument('--weight_decay', type=bounded(float, 0), default=0.0, help='L2 penalty')
    training.add_argument(
        '--patch_loss',
        action=BooleanOptionalAction,
        default=False,
        help='ask a verdict of every position of the feature maps, not of their mean (single_scale, --fusion evidence)',
    )
    training.add_argument(
        '--label_smoothing', type=probability, default=0.0, metavar='E', help='ask for scores of E/2 and 1 - E/2'
    )
    training.add_argument('--delr_freq', type=positive, default=10, help='epochs between reductions of the rate (x0.9)')
    training.add_argument(
        '--cosine',
        action='store_true',
        help='let the rate fall to zero along a cosine instead, step by step until the end of --niter epochs',
    )
    training.add_argument('--loss_freq', type=positive, default=50, help='steps between entries of the loss in the log')
    add_machine(parser)
    return parser


def get_config(opt):
    """Config of the detector that the flags describe (networks.detector_config).

    Raises:
        UserError: flags that do not go together, or scales that the detector cannot take.
    """
    own = ('normalize_features', 'zero_init_attention', 'scale_dropout')
    options = {flag: getattr(opt, flag) for flag in own}
    # As long as the newer ones are at their defaults, a config is what it was before they existed.
    newer = {'fine': True} if opt.fine else {}
    newer |= {'fusion': opt.fusion} if opt.fusion != 'attention' else {}
    newer |= {'grids': opt.grids if len(opt.grids) > 1 else opt.grids[0]} if set(opt.grids) != {1} else {}
    if opt.model_type == 'single_scale':
        given = [f'--{flag}' for flag in (*own, 'aux_loss_weight', 'entropy_weight') if getattr(opt, flag)]
        given += ['--fusion'] if opt.fusion != 'attention' else []
        if given:
            raise UserError(f'single_scale has no attention, so {", ".join(given)} cannot be used with it')
        options = {}
    if opt.fusion != 'attention' and (opt.zero_init_attention or opt.entropy_weight):
        raise UserError(f'--fusion {opt.fusion} has no MLP: leave --zero_init_attention and --entropy_weight out')
    if opt.fusion == 'evidence' and (opt.scale_dropout or opt.aux_loss_weight):
        raise UserError('--fusion evidence trains every branch alone: leave --scale_dropout and --aux_loss_weight out')
    apart = opt.model_type == 'single_scale' or (opt.fusion == 'evidence' and not opt.normalize_features)
    if opt.patch_loss and not apart:
        raise UserError(
            '--patch_loss is for single_scale, or --fusion evidence without --normalize_features: the others weigh '
            'features of whole images'
        )
    if opt.pairs and opt.batch_size % 2:
        raise UserError(f'--pairs takes an even --batch_size, found {opt.batch_size}')
    try:
        return detector_config(opt.model_type, opt.npr_scales, **options, **newer)
    except ValueError as error:
        raise UserError(str(error)) from error
