"""Fakes of photographs at their own resolution, for training: python -m generators.redo --photos DIR --out DIR

Pieces of each photograph are passed through some of the shipped generators, others through random ones, of which
each is made for one fake (generators/random_decoders.py), and with --published others through networks that were
trained and published elsewhere: super-resolution (generators/upscalers.py) and a CycleGAN (generators/translators.py),
as it is and with weights drawn around its own.
UpsampleBench passes reduced photographs through shipped generators; these keep what cameras and JPEG left in them, as
images in the wild do. Every third photograph is reduced by two, and every other piece by a factor that is drawn, so
that real images with fine detail and without a trace of JPEG occur as well. Written as OUT/trained/OPERATOR/0_real and
1_fake, OUT/random/OPERATOR/..., OUT/upscaled/FAMILY/..., OUT/translated/cyclegan/... and cyclegan_perturbed; files of
one name belong together (train.py --pairs): for each fake its real image, as PNG.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.images import BadImage, load_rgb
from generators import translators, upscalers
from generators.decoders import DECODERS, decode_tile, load_decoder
from generators.edition import process_context
from generators.jobs import start_worker
from generators.packages import fetch
from generators.photos import FILTERS, folder_photos, reduce_image
from generators.random_decoders import redo_at_random
from generators.tables import networks
from generators.translators import redo_by_cyclegan
from generators.upscalers import UPSCALERS, redo_by_upscaler
from options.base_options import StrictParser, bounded, names
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, whole_folder

REDUCED = 3  # one photograph in so many is reduced by two
UPSCALED = 6  # super-resolution networks for each photograph, with --published
PERTURBED = 2  # fakes by perturbed CycleGANs for each photograph, with --published
FACTORS = 1.0, 3.0  # of the reductions of every other piece


def get_parser():
    parser = StrictParser(prog='python -m generators.redo', description=__doc__.split('\n\n')[1])
    parser.add_argument('--photos', required=True, metavar='DIR', help='photographs, any depth')
    parser.add_argument('--out', required=True, help='a folder that does not exist yet')
    parser.add_argument('--side', type=bounded(int, 32, 512), default=160, help='of the pieces, a multiple of 8')
    parser.add_argument(
        '--shipped',
        type=shipped,
        default=(),
        metavar='A,B,...',
        help=f'shipped generators for each photograph (default: none), of {", ".join(designs())}',
    )
    parser.add_argument('--random', type=bounded(int, 0), default=6, help='random generators for each photograph')
    parser.add_argument(
        '--published',
        metavar='DIR',
        help='also use networks that others published, which lie there or are downloaded there by pip (170 MB)',
    )
    parser.add_argument(
        '--upscaled',
        type=bounded(int, 1, len(UPSCALERS)),
        help=f'of them those of super-resolution for each photograph, beside CycleGANs (default: {UPSCALED})',
    )
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of places, generators and their noise')
    return parser


def choices():
    """[(design, seed)] of the shipped generators that up-sample."""
    return [(design, seed) for design, seed in networks() if DECODERS[design].factor > 1]


def designs():
    """Their designs, of which some were trained twice."""
    return list(dict.fromkeys(design for design, _ in choices()))


def shipped(text):
    """'latent_f4,latent_f8' -> ('latent_f4', 'latent_f8')"""
    found = names(text)
    if unknown := set(found) - set(designs()):
        raise argparse.ArgumentTypeError(f'unknown: {", ".join(sorted(unknown))}; known: {", ".join(designs())}')
    return found


def redo(place, photo, args, out):
    """Write the fakes of one photograph and its piece beside each; returns why there are none, or ''."""
    side = args.side
    try:
        image = load_rgb(photo.path)
    except BadImage as error:
        return str(error)
    if place % REDUCED == 0:
        image = Image.fromarray(reduce_image(image))
    if min(image.size) < side:
        return f'{photo.path}: {image.width} x {image.height} pixels are too few for a piece of {side}'
    for name, source, real, fake in pairs(image, [args.seed, place], args):
        for label, image in (('0_real', real), ('1_fake', fake)):
            folder = make_folder(out / source / label)
            Image.fromarray(image).save(folder / f'{place:06d}_{name}.png')
    return ''


def piece(pixels, side, rng):
    """A square of (H, W, 3), on multiples of 8: the grid that JPEG left lies alike in all pieces, real and fake."""
    top, left = (int(rng.integers(0, (length - side) // 8 + 1)) * 8 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def reduced(image, side, rng):
    """A PIL image, or every other time that reduced by a factor of FACTORS, to `side` or more, as (H, W, 3) uint8."""
    if rng.random() < 0.5:
        factor = min(rng.uniform(*FACTORS), min(image.size) / side)
        size = [max(side, round(length / factor)) for length in image.size]
        image = image.resize(size, FILTERS[rng.integers(len(FILTERS))])
    return np.asarray(image)


def pairs(image, seed, args):
    """(name, folder, real, fake) of every fake of a photograph; `seed`: list of int that fixes them all."""
    known = choices()
    for number, (design, trained) in enumerate(known):
        if design in args.shipped:
            own = np.random.default_rng([*seed, number])
            real = piece(reduced(image, args.side, own), args.side, own)
            fake = decode_tile(load_decoder(design, seed=trained), real, [*seed, number])
            yield f'{design}_{trained}', Path('trained', DECODERS[design].operator), real, fake
    for number in range(args.random):
        own = np.random.default_rng([*seed, len(known) + number])
        real = piece(reduced(image, args.side, own), args.side, own)
        operator, fake = redo_at_random(real, own)
        yield f'random_{number}', Path('random', operator), real, fake
    if not args.published:
        return
    own = np.random.default_rng([*seed, 0, 1])  # not zeros only: numpy pads seeds with them
    for name in own.permutation(list(UPSCALERS))[: args.upscaled or UPSCALED]:
        real = piece(reduced(image, args.side, own), args.side, own)
        fake = redo_by_upscaler(name, real, own, args.published)
        yield name, Path('upscaled', UPSCALERS[name].family), real, fake
    own = np.random.default_rng([*seed, 0, 2])
    real = piece(reduced(image, args.side, own), args.side, own)
    yield 'cyclegan', Path('translated', 'cyclegan'), real, redo_by_cyclegan(real, args.published)
    for number in range(PERTURBED):
        own = np.random.default_rng([*seed, 0, 3 + number])
        real = piece(reduced(image, args.side, own), args.side, own)
        fake = redo_by_cyclegan(real, args.published, own)
        yield f'cyclegan_{number}', Path('translated', 'cyclegan_perturbed'), real, fake


def main(args):
    if args.side % 8:
        raise UserError(f'--side {args.side}: expected a multiple of 8')
    out = Path(args.out)
    if out.exists():
        raise UserError(f'{out}: exists already; give another --out')
    if args.upscaled and not args.published:
        raise UserError(f'--upscaled {args.upscaled}: say with --published where the networks lie or shall lie')
    if not (args.shipped or args.random or args.published):
        raise UserError('--random 0 without --shipped and --published: nothing would be made')
    photos = folder_photos(args.photos)
    with whole_folder(out) as folder:
        if args.published:
            fetch(args.published, upscalers.files(), upscalers.PACKAGES)
            fetch(args.published, [translators.WEIGHTS], translators.PACKAGES)
        work = partial(redo, args=args, out=folder)
        with ProcessPoolExecutor(machine.cores(), mp_context=process_context(), initializer=start_worker) as pool:
            found = pool.map(work, range(len(photos)), photos, chunksize=4)
            problems = [each for each in tqdm(found, total=len(photos), desc='photographs', unit='photo') if each]
        if len(problems) == len(photos):
            raise UserError(f'not one photograph could be used, as {problems[0]}')
    used = len(photos) - len(problems)
    own = sum(design in args.shipped for design, _ in choices())
    published = (args.upscaled or UPSCALED) + 1 + PERTURBED if args.published else 0
    kinds = f'{own} shipped, {args.random} random and {published} published generators'
    print(f'{out}: {used} photographs redone by {kinds} each')
    if problems:
        print(f'{len(problems)} left out:', *problems[:10], sep='\n  ')


if __name__ == '__main__':
    with friendly_errors('generators.redo'):
        main(get_parser().parse_args())
