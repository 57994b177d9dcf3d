"""Train the decoders of UpsampleBench: python -m generators.train --photos DIR [--decoders nearest_x2 ...]

Each decoder learns to reproduce photographs through its bottleneck with an L1 loss, a hinge PatchGAN and
a loss that matches local contrast statistics, so that neither blur nor noise gives it away. The weights
written are the exponential moving average.
"""

import argparse
import copy
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from tqdm import tqdm

from generators.decoders import DECODERS, WEIGHTS, Decoder, decode_tiles, save_decoder
from generators.edition import audit
from generators.photos import bundled_photos, folder_photos, scene_photos, tiles
from util import machine
from util.errors import UserError, friendly_errors
from util.files import write_json

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
    spectrum. (N, 3, H, W) -> (N, 3, 2 * len(OFFSETS)).
    """
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


def load_pictures(photos):
    return [photo.pixels() for photo in tqdm(photos, desc='pictures', unit='picture')]


def sample_batch(pictures, size, rng):
    """Random crops with random flips, (size, 3, CROP, CROP) float in [-1, 1]."""
    crops = []
    while len(crops) < size:
        pixels = pictures[rng.integers(len(pictures))]
        height, width = pixels.shape[:2]
        if min(height, width) < CROP:
            continue
        top, left = rng.integers(0, height - CROP + 1), rng.integers(0, width - CROP + 1)
        crop = pixels[top : top + CROP, left : left + CROP]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(crop)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1  # strides: channels last


def train_decoder(spec, pictures, steps, batch_size, seed, device):
    """Returns the decoder with averaged weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    decoder = Decoder(spec).to(device, memory_format=torch.channels_last)
    discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(decoder)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-3, betas=(0.5, 0.99))
    judge = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.99))

    def rate(step):  # warm up, then a half cosine down to a tenth
        return min(1, (step + 1) / 100) * (0.1 + 0.45 * (1 + math.cos(math.pi * step / steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    period = max(spec.factor, 2)
    progress = tqdm(range(steps), desc=f'{spec.operator} x{spec.factor}', unit='step', mininterval=10)
    for step in progress:
        real = sample_batch(pictures, batch_size, rng).to(device)
        fake = decoder(real)
        adversarial = step >= steps // 10  # reconstruction first: an early judge only confuses
        pixel = F.l1_loss(fake, real)
        contrast = F.l1_loss(contrast_statistics(fake), contrast_statistics(real))
        grid = F.l1_loss(grid_planes(fake, period), grid_planes(real, period))
        loss = 10 * pixel + contrast + 10 * grid
        if adversarial:
            loss = loss - 0.1 * discriminator(fake).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if adversarial:
            judge.zero_grad(set_to_none=True)
            judged = F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(fake.detach())).mean()
            judged.backward()
            judge.step()
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for averaged, current in zip(average.parameters(), decoder.parameters(), strict=True):
                averaged.lerp_(current, 1 - keep)
        if not torch.isfinite(loss):
            raise UserError(f'the loss became {loss.item()} at step {step}; lower the learning rate')
        if step % 100 == 0:
            progress.set_postfix(
                l1=f'{pixel.item():.4f}', contrast=f'{contrast.item():.3f}', grid=f'{grid.item():.4f}', refresh=False
            )
    return average


def report(decoder, pictures, tile_size=128):
    """The audit of a decoder on held-out pictures."""
    rng = np.random.default_rng(0)
    cut = [tiles(pixels, tile_size, rng, most=2) for pixels in pictures]
    real = np.concatenate(cut)
    groups = np.repeat(np.arange(len(cut)), [len(tile) for tile in cut])
    facts = audit(real, decode_tiles(decoder, real, [0]), groups, max(decoder.spec.factor, 2))
    return {key: round(value, 4) for key, value in facts.items()}


def get_args_parser():
    parser = argparse.ArgumentParser(
        prog='python -m generators.train', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--photos', metavar='DIR', help='photographs to train on; default: the bundled ones')
    parser.add_argument('--decoders', nargs='+', metavar='NAME', default=list(DECODERS), choices=DECODERS)
    parser.add_argument('--steps', type=int, default=6000, help='training steps for each decoder')
    parser.add_argument('--batch_size', type=int, default=8, help=f'crops of {CROP} x {CROP} pixels in a step')
    parser.add_argument('--scenes', type=int, default=60, help='rendered scenes beside the photographs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', metavar='DIR', default=str(WEIGHTS), help='where NAME.pth and NAME.json go')
    return parser


def main(args):
    photos = folder_photos(args.photos) if args.photos else bundled_photos()
    # Every fifth picture is held out: the report below is on pictures that the decoder never saw.
    pictures = load_pictures(photos + scene_photos(args.scenes, seed=900_000))
    held_out, training = pictures[::5], [pixels for i, pixels in enumerate(pictures) if i % 5]
    for name in args.decoders:
        start = time.time()
        decoder = train_decoder(DECODERS[name], training, args.steps, args.batch_size, args.seed, args.device).cpu()
        save_decoder(decoder, f'{args.out}/{name}.pth')
        card = {
            'decoder': name,
            **vars(DECODERS[name]),
            'parameters': sum(p.numel() for p in decoder.parameters()),
            'steps': args.steps,
            'batch_size': args.batch_size,
            'seed': args.seed,
            'training_pictures': len(training),
            'held_out': report(decoder, held_out),
            'machine': machine.describe(),
        }
        write_json(f'{args.out}/{name}.json', card)
        print(f'{name}: {card["held_out"]} ({time.time() - start:.0f} s)', flush=True)


if __name__ == '__main__':
    with friendly_errors('generators.train'):
        main(get_args_parser().parse_args())
