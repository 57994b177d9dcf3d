"""One deterministic pass over images, shared among processes."""

import zlib

import numpy as np
from tqdm import tqdm

from data.datasets import ScoreBatches, make_loader, tensor_sizes
from data.images import BadImage, load_rgb
from data.journal import Memory, Scored
from data.transforms import normalise
from util.errors import UserError


def over_images(
    score,
    samples,
    transform,
    batch_size,
    workers,
    bad_images,
    processes,
    description,
    pin_memory=False,
    journal=None,
):
    """Score every sample once.

    Args:
        score: function of a batch (N, 3, H, W) that returns logits (N,) and weights (N, S) or None, on the CPU.
        samples: list of data.listing.Sample.
        transform: ScoreTransform, or None where every sample brings its own.
        batch_size, workers: of the loader.
        bad_images: BadImages; a file that it tolerates is missing from the result.
        processes: util.machine.Processes; every process gets the whole result (with a journal, only the first).
        description: text of the progress bar.
        pin_memory: of the loader, for a GPU.
        journal: data.journal.Journal, which keeps finished batches on disk; None keeps them in memory.
    Returns:
        (indices, logits, weights): (n,) int in ascending order, (n,) float, (n, S) float or None.
    Raises:
        UserError: a bad image that is not tolerated; logits that are not finite; images that were lost.
    """
    kept = journal or Memory()
    sizes = tensor_sizes(samples, transform)
    # From names alone, so that a perturbation does not depend on what else is in the list.
    draws = [zlib.crc32(sample.path.name.encode()) for sample in samples]
    batches = ScoreBatches(sizes, batch_size, processes.rank, processes.world, kept.finished, draws)
    failures = []
    if bad_images.policy == 'stop':  # at once and in all processes, not when one of them comes to it
        bad_images.handle([message for message in map(fault, unreadable(samples, sizes)) if message])
    with tqdm(
        total=sum(map(len, batches.batches)), desc=description, unit='image', disable=not processes.first, leave=False
    ) as bar:
        loader = make_loader(samples, transform, batches, workers, pin_memory)
        for number, batch in zip(batches.numbers, loader, strict=False):
            if batch.failures and bad_images.policy == 'stop':
                failures = batch.failures
                break
            scored = Scored(number, batch.indices, failures=batch.failures)
            if batch.images is not None:
                logits, weights = score(normalise(batch.images))
                scored.logits, scored.weights = logits.numpy(), None if weights is None else weights.numpy()
            kept.add(scored)
            bar.update(len(batch.indices) + len(batch.failures))
    for found in processes.gather(failures):
        bad_images.handle(found)
    batches = kept.results(processes)
    if processes.first:
        count = sum(len(scored.indices) + len(scored.failures) for scored in batches)
        if count != len(samples):
            raise UserError(f'{count} of {len(samples)} images were scored; do all processes see the output folder?')
    return in_order(batches, bad_images)


def unreadable(samples, sizes):
    """The samples whose size could not be read."""
    return [sample for sample, size in zip(samples, sizes, strict=True) if size is None]


def fault(sample):
    """What is wrong with an image file, or None."""
    try:
        load_rgb(sample.path)
    except BadImage as error:
        return str(error)


def in_order(batches, bad_images):
    """Batches of any order to (indices, logits, weights) in the order of the samples; see `over_images`."""
    batches = sorted(batches, key=lambda scored: scored.number)
    bad_images.handle([message for scored in batches for message in scored.failures])
    batches = [scored for scored in batches if scored.indices]
    if not batches:
        return np.empty(0, int), np.empty(0), None
    indices = np.concatenate([np.asarray(scored.indices, int) for scored in batches])
    logits = np.concatenate([scored.logits for scored in batches])
    if not np.isfinite(logits).all():
        raise UserError(
            f'{np.sum(~np.isfinite(logits))} of {len(logits)} logits are not finite: the weights are broken; '
            'train again with a lower --lr'
        )
    order = np.argsort(indices)
    weights = None if batches[0].weights is None else np.concatenate([scored.weights for scored in batches])[order]
    return indices[order], logits[order], weights
