"""How long a plan will take and how much disk: measured on this machine for a moment, multiplied out."""

import statistics
import time

import torch

from analysis.words import count
from data.collection import collect
from data.listing import list_samples
from networks import count_parameters, create_detector, detector_config
from networks.scoring import prepare, score_batch
from networks.trainer import Trainer
from options.train_options import get_parser
from util import machine
from util.errors import UserError

STEPS = {'cpu': 3, 'cuda': 7}  # of which the median counts, after one that warms up
IMAGES = {'cpu': 4, 'cuda': 32}  # of a measured step
COPIES, BYTES = 2 * 3, 4  # a run keeps two checkpoints, with two numbers of the optimiser for each weight
EDITION = 1600, 5760  # training and test images of UpsampleBench's default edition


def build(design, fine):
    return create_detector(detector_config(design.model_type, design.scales, fine=fine))


def seconds_per_image(design, fine, crop, device, precision):
    """(training, scoring) seconds for one image, the network alone."""
    detector = build(design, fine)
    number = IMAGES[device.type]
    images, labels = torch.randn(number, 3, crop, crop), torch.arange(number) % 2
    trainer = Trainer(detector, device, precision=precision)
    training = _timed(lambda: trainer.step(images, labels), STEPS[device.type])
    ready = prepare(detector.eval(), device)
    scoring = _timed(lambda: score_batch(ready, images, device, precision), STEPS[device.type])
    return training / number, scoring / number


def _timed(work, steps):
    """Median seconds of a call: one that something else on the machine held up does not count."""
    work()
    durations = []
    for _ in range(steps):
        start = time.perf_counter()
        work()  # returns numbers of the CPU, so nothing is left to wait for
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def count_images(root, find):
    """Number of images below a folder, or None if there are none yet."""
    try:
        return find(root)
    except UserError:
        return None


def estimate(plan):
    """Lines that say how long the trainings and tests of a plan will take, and the disk they need."""
    words = next(step for step in plan.steps() if step.name.startswith('train_')).command()
    flags = get_parser().parse_args(words[2:])
    train = count_images(plan.dataroot / 'train', lambda root: len(list_samples(root, flags.classes)))
    test = count_images(plan.testroot, lambda root: len(collect(root).samples))
    if plan.benchmark and not train:
        train, test = EDITION  # it is made first
    missing = [str(place) for place, number in ((plan.dataroot / 'train', train), (plan.testroot, test)) if not number]
    if missing:
        return [f'no estimate: no images found in {" and ".join(missing)}']
    device, precision, _ = machine.start()
    total, lines, measured = 0.0, [], {}
    for design in plan.designs:
        kind = design.model_type, len(design.scales)  # the values of the scales do not matter
        if kind not in measured:
            measured[kind] = seconds_per_image(design, flags.fine, flags.cropSize, device, precision)
        training, scoring = measured[kind]
        hours = (training * train * flags.niter + scoring * test) * len(plan.seeds) / 3600
        total += hours
        lines.append(f'  {design.name}: {hours:.2f} h for {count(len(plan.seeds), "seed")}')
    weights = [count_parameters(build(design, flags.fine)) for design in plan.designs]
    disk = sum(COPIES * BYTES * each / 1e6 + 0.0003 * test for each in weights) * len(plan.seeds)
    return [
        f'{train} training and {test} test images; the network alone, measured now on random pixels:',
        *lines,
        f'together {total:.2f} h on one device, without loading and analyses; about {disk:.0f} MB of disk '
        'and a cache of decoded images (3 bytes a pixel, once for all)',
    ]
