"""What the processes of a build do: a job makes some fakes of one generator, and counts what they look like."""

import multiprocessing
import os
import shutil
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data.file_audit import differing_containers
from generators import controls
from generators.decoders import decode_tile, load_decoder
from generators.reals import SPLITS
from generators.tally import Tally
from util import machine


@dataclass(frozen=True)
class Job:
    """A part of a folder: fakes of some real tiles. `first`: place of the first among those of its folder."""

    folder: Path
    member: object  # generators.tables.Member
    split: str
    reals: tuple  # paths
    first: int
    seed: int
    weights: Path  # folder of the generators' weights
    sigma: float | None = None  # of the blur, for that control


@dataclass
class Part:
    """What came of a job.

    real: only of reals that are not those of the other generators, because they are cut to the size of their fakes.
    errors: mean squared differences of images. differences: sentences about containers.
    """

    job: Job
    real: Tally = field(default_factory=Tally)
    fake: Tally = field(default_factory=Tally)
    errors: list = field(default_factory=list)
    differences: list = field(default_factory=list)

    def __iadd__(self, other):
        self.real += other.real
        self.fake += other.fake
        self.errors += other.errors
        return self


def start_worker():
    """In a new process: results must not depend on the number of threads, and nobody outlives a killed build."""
    torch.set_num_threads(1)
    machine.keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent answers

    def leave_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def run_job(job):
    """Make the images of a job; returns a Part.

    Tallies and squared errors are of test images only.
    """
    decoder = load_decoder(job.member.design, job.weights, job.member.seed) if job.member.design else None
    part = Part(job)
    for place, path in enumerate(job.reals, start=job.first):
        real = np.asarray(Image.open(path))
        if decoder is not None:
            fake = decode_tile(decoder, real, [job.seed, SPLITS.index(job.split), place])
        else:
            fake = controls.apply(job.member.name, real, job.sigma)
        names = [job.folder / label / path.name for label in ('0_real', '1_fake')]
        aligned = fake.shape == real.shape
        if aligned:
            link(path, names[0])
        else:  # the control of another size: its reals are cut to it
            top, left = ((a - b) // 2 for a, b in zip(real.shape[:2], fake.shape[:2], strict=True))
            real = real[top : top + fake.shape[0], left : left + fake.shape[1]]
            Image.fromarray(real).save(names[0])
        Image.fromarray(fake).save(names[1])
        written = path.stat()
        for name in names:  # when a file was written tells its class as well as a name would
            os.utime(name, ns=(written.st_atime_ns, written.st_mtime_ns))
        part.differences += differing_containers(*names)
        if job.split == 'test':
            part.fake.add(fake)
            if aligned:
                part.errors.append(np.mean((real.astype(np.float32) - fake) ** 2))
            else:
                part.real.add(real)
    return part


def link(source, target):
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def tally_of(paths):
    """Tally of image files; in a process of the pool, so that all sums are made by one thread."""
    found = Tally()
    for path in paths:
        found.add(np.asarray(Image.open(path)))
    return found
