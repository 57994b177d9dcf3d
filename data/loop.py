"""One deterministic pass over images, shared among processes."""

import numpy as np
import torch
from tqdm import tqdm

from data.datasets import ScoreBatches, make_loader, tensor_sizes
from data.images import BadImage, load_rgb
from data.journal import Memory, Scored
from data.transforms import normalise
from util.errors import UserError

CPU = torch.device('cpu')


def over_images(
    score,
    samples,
    transform,
    batch_size,
    workers,
    bad_images,
    processes,
    description,
    device=CPU,
    journal=None,
    packed=None,
):
    """Score every sample once.

    Args:
        score: function of a batch (N, 3, H, W) that returns logits (N,) and weights (N, S) or None, on the CPU.
        samples: list of data.samples.Sample.
        transform: ScoreTransform, or None where every sample brings its own.
        batch_size, workers: of the loader.
        bad_images: BadImages; a file that it tolerates is missing from the result.
        processes: util.machine.Processes; every process gets the whole result (with a journal, only the first).
        description: text of the progress bar; device: of the network.
        journal: data.journal.Journal, which keeps finished batches on disk; None keeps them in memory.
        packed: data.packed.PackedImages of the samples, or None to decode their files.
    Returns:
        (indices, logits, weights): (n,) int in ascending order, (n,) float, (n, S) float or None.
    Raises:
        UserError: a bad image that is not tolerated; logits that are not finite; images that were lost.
    """
    kept = journal or Memory()
    sizes = tensor_sizes(samples, transform, progress=processes.first)
    batches = ScoreBatches(sizes, batch_size, processes.rank, processes.world, kept.finished)
    failures = []
    if bad_images.policy == 'stop':  # at once and in all processes, not when one of them comes to it
        bad_images.handle([message for message in map(fault, unreadable(samples, sizes)) if message])
    with tqdm(
        total=sum(map(len, batches.batches)), desc=description, unit='image', disable=not processes.first, leave=False
    ) as bar:
        loader = make_loader(samples, transform, batches, workers, device, packed)
        for number, batch in zip(batches.numbers, loader, strict=False):
            if batch.failures and bad_images.policy == 'stop':
                failures = batch.failures
                break
            scored = Scored(number, batch.indices, failures=batch.failures)
            if batch.images is not None:
                logits, weights = score(normalise(batch.images.to(device, non_blocking=True)))
                scored.logits, scored.weights = logits.numpy(), None if weights is None else weights.numpy()
            kept.add(scored)
            bar.update(len(batch.indices) + len(batch.failures))
    for found in processes.gather(failures):
        bad_images.handle(found)
    count, *found = in_order(kept.results(processes), len(samples), bad_images)
    if processes.first and count != len(samples):
        raise UserError(f'{count} of {len(samples)} images were scored; do all processes see the output folder?')
    return tuple(found)


def unreadable(samples, sizes):
    """The samples whose size could not be read."""
    return [samples[i] for i in np.flatnonzero(~sizes.all(1))]


def fault(sample):
    """What is wrong with an image file, or None."""
    try:
        load_rgb(sample.path)
    except BadImage as error:
        return str(error)


def in_order(batches, images, bad_images):
    """Scored batches, in any order, to (images seen, indices, logits, weights), the last three as `over_images`.

    Each batch is forgotten once its numbers are in their places.
    """
    good, logits, weights, failures = np.zeros(images, bool), np.empty(0), None, {}
    for scored in batches:
        if scored.failures:
            failures[scored.number] = scored.failures
        if scored.indices:
            if not len(logits):
                logits = np.empty(images, scored.logits.dtype)
                weights = (
                    None
                    if scored.weights is None
                    else np.empty((images, scored.weights.shape[1]), scored.weights.dtype)
                )
            logits[scored.indices], good[scored.indices] = scored.logits, True
            if weights is not None:
                weights[scored.indices] = scored.weights
    bad_images.handle([message for number in sorted(failures) for message in failures[number]])
    indices = np.flatnonzero(good)
    seen = len(indices) + sum(map(len, failures.values()))
    if not len(indices):
        return seen, indices, logits, None
    if len(indices) < images:
        logits, weights = logits[indices], None if weights is None else weights[indices]
    if not np.isfinite(logits).all():
        raise UserError(
            f'{np.sum(~np.isfinite(logits))} of {len(logits)} logits are not finite: the weights are broken; '
            'train again with a lower --lr'
        )
    return seen, indices, logits, weights
