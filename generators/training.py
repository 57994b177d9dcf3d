"""One generator in training: networks, optimisers, random numbers; saved whole, so that it goes on where it stopped."""

import copy
import math
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from generators.decoders import create_decoder
from generators.losses import (
    PatchDiscriminator,
    colour_statistics,
    common_grid,
    contrast_energy,
    contrast_statistics,
    distance,
    grid_strength,
)
from util.errors import UserError
from util.files import atomic_path
from util.seeds import get_rng, seed_everything, set_rng

CROP = 64  # side of a training crop in pixels
WINDOWS = (16, CROP)  # sides of the windows in which contrast, colours and grids are matched
# Weights of the losses; FULL is that of single pixels beside pixels of half the size.
FIDELITY, FULL, TEXTURE, ENERGY, COLOUR, BIAS, GRID, ADVERSARIAL = 1.0, 0.5, 3.0, 3.0, 10.0, 5.0, 1.0, 0.1
MOST_AVERAGED = 0.999  # decay of the moving average of the weights, once it is warm


class Training:
    """A generator that learns to reproduce photographs through its bottleneck.

    Args:
        spec: generators.decoders.DecoderSpec.
        pictures: (photographs, scenes), lists of (H, W, 3) uint8 with sides of CROP or more; scenes may be empty.
        settings: dict with 'steps', 'batch_size', 'lr', 'scene_share' and 'seed', and whatever else must be the same
            when a training goes on.
        device: torch.device; precision: 'fp32', or 'bf16' for the networks' arithmetic (losses are always in fp32).
    """

    def __init__(self, spec, pictures, settings, device, precision='fp32'):
        self.spec, self.pictures, self.settings, self.device = spec, pictures, settings, device
        self.autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=precision == 'bf16')
        seed_everything(settings['seed'])
        self.rng = np.random.default_rng(settings['seed'])
        self.done = 0  # steps
        self.seconds = 0.0  # that they took, kept by whoever makes them
        self.generator = create_decoder(spec).to(device, memory_format=torch.channels_last).train()
        self.judge = PatchDiscriminator().to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).eval()
        self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=settings['lr'], betas=(0.5, 0.99))
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), lr=2e-4, betas=(0.5, 0.99))

    @property
    def parts(self):
        names = ('generator', 'judge', 'average', 'optimizer', 'judge_optimizer')
        return {name: getattr(self, name) for name in names}

    def begin_with(self, generator):
        """Take the weights of a trained generator instead of random ones."""
        for part in (self.generator, self.average):
            part.load_state_dict(generator.state_dict())

    def save(self, path):
        """Write everything that the next step depends on."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        numbers = {'numpy': self.rng.bit_generator.state, 'torch': get_rng()}
        with atomic_path(path) as temporary:
            progress = {'done': self.done, 'seconds': self.seconds}
            torch.save({'settings': self.settings, **progress, 'random': numbers, **state}, temporary)

    def load(self, path):
        """Go on from a file that `save` wrote.

        Raises:
            UserError: it is of a training with other settings, or of another design.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state['settings'] != self.settings:
            differing = [key for key in self.settings if state['settings'].get(key) != self.settings[key]]
            raise UserError(
                f'{path}: an unfinished training with other settings ({", ".join(differing)}); '
                'give those again to go on, or remove the file'
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except RuntimeError as error:
            raise UserError(
                f'{path}: an unfinished training of another design of this name; remove the file'
            ) from error
        self.rng.bit_generator.state = state['random']['numpy']
        set_rng({name: value.cpu() for name, value in state['random']['torch'].items()})
        self.done, self.seconds = state['done'], state['seconds']

    def batch(self):
        """Random crops with random flips, all of photographs or all of scenes; (N, 3, CROP, CROP) float in [-1, 1].

        Losses that compare whole batches would otherwise balance too much texture in scenes by too little in photos.
        """
        crops, (photos, scenes) = [], self.pictures
        chosen = scenes if scenes and self.rng.random() < self.settings['scene_share'] else photos
        for _ in range(self.settings['batch_size']):
            pixels = chosen[self.rng.integers(len(chosen))]
            height, width = pixels.shape[:2]
            top, left = self.rng.integers(0, height - CROP + 1), self.rng.integers(0, width - CROP + 1)
            crop = pixels[top : top + CROP, left : left + CROP]
            crops.append(crop[:, ::-1] if self.rng.random() < 0.5 else crop)
        images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # channels last by its strides
        return images.to(self.device).float() / 127.5 - 1

    def rate(self):
        """Share of the learning rate at this step: a warm-up, then a half cosine down to a tenth."""
        return min(1, (self.done + 1) / 100) * (
            0.1 + 0.45 * (1 + math.cos(math.pi * self.done / self.settings['steps']))
        )

    def step(self):
        """Learn from one batch; returns the losses as {name: float}."""
        for group in self.optimizer.param_groups:
            group['lr'] = self.settings['lr'] * self.rate()
        real = self.batch()
        with self.autocast():
            fake = self.generator(real)
        fake = in_bytes(fake.float())
        period = max(self.spec.factor, 2)
        losses = {
            'pixel': distance(fake, real, FULL),
            'contrast': matched(contrast_statistics, fake, real),
            'energy': F.l1_loss(contrast_energy(fake), contrast_energy(real)),
            'colour': matched(colour_statistics, fake, real),
            'bias': bias(contrast_statistics, fake, real) + bias(colour_statistics, fake, real),
            'grid': matched(partial(grid_strength, period=period), fake, real)
            + F.l1_loss(common_grid(fake, period), common_grid(real, period)),
        }
        loss = FIDELITY * losses['pixel'] + TEXTURE * losses['contrast'] + ENERGY * losses['energy']
        loss = loss + GRID * losses['grid'] + COLOUR * losses['colour'] + self.generator.extra_loss()
        loss = loss + BIAS * losses['bias']
        judged = self.done >= self.settings['steps'] // 10  # reconstruction first: an early judge only confuses
        if judged:
            self.judge.requires_grad_(False)  # of the judge's own gradients none is needed here
            with self.autocast():
                loss = loss - ADVERSARIAL * self.judge(fake).float().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise UserError(
                f'step {self.done}: the loss became {loss.item()}, the norm of its gradient {norm.item()}; '
                'lower the learning rate'
            )
        self.optimizer.step()
        if judged:
            self.teach_judge(real, fake.detach())
        self.update_average()
        self.done += 1
        return {name: value.item() for name, value in losses.items()}

    def teach_judge(self, real, fake):
        self.judge.requires_grad_(True)
        self.judge_optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            of_real, of_fake = self.judge(real).float(), self.judge(fake).float()
        (F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()).backward()
        self.judge_optimizer.step()

    @torch.no_grad()
    def update_average(self):
        keep = min(MOST_AVERAGED, (1 + self.done) / (10 + self.done))
        for averaged, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            averaged.lerp_(current, 1 - keep)
        for averaged, current in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            averaged.copy_(current)


def in_bytes(image):
    """The image as 8 bits show it, with the gradient of the one before; about [-1, 1] -> [-1, 1], the same shape.

    Otherwise the judge could tell what was rounded, and smooth regions would end noisier than their statistics say.
    """
    shown = ((image.detach() + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    return image + (shown - image.detach())


def matched(statistics, fake, real):
    """Mean difference of statistics of images, for windows of all sizes."""
    return sum(F.l1_loss(statistics(fake, window=window), statistics(real, window=window)) for window in WINDOWS)


def bias(statistics, fake, real):
    """Difference of statistics of whole images that a batch has on average: small, but the same in every image."""
    return (statistics(fake, window=CROP) - statistics(real, window=CROP)).mean(0).abs().mean()
