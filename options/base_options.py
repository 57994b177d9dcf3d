"""Argument types and the groups of flags that several scripts share."""

import argparse
import math

from networks import DETECTORS
from util.errors import UserError
from util.machine import cores


class HelpFormatter(argparse.HelpFormatter):
    """Adds the default to the help of flags that have one worth knowing."""

    def _get_help_string(self, action):
        several = isinstance(action.default, list | tuple)
        nothing = any(action.default is value for value in (None, False, argparse.SUPPRESS))
        if nothing or (several and not action.default) or not action.option_strings:
            return action.help
        return f'{action.help} (default: {typed(action.default, action.nargs) if several else "%(default)s"})'


def typed(values, nargs=None):
    """Numbers or names as they are typed: (0.0, 3.0) -> '0,3', or '0 3' for a flag that takes several words."""
    words = (f'{value:g}' if isinstance(value, float) else str(value) for value in values)
    return (' ' if nargs else ',').join(words)


class StrictParser(argparse.ArgumentParser):
    """No abbreviations, unknown flags stop the program, every default is shown in --help."""

    def __init__(self, **kwargs):
        super().__init__(
            allow_abbrev=False,
            formatter_class=lambda prog: HelpFormatter(prog, max_help_position=32, width=110),
            **kwargs,
        )


def scales(text):
    """'0.25,0.5,0.75' -> (0.25, 0.5, 0.75)"""
    try:
        values = tuple(float(part) for part in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r}: expected numbers separated by commas, as 0.25,0.5,0.75') from None
    for value in values:
        if not 0 < value < 1:
            raise argparse.ArgumentTypeError(f'scale {value:g} in {text!r}: expected between 0 and 1, both excluded')
    return values


def fraction(text):
    """A float between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number') from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected between 0 and 1, both excluded')
    return value


def names(text):
    """'car,cat' -> ('car', 'cat')"""
    parts = tuple(part.strip() for part in text.split(',') if part.strip())
    if not parts:
        raise argparse.ArgumentTypeError(f'{text!r}: expected names separated by commas')
    return parts


def bounded(kind, low, high=float('inf'), low_excluded=False):
    """A number type for argparse: low <= x <= high (low < x when excluded)."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f'{text!r}: expected a {kind.__name__}') from None
        if not math.isfinite(value) or not low <= value <= high or (low_excluded and value == low):
            below = 'more than' if low_excluded else 'at least'
            limit = f' and at most {high:g}' if high < float('inf') else ''
            raise argparse.ArgumentTypeError(f'{text}: expected {below} {low:g}{limit}')
        return value

    return parse


def numbers(text):
    """'0,1,2' -> (0, 1, 2)"""
    return tuple(bounded(int, 0)(part) for part in text.split(','))


def distinct(text):
    """'0,1,2' -> (0, 1, 2), each once."""
    found = numbers(text)
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f'{text}: a number is there twice')
    return found


positive = bounded(int, 1)
probability = bounded(float, 0, 1)


def value_range(low, high):
    """'30,100' -> (30.0, 100.0); one number stands for both ends; all within [low, high]."""

    def parse(text):
        try:
            ends = tuple(float(part) for part in text.split(','))
        except ValueError:
            ends = ()
        if len(ends) == 1:
            ends *= 2
        if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
            raise argparse.ArgumentTypeError(f'{text!r}: expected LOW,HIGH with {low:g} <= LOW <= HIGH <= {high:g}')
        return ends

    return parse


PAPER = 256, 224  # load and crop size of the paper's training
SIZES = dict(zip(('loadSize', 'cropSize'), PAPER, strict=True))


def add_pixels(parser, modes=False):
    """The flags of the pixels; `modes` adds --mode, which stands for all of them (scoring only)."""
    group = parser.add_argument_group('pixels')
    if modes:
        group.description = (
            'Unless flags say otherwise, a detector is scored on pixels as its threshold was frozen on (calibrate.py), '
            'else as it was trained on, native ones with a crop of 224.'
        )
        group.add_argument(
            '--mode',
            choices=('paper', 'native'),
            help='instead of the flags below. paper: as the NPR authors score, images resized to 256 x 256 and not '
            'cropped, table 2 (GANGen-Detection) not resized either; native: no resize, crop of 224',
        )
    for name, use in (('loadSize', 'resize images to this side first'), ('cropSize', 'then crop to this side')):
        # With modes, None tells a flag that was left out from one that says the default.
        default, note = (None, ' (default: see above)') if modes else (SIZES[name], '')
        group.add_argument(f'--{name}', type=positive, default=default, help=use + note)
    group.add_argument('--no_resize', action='store_true', help='native pixels: leave the resize out (recommended)')
    group.add_argument('--no_crop', action='store_true', help='leave the crop out: use whole images')
    group.add_argument(
        '--on_bad_image',
        choices=('stop', 'skip'),
        default='stop',
        help='at an unreadable image: stop and name it, or skip it and report all at the end',
    )


def pixel_sizes(opt, wanted=PAPER, paper=(256, None)):
    """(load size, crop size) of the flags, None for a step that is left out.

    Args:
        wanted: what to take where flags say nothing (data.transforms.wanted_pixels).
        paper: what --mode paper stands for with these images (data.tables.paper_pixels).
    Raises:
        UserError: flags that contradict each other.
    """
    mode = getattr(opt, 'mode', None)
    if mode:
        flags = {
            **{f'--{name}': getattr(opt, name) is not None for name in SIZES},
            '--no_resize': opt.no_resize,
            '--no_crop': opt.no_crop,
        }
        if any(flags.values()):
            given = ', '.join(name for name, is_given in flags.items() if is_given)
            raise UserError(f'--mode {mode} already says which pixels: leave out {given}, or leave out --mode')
        return tuple(paper) if mode == 'paper' else (None, SIZES['cropSize'])
    load_size = None if opt.no_resize else opt.loadSize or wanted[0]
    crop_size = None if opt.no_crop else opt.cropSize or wanted[1]
    if load_size and crop_size and crop_size > load_size:
        raise UserError(
            f'--cropSize {crop_size} is larger than the side of {load_size} that images are resized to (--loadSize)'
        )
    return load_size, crop_size


def add_machine(parser, only_gpu=False, compiles=True):
    group = parser.add_argument_group('machine')
    group.add_argument(
        '--gpu_ids',
        '--gpu_id',
        metavar='ID',
        help='number of the GPU, or -1 for the CPU; default: a GPU if there is one',
    )
    if only_gpu:
        return
    group.add_argument(
        '--precision', choices=('auto', 'fp32', 'bf16'), default='auto', help='auto: bf16 where the hardware has it'
    )
    if compiles:
        group.add_argument(
            '--compile',
            action='store_true',
            help='run the network through torch.compile: up to a minute for each of the first eight shapes of batches; '
            'on a CPU scoring gains a tenth, training loses one (docs/decisions.md); not yet measured on a GPU',
        )
    group.add_argument(
        '--num_threads',
        type=bounded(int, 0),
        default=min(8, cores()),
        help='that load images: threads for a CPU, processes for a GPU; 0 loads between the steps of the network',
    )


def add_detector(parser, required):
    group = parser.add_argument_group('detector')
    own = '; '.join(f'{name} {typed(detector.default_scales)}' for name, detector in DETECTORS.items())
    known = f'those of the checkpoint; of a bare state dict: {own}'
    group.add_argument(
        '--model_type',
        choices=DETECTORS,
        default='multiscale_attention' if required else None,
        help='single_scale is the NPR baseline' if required else 'only needed for a bare state dict',
    )
    group.add_argument(
        '--npr_scales',
        type=scales,
        metavar='S,S,...',
        help=f'residual scales; default: {own if required else known}',
    )
    return group
