"""Train the decoders of UpsampleBench: python -m generators.train --photos DIR [--decoders nearest_x2 ...]

Each decoder learns to reproduce photographs through its bottleneck with an L1 loss, a hinge PatchGAN and
a loss that matches local contrast statistics, so that neither blur nor noise gives it away. The weights
written are the exponential moving average.
"""

import copy
import math
import time
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from tqdm import tqdm

from data.images import BadImage
from generators.decoders import (
    DECODERS,
    WEIGHTS,
    create_decoder,
    decode_tile,
    load_decoder,
    save_decoder,
    weights_file,
)
from generators.photos import Scene, bundled_photos, folder_photos, tiles
from generators.tables import Member
from generators.tally import Tally, compare
from options.base_options import StrictParser, bounded, positive, probability
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json, write_json

CROP = 64
OFFSETS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 4), (4, 0))  # rows, columns


class PatchDiscriminator(nn.Sequential):
    """Hinge PatchGAN discriminator; (N, 3, H, W) -> (N, 1, H/4, W/4) logits, > 0 = looks real."""

    def __init__(self, width=32):
        act = nn.LeakyReLU(0.2)
        super().__init__(
            spectral_norm(nn.Conv2d(3, width, 3, padding=1)),
            act,
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            act,
            spectral_norm(nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1)),
            act,
            spectral_norm(nn.Conv2d(2 * width, 1, 3, padding=1)),
        )


def contrast_statistics(image):
    """Log mean absolute and mean squared differences at small offsets, per image and channel.

    They are the image's autocorrelation at short lags, so matching them matches the fine end of the
    spectrum. Brightness and two colour differences are matched beside the colours, because noise that is as strong
    in each colour but correlated between them still looks (and compresses) differently.

    (N, 3, H, W) -> (N, 6, 2 * len(OFFSETS) + 2).
    """
    red, green, blue = image.unbind(1)
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    image = torch.stack([red, green, blue, brightness, red - green, blue - green], 1)
    height, width = image.shape[-2:]
    rows = []
    for down, right in OFFSETS:
        difference = image[..., down:, right:] - image[..., : height - down, : width - right]
        rows += [difference.abs().mean((2, 3)), difference.square().mean((2, 3)).add(1e-6).sqrt()]
    laplacian = 4 * image[..., 1:-1, 1:-1] - image[..., :-2, 1:-1] - image[..., 2:, 1:-1]
    laplacian = laplacian - image[..., 1:-1, :-2] - image[..., 1:-1, 2:]
    rows += [laplacian.abs().mean((2, 3)), laplacian.square().mean((2, 3)).add(1e-6).sqrt()]
    return torch.stack(rows, -1).add(0.004).log()


def grid_planes(image, period, window=16):
    """Local mean of the Laplacian at each position of a period x period block.

    A grid that the eye can see is a pattern that keeps its sign over a neighbourhood; it shows here, while
    texture averages out. (N, 3, H, W) -> (N, 3, H / window, W / window, period, period).
    """
    padded = F.pad(image, (1, 1, 1, 1), mode='reflect')
    laplacian = (
        4 * image - padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1] - padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    )
    blocks = laplacian.unfold(2, window, window).unfold(3, window, window)  # (N, 3, h, w, window, window)
    return blocks.unflatten(5, (-1, period)).unflatten(4, (-1, period)).mean((4, 6))


def sample_batch(photos, scenes, scene_share, size, rng):
    """Random crops with random flips, (size, 3, CROP, CROP) float in [-1, 1]."""
    crops = []
    for _ in range(size):
        pictures = scenes if scenes and rng.random() < scene_share else photos
        pixels = pictures[rng.integers(len(pictures))]
        height, width = pixels.shape[:2]
        top, left = rng.integers(0, height - CROP + 1), rng.integers(0, width - CROP + 1)
        crop = pixels[top : top + CROP, left : left + CROP]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1  # strides: channels last


def train_decoder(decoder, draw, steps, lr, device, precision='fp32'):
    """Train on the batches that `draw()` returns; gives back a decoder with averaged weights.

    precision: 'fp32', or 'bf16' for the networks' arithmetic; losses are always in fp32.
    """
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=precision == 'bf16')
    spec, decoder = decoder.spec, decoder.to(device, memory_format=torch.channels_last).train()
    discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(decoder).eval()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=lr, betas=(0.5, 0.99))
    judge = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.99))

    def rate(step):  # warm up, then a half cosine down to a tenth
        return min(1, (step + 1) / 100) * (0.1 + 0.45 * (1 + math.cos(math.pi * step / steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    period = max(spec.factor, 2)
    # What a noisy or quantised latent has lost cannot be had back: a large weight would only blur it.
    fidelity, texture = (5, 2) if spec.kind in ('latent', 'quantised') else (10, 1)
    progress = tqdm(range(steps), desc=f'{spec.operator} x{spec.factor}', unit='step', mininterval=10)
    for step in progress:
        real = draw().to(device)
        with autocast():
            fake = decoder(real)
        fake = fake.float()
        adversarial = step >= steps // 10  # reconstruction first: an early judge only confuses
        pixel = F.l1_loss(fake, real)
        contrast = F.l1_loss(contrast_statistics(fake), contrast_statistics(real))
        grid = F.l1_loss(grid_planes(fake, period), grid_planes(real, period))
        loss = fidelity * pixel + texture * contrast + 10 * grid + decoder.extra_loss()
        if adversarial:
            with autocast():
                judged = discriminator(fake)
            loss = loss - 0.1 * judged.float().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if adversarial:
            judge.zero_grad(set_to_none=True)
            with autocast():
                of_real, of_fake = discriminator(real), discriminator(fake.detach())
            (F.relu(1 - of_real.float()).mean() + F.relu(1 + of_fake.float()).mean()).backward()
            judge.step()
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for averaged, current in zip(average.parameters(), decoder.parameters(), strict=True):
                averaged.lerp_(current, 1 - keep)
            for averaged, current in zip(average.buffers(), decoder.buffers(), strict=True):
                averaged.copy_(current)
        if not torch.isfinite(loss):
            raise UserError(f'the loss became {loss.item()} at step {step}; lower the learning rate')
        if step % 100 == 0:
            progress.set_postfix(
                l1=f'{pixel.item():.4f}', contrast=f'{contrast.item():.3f}', grid=f'{grid.item():.4f}', refresh=False
            )
    return average


def audit_pictures(decoder, pictures, period):
    """The audit of a generator on tiles of 128 px from held-out pictures (of CROP px, where two are too small)."""
    size = 128 if sum(min(pixels.shape[:2]) >= 128 for pixels in pictures) > 1 else CROP
    rng = np.random.default_rng(0)
    cut = [tiles(pixels, size, rng, most=4) for pixels in pictures]
    groups = np.repeat(np.arange(len(cut)), [len(tile) for tile in cut])
    real, fake, errors = Tally(), Tally(), []
    for place, tile in enumerate(np.concatenate(cut)):
        made = decode_tile(decoder, tile, [0, place])
        real.add(tile)
        fake.add(made)
        errors.append(np.mean((tile.astype(np.float32) - made) ** 2))
    return _rounded(compare(real, fake, groups, errors, period))


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def get_parser():
    parser = StrictParser(prog='python -m generators.train', description=__doc__.split('\n\n')[1])
    parser.add_argument('--photos', metavar='DIR', help='photographs to train on; default: the bundled ones')
    parser.add_argument('--decoders', nargs='+', metavar='NAME', default=list(DECODERS), choices=DECODERS, help='which')
    parser.add_argument('--steps', type=positive, default=3000, help='training steps for each decoder')
    parser.add_argument('--batch_size', type=positive, default=8, help=f'crops of {CROP} x {CROP} pixels in a step')
    parser.add_argument('--lr', type=bounded(float, 0, low_excluded=True), default=1e-3, help='highest learning rate')
    parser.add_argument('--scenes', type=bounded(int, 0), default=60, help='rendered scenes beside the photographs')
    parser.add_argument('--scene_share', type=probability, default=0.5, help='share of the crops that come from scenes')
    parser.add_argument('--start', metavar='DIR', help='go on from the weights in this folder instead of random ones')
    parser.add_argument('--report', action='store_true', help='train nothing: measure the weights in --out anew')
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of weights, crops and noise')
    parser.add_argument('--gpu_ids', metavar='ID', help='number of the GPU, or -1 for the CPU; default: a GPU if any')
    parser.add_argument('--out', metavar='DIR', default=str(WEIGHTS), help='where NAME.pth and NAME.json go')
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


def main(args):
    photos, photos_out = hold_out(folder_photos(args.photos) if args.photos else bundled_photos())
    scenes, scenes_out = hold_out([Scene(9_000_000 + i, 1024) for i in range(args.scenes)])
    if not photos or len(photos_out) < 2:
        raise UserError(
            f'too few photographs of {2 * CROP} px or more: {len(photos)} to train, {len(photos_out)} held out'
        )
    make_folder(args.out)
    for name in args.decoders:
        card_file = weights_file(name, args.seed, args.out).with_suffix('.json')
        if args.report:
            decoder, card = load_decoder(name, args.out, args.seed), read_json(card_file)
        else:
            decoder, card = train_and_save(name, args, photos, scenes)
        period = Member(name, name).period
        card['held_out'] = {
            'photos': audit_pictures(decoder, photos_out, period),
            'scenes': audit_pictures(decoder, scenes_out, period) if len(scenes_out) > 1 else None,
            'machine': machine.describe(),
        }
        write_json(card_file, card)
        print(f'{name}\n  photos {card["held_out"]["photos"]}\n  scenes {card["held_out"]["scenes"]}', flush=True)


def train_and_save(name, args, photos, scenes):
    """Train one decoder and write its weights; returns (decoder, card) without the report."""
    start = time.time()
    torch.manual_seed(args.seed)
    draw = partial(sample_batch, photos, scenes, args.scene_share, args.batch_size, np.random.default_rng(args.seed))
    decoder = load_decoder(name, args.start).train() if args.start else create_decoder(DECODERS[name])
    device = machine.choose_device(args.gpu_ids)
    precision = machine.choose_precision('auto', device)
    decoder = train_decoder(decoder, draw, args.steps, args.lr, device, precision).cpu()
    save_decoder(decoder, weights_file(name, args.seed, args.out))
    kept = ('steps', 'batch_size', 'lr', 'scenes', 'scene_share', 'seed')
    card = {
        'decoder': name,
        **vars(DECODERS[name]),
        'parameters': sum(p.numel() for p in decoder.parameters()),
        'training': {
            **{key: getattr(args, key) for key in kept},
            'precision': precision,
            'photos': len(photos),
            'seconds': round(time.time() - start),
            'started_from': read_json(f'{args.start}/{name}.json')['training'] if args.start else None,
            'machine': machine.describe(),
        },
    }
    return load_decoder(name, args.out, args.seed), card  # as it was written, in 16 bits


if __name__ == '__main__':
    with friendly_errors('generators.train'):
        main(get_parser().parse_args())
