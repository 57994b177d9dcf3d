"""The published baseline, written a second time from the paper and torchvision's blocks, for parity tests."""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck


class PublishedNPR(nn.Module):
    """arXiv:2312.10461: ResNet-50 stem with a 3x3 convolution, layer1 and layer2, residual at 0.5 times 2/3."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._layer(64, 64, 3, 1)
        self.layer2 = self._layer(256, 128, 4, 2)
        self.fc1 = nn.Linear(512, 1)

    @staticmethod
    def _layer(inside, planes, blocks, stride):
        down = nn.Sequential(nn.Conv2d(inside, planes * 4, 1, stride, bias=False), nn.BatchNorm2d(planes * 4))
        rest = [Bottleneck(planes * 4, planes) for _ in range(blocks - 1)]
        return nn.Sequential(Bottleneck(inside, planes, stride, down), *rest)

    def forward(self, x):
        small = F.interpolate(x, scale_factor=0.5, mode='nearest', recompute_scale_factor=True)
        residual = x - F.interpolate(small, scale_factor=2, mode='nearest', recompute_scale_factor=True)
        x = F.relu(self.bn1(self.conv1(residual * 2.0 / 3.0)))
        x = self.layer2(self.layer1(F.max_pool2d(x, 3, 2, 1)))
        return self.fc1(F.adaptive_avg_pool2d(x, 1).flatten(1))


def randomise_norms(network, seed=0):
    """Give batch norms the statistics of a trained network, so that evaluation mode is a real test."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.3, 0.3),
            ):
                tensor.uniform_(low, high, generator=generator)
    return network.eval()
