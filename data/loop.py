"""One deterministic pass over images, shared among processes."""

import numpy as np
from tqdm import tqdm

from data.datasets import ScoreBatches, make_loader, tensor_sizes
from util.errors import UserError


def over_images(score, samples, transform, batch_size, workers, bad_images, processes, description, pin_memory=False):
    """Score every sample once.

    Args:
        score: function of a batch (N, 3, H, W) that returns logits (N,) and weights (N, S) or None, on the CPU.
        samples: list of data.listing.Sample.
        transform: ScoreTransform.
        batch_size, workers: of the loader.
        bad_images: BadImages; a file that it tolerates is missing from the result.
        processes: util.machine.Processes; every process gets the whole result.
        description: text of the progress bar.
        pin_memory: of the loader, for a GPU.
    Returns:
        (indices, logits, weights): (n,) int in ascending order, (n,) float32, (n, S) float32 or None.
    Raises:
        UserError: a bad image that is not tolerated; logits that are not finite.
    """
    sizes = tensor_sizes(samples, transform)
    batches = ScoreBatches(sizes, batch_size, processes.rank, processes.world)
    indices, logits, weights, failures = [], [], [], []
    with tqdm(
        total=sum(map(len, batches.batches)), desc=description, unit='image', disable=not processes.first, leave=False
    ) as bar:
        for batch in make_loader(samples, transform, batches, workers, pin_memory):
            failures += batch.failures
            if failures and bad_images.policy == 'stop':
                break
            if batch.images is not None:
                batch_logits, batch_weights = score(batch.images)
                indices += batch.indices
                logits.append(batch_logits.numpy())
                if batch_weights is not None:
                    weights.append(batch_weights.numpy())
            bar.update(len(batch.indices) + len(batch.failures))
    parts = processes.gather((indices, logits, weights, failures))
    for part in parts:
        bad_images.handle(part[3])
    indices = np.array([index for part in parts for index in part[0]], dtype=int)
    logits = np.concatenate([array for part in parts for array in part[1]] or [np.empty(0, np.float32)])
    weights = [array for part in parts for array in part[2]]
    if not np.isfinite(logits).all():
        raise UserError(
            f'{np.sum(~np.isfinite(logits))} of {len(logits)} logits are not finite: the weights are broken; '
            'train again with a lower --lr'
        )
    order = np.argsort(indices)
    return indices[order], logits[order], np.concatenate(weights)[order] if weights else None
