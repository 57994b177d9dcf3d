"""The two residual blocks of He et al. (CVPR 2016, arXiv:1512.03385) and the short trunks made of them."""

import torch
from torch import nn


def _shortcut(inside, outside, stride):
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; (N, inside, H, W) -> (N, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, inside, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, width, stride)

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)).add_(identity))  # in place: less memory


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions; (N, inside, H, W) -> (N, 4 * width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, inside, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, 4 * width, stride)

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)).add_(identity))


def stage(block, inside, width, count, stride):
    """`count` blocks, the first with `stride`; returns a Sequential with width * block.expansion channels out."""
    first = block(inside, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width) for _ in range(count - 1)))


class Trunk(nn.Module):
    """3x3 stem and two stages; by default the ResNet of NPR without its last two stages.

    Args:
        block: BasicBlock or Bottleneck.
        counts: blocks in layer1 and layer2 (stride 2).
        in_channels: C_in, of what the stem sees.
        fine: half the width, and full resolution where the default halves it twice (no stride in the stem, no pooling):
            up-sampling leaves traces of a few pixels (docs/experiments.md).
    Attributes:
        channels: C = 128 * block.expansion, half of it if fine.
        cell: 8, or 4 if fine: pixels between two positions of `maps`.
    maps(x): (N, C_in, H, W) -> (N, C, ceil(H / 8), ceil(W / 8)), ceil(H / 4) if fine.
    features(x): (N, C) float32, the mean of `maps` over positions.
    """

    def __init__(self, block, counts, fine=False, in_channels=3):
        super().__init__()
        width = 32 if fine else 64
        self.channels = 2 * width * block.expansion
        self.cell = 4 if fine else 8
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1 if fine else 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if fine else nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(block, width, width, counts[0], stride=2 if fine else 1)
        self.layer2 = stage(block, width * block.expansion, 2 * width, counts[1], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def maps(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))

    def features(self, x):
        return torch.mean(self.maps(x), (2, 3), dtype=torch.float32)

    forward = features


FINE = BasicBlock, (1, 1), True  # arguments of the fine Trunk that detectors use
