"""One training step and everything that must survive an interruption."""

import math
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

OPTIMIZERS = {'adam': torch.optim.Adam, 'sgd': torch.optim.SGD}
DECAY, LOWEST_RATE = 0.9, 1e-6  # as the paper's code: x0.9 at every --delr_freq epochs, never below 1e-6


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


def learning_rate(lr, epoch, delr_freq, cosine=None):
    """Learning rate after `epoch` epochs, which may be a fraction: lr * 0.9 ** (epoch // delr_freq), at least 1e-6.

    cosine: epochs in which it falls to zero along half a cosine instead, or None.
    """
    if cosine:
        return lr * (1 + math.cos(math.pi * min(epoch / cosine, 1))) / 2
    return max(lr * DECAY ** (epoch // delr_freq), min(lr, LOWEST_RATE))


class Trainer:
    """Binary cross-entropy training of a detector.

    Args:
        detector: SingleScaleNPR or MultiScaleNPR.
        device: torch.device.
        optim: 'adam' or 'sgd'; lr, beta1 (momentum for sgd), weight_decay: its settings.
        precision: 'fp32' or 'bf16' (autocast).
        aux_loss_weight: weight of the mean loss of the single branches (0 = off).
        entropy_weight: reward for spread-out attention, per nat (0 = off).
        patch_loss: judge every position of the feature maps by itself (of each branch, if there are several), as patch
            classifiers do (Chai et al., ECCV 2020, arXiv:2008.10588), instead of their mean.
        label_smoothing: e, so that the loss asks for a score of 1 - e / 2 of fakes and of e / 2 of real images.
        distributed: wrap the detector in DistributedDataParallel (the process group exists already).
        accumulate: parts in which a batch goes through the network, one after the other, for want of memory; batch
            norms see the parts, as with so many processes.
        wrap: function of the network; what it returns is called instead (networks.compiling.compiled), or None.
    """

    def __init__(
        self,
        detector,
        device,
        optim='adam',
        lr=2e-4,
        beta1=0.9,
        weight_decay=0.0,
        precision='fp32',
        aux_loss_weight=0.0,
        entropy_weight=0.0,
        patch_loss=False,
        label_smoothing=0.0,
        distributed=False,
        accumulate=1,
        wrap=None,
    ):
        self.detector = detector.to(device, memory_format=torch.channels_last)
        self.network = nn.parallel.DistributedDataParallel(self.detector) if distributed else self.detector
        self.forward = wrap(self.network) if wrap else self.network
        self.device, self.precision, self.accumulate = device, precision, accumulate
        self.aux_loss_weight, self.entropy_weight = aux_loss_weight, entropy_weight
        self.patch_loss, self.label_smoothing = patch_loss, label_smoothing
        momentum = {'betas': (beta1, 0.999)} if optim == 'adam' else {'momentum': beta1}
        self.optimizer = OPTIMIZERS[optim](detector.parameters(), lr=lr, weight_decay=weight_decay, **momentum)

    def set_rate(self, lr):
        for group in self.optimizer.param_groups:
            group['lr'] = lr

    def step(self, images, labels):
        """One optimiser step.

        Args:
            images: (N, 3, H, W) float; labels: (N,) 0 = real, 1 = fake.
        Returns:
            float, the loss that was minimised.
        Raises:
            NonFiniteLoss: before the weights are touched.
        """
        self.optimizer.zero_grad(set_to_none=True)
        images, labels = self.transfer(images, labels)
        value, parts = 0.0, min(self.accumulate, len(images))
        for part in range(parts):  # dealt as images are dealt to processes, so that either gives the same result
            own = slice(part, None, parts)
            # Processes exchange gradients once, after the last part.
            together = part == parts - 1 or self.network is self.detector
            with nullcontext() if together else self.network.no_sync():
                loss = self.loss(images[own], labels[own]) * (len(labels[own]) / len(labels))
                loss.backward()
            value += loss.item()
        if not math.isfinite(value):
            raise NonFiniteLoss(f'the training loss became {value}; lower --lr or use --precision fp32')
        self.optimizer.step()
        return value

    def transfer(self, images, labels):
        """The same on the device, channels last, and labels as floats."""
        images = images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        return images, labels.to(self.device, torch.float32, non_blocking=True)

    def loss(self, images, labels):
        """What a step minimises, of a batch on the device."""
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == 'bf16'):
            return self._loss(images, labels)

    def _loss(self, images, labels):
        targets = labels + self.label_smoothing * (0.5 - labels)
        if self.patch_loss:
            logits = self.forward(images, return_patches=True)
            if self.detector.has_branches:
                self.detector.classifier.observe(logits.mean((2, 3)), labels)
            return _bce(logits, targets[:, None, None, None].expand_as(logits))
        if not self.detector.has_branches:
            return _bce(self.forward(images).squeeze(1), targets)
        logits, weights, branch_logits = self.forward(images, return_branches=True)
        of_branches = targets[:, None].expand_as(branch_logits)
        if self.detector.apart:
            self.detector.classifier.observe(branch_logits, labels)
            return _bce(branch_logits, of_branches)
        loss = _bce(logits.squeeze(1), targets)
        if self.aux_loss_weight:
            loss = loss + self.aux_loss_weight * _bce(branch_logits, of_branches)
        if self.entropy_weight:
            loss = loss - self.entropy_weight * attention_entropy(weights).mean()
        return loss

    def share_buffers(self):
        """Give all processes the batch-norm statistics of the first, which is the one that is saved."""
        if self.network is not self.detector:
            for buffer in self.detector.buffers():
                torch.distributed.broadcast(buffer, 0)


def _bce(logits, labels):
    return F.binary_cross_entropy_with_logits(logits.float(), labels)


def attention_entropy(weights):
    """Entropy of attention weights in nats: (N, S) -> (N,), 0 = one scale only, ln S = all alike."""
    return -(weights * weights.clamp_min(1e-12).log()).sum(1)
