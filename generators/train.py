"""Train the generators of UpsampleBench: python -m generators.train --photos DIR [--decoders nearest_x2 ...]

Each one learns to reproduce photographs through its bottleneck, with a hinge PatchGAN and losses that match contrast
and colours and forbid a visible grid, so that neither blur nor noise nor a cast gives it away. The weights written are
the exponential moving average, with a card (JSON) that tells how they were made and what an audit on held-out
photographs and scenes finds. Interrupted or killed, the same command goes on; what is finished is not trained again.
"""

import hashlib
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.images import BadImage
from generators.decoders import DECODERS, decode_tile, load_decoder, save_decoder, weights_file
from generators.photos import Scene, bundled_photos, folder_photos, tiles
from generators.reals import TILES_PER_PICTURE, grouped
from generators.tables import Member, networks
from generators.tally import Tally, compare, rounded
from generators.training import CROP, Training
from options.base_options import StrictParser, bounded, positive, probability
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_json
from util.interrupt import StopRequest

AUDITED = 128  # side of the tiles of held-out pictures that the card's audit looks at
FIRST_SCENE = 9_000_000  # seeds of the scenes for generators; those of editions are higher


def get_parser():
    parser = StrictParser(prog='python -m generators.train', description=__doc__.split('\n\n')[1])
    parser.add_argument(
        '--photos', metavar='DIR', help='photographs to train on, all kept in memory; default: the bundled ones'
    )
    parser.add_argument(
        '--decoders',
        nargs='+',
        metavar='NAME',
        choices=DECODERS,
        help=f'which; default: all that an edition needs, with their seeds. Known: {", ".join(DECODERS)}',
    )
    parser.add_argument('--seed', type=bounded(int, 0), help='of weights, crops and noise; default: 0 for named ones')
    parser.add_argument('--steps', type=positive, help='of each training; default: as many as each design needs')
    parser.add_argument('--batch_size', type=positive, default=8, help=f'crops of {CROP} x {CROP} pixels in a step')
    parser.add_argument(
        '--lr', type=bounded(float, 0, low_excluded=True), help='highest learning rate; default: as steps'
    )
    parser.add_argument('--scenes', type=bounded(int, 0), default=120, help='rendered scenes beside the photographs')
    parser.add_argument('--scene_share', type=probability, default=0.5, help='share of the batches that are of scenes')
    parser.add_argument(
        '--start', metavar='DIR', help='train on from the weights in this folder instead of random ones'
    )
    parser.add_argument('--save_every', type=positive, default=500, help='steps after which an interruption loses none')
    parser.add_argument('--report', action='store_true', help='train nothing: audit the weights in --out anew')
    parser.add_argument('--gpu_ids', metavar='ID', help='number of the GPU, or -1 for the CPU; default: a GPU if any')
    parser.add_argument(
        '--out',
        metavar='DIR',
        default='./checkpoints/generators',
        help='where NAME.pth and NAME.json go (make_benchmark.py --weights DIR takes them)',
    )
    return parser


def hold_out(photos):
    """Load pictures; every fifth group is held out for the report. Returns (training, held out), lists of arrays."""
    pictures, groups = ([], []), {}
    for photo in tqdm(photos, desc='pictures', unit='picture'):
        held_out = groups.setdefault(photo.group, len(groups)) % 5 == 0
        try:
            pixels = photo.pixels()
        except BadImage as error:
            tqdm.write(f'left out: {error}')
            continue
        if min(pixels.shape[:2]) >= CROP:
            pictures[held_out].append(pixels)
    return pictures


def fingerprint(pictures):
    """A short name of the pixels of (photographs, scenes), so that no training goes on with others."""
    digest = hashlib.sha256()
    for pixels in (*pictures[0], *pictures[1]):
        digest.update(pixels)
    return digest.hexdigest()[:12]


def is_trained(name, seed, folder, settings):
    """Whether weights of the present design and their card are there, trained with these settings."""
    weights = weights_file(name, seed, folder)
    card = weights.with_suffix('.json')
    if not (weights.is_file() and card.is_file() and read_json(card)['training'].items() >= settings.items()):
        return False
    try:
        load_decoder(name, folder, seed)
    except UserError:
        return False
    return True


def train_one(name, seed, args, pictures):
    """Train a generator, or go on with it; writes its weights, and returns its card without the audit."""
    device = machine.choose_device(args.gpu_ids)
    precision = machine.choose_precision('auto', device)
    spec = DECODERS[name]
    settings = {key: getattr(args, key) for key in ('batch_size', 'scenes', 'scene_share')}
    settings |= {'steps': args.steps or spec.steps, 'lr': args.lr or spec.lr, 'seed': seed}
    settings |= {'precision': precision, 'photos': len(pictures[0]), 'pictures': fingerprint(pictures)}
    if args.start:
        settings['started_from'] = read_json(weights_file(name, seed, args.start).with_suffix('.json'))['training']
    weights = weights_file(name, seed, args.out)
    state, card_file = weights.with_suffix('.state'), weights.with_suffix('.json')
    if is_trained(name, seed, args.out, settings):
        print(f'{weights}: trained already')
        return read_json(card_file)
    training = Training(spec, pictures, settings, device, precision)
    if args.start:
        training.begin_with(load_decoder(name, args.start, seed))
    if state.is_file():
        training.load(state)
        print(f'{state}: going on after step {training.done}')
    steps, clock = settings['steps'], time.time()
    with StopRequest() as stop, tqdm(total=steps, initial=training.done, desc=weights.stem, unit='step') as bar:
        while training.done < steps:
            losses = training.step()
            bar.update()
            now = time.time()
            training.seconds, clock = training.seconds + now - clock, now
            if training.done % 100 == 0:
                bar.set_postfix({key: f'{value:.3f}' for key, value in losses.items()}, refresh=False)
            if stop.requested or training.done % args.save_every == 0:
                training.save(state)
            if stop.requested:
                print(f'stopped after step {training.done} of {steps}; the same command goes on')
                raise SystemExit(128 + stop.requested)
    save_decoder(training.average.cpu(), weights)
    card = {
        'decoder': name,
        **{key: getattr(spec, key) for key in ('family', 'kind', 'operator', 'factor', 'latent', 'width', 'coarse')},
        'parameters': sum(p.numel() for p in training.average.parameters()),
        'training': {**settings, 'seconds': round(training.seconds), 'machine': machine.describe()},
    }
    write_json(card_file, card)
    state.unlink(missing_ok=True)
    return card


def audit_pictures(decoder, pictures, period):
    """The audit of a generator on tiles of held-out pictures (smaller ones, where two pictures are too small)."""
    size = AUDITED if sum(min(pixels.shape[:2]) >= AUDITED for pixels in pictures) > 1 else CROP
    rng = np.random.default_rng(0)
    cut = [tiles(pixels, size, rng, most=TILES_PER_PICTURE) for pixels in pictures]
    groups = np.repeat(np.arange(len(cut)), [len(tile) for tile in cut])
    real, fake, errors = Tally(), Tally(), []
    for place, tile in enumerate(np.concatenate(cut)):
        made = decode_tile(decoder, tile, [0, place])
        real.add(tile)
        fake.add(made)
        errors.append(np.mean((tile.astype(np.float32) - made) ** 2))
    return rounded(compare(real, fake, groups, errors, period))


def main(args):
    machine.keep_freed_memory()
    if args.seed is not None and not args.decoders:
        raise UserError('--seed needs --decoders: without names, the seeds are those that an edition needs')
    wanted = [(name, args.seed or 0) for name in args.decoders] if args.decoders else networks()
    cards = [weights_file(name, seed, args.out).with_suffix('.json') for name, seed in wanted]
    started = [weights_file(name, seed, args.start).with_suffix('.json') for name, seed in wanted] if args.start else []
    if missing := [str(card) for card in started if not card.is_file()]:
        raise UserError(f'--start: no card {", ".join(missing)}')
    if args.report and (missing := [str(card) for card in cards if not card.is_file()]):
        raise UserError(f'--report: no card {", ".join(missing)}; without --report they are trained')
    photos, photos_out = hold_out(grouped(folder_photos(args.photos) if args.photos else bundled_photos()))
    scenes, scenes_out = hold_out([Scene(FIRST_SCENE + i) for i in range(args.scenes)])
    # A fifth of the scenes is too few to judge by; a third as many more are rendered for the audit alone.
    scenes_out += [Scene(FIRST_SCENE + args.scenes + i).pixels() for i in range(args.scenes // 3)]
    if not photos or len(photos_out) < 2:
        raise UserError(
            f'too few photographs of {2 * CROP} px or more: {len(photos)} to train, {len(photos_out)} held out'
        )
    make_folder(args.out)
    for (name, seed), card_file in zip(wanted, cards, strict=True):
        card = read_json(card_file) if args.report else train_one(name, seed, args, (photos, scenes))
        if args.report or 'held_out' not in card:
            decoder = load_decoder(name, Path(args.out), seed)  # as it was written, in 16 bits
            period = Member(name, name).period
            card['held_out'] = {
                'photos': audit_pictures(decoder, photos_out, period),
                'scenes': audit_pictures(decoder, scenes_out, period) if len(scenes_out) > 1 else None,
                'machine': machine.describe(),
            }
            write_json(card_file, card)
        for origin in ('photos', 'scenes'):
            print(f'{card_file.stem} {origin}: {card["held_out"][origin]}', flush=True)


if __name__ == '__main__':
    with friendly_errors('generators.train'):
        main(get_parser().parse_args())
