"""Scores of images: the one forward pass that training, testing and visualising share."""

import torch

from networks.folding import fold_batch_norms
from networks.npr import residuals


def prepare(detector, device):
    """A copy of the detector made for scoring: evaluation mode, batch norms folded, channels last, on `device`."""
    return fold_batch_norms(detector).to(device, memory_format=torch.channels_last)


@torch.inference_mode()
def score_batch(detector, images, device, precision='fp32'):
    """Logits and attention weights of a batch.

    Args:
        detector: in evaluation mode, on `device`.
        images: (N, 3, H, W) float, ImageNet-normalised.
        device: torch.device; precision: 'fp32' or 'bf16'.
    Returns:
        (logits, weights): (N,) float32 on the CPU, > 0 = fake; (N, S) float32, or None without attention.
    """
    images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
        if detector.has_attention:
            logits, weights = detector(images, return_attention=True)
            return logits.squeeze(1).float().cpu(), weights.float().cpu()
        return detector(images).squeeze(1).float().cpu(), None


@torch.inference_mode()
def feature_batch(detector, images, device, precision='fp32'):
    """Like `score_batch`, of a multi-scale detector, with the features (N, S * F) of its branches for weights."""
    images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
        features = detector.features(residuals(images, detector))
    return detector.decide(features)[0].squeeze(1).cpu(), features.flatten(1).cpu()
