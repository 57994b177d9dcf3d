"""Ready detectors through torch.hub, from a local clone without installing anything:

    detector = torch.hub.load('path/to/clone', 'multiscale_attention', source='local')
    scores = detector.score(['photo.png', 'other.jpg'])     # probability of fake, one for each
    verdicts = detector.fake(['photo.png', 'other.jpg'])    # above the detector's threshold?
    rates = detector.false_alarms(['photo.png'])            # share of real images that score as high, at most
    logits = detector(images)                               # (N, 3, H, W), ImageNet-normalised -> (N, 1)

What each detector was trained on and what it cannot do is in checkpoints/pretrained/NAME.md. A program that has
imported other packages called data, networks, options or util cannot load these beside them.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn

from data.images import as_rgb, load_rgb
from data.transforms import ScoreTransform, normalise, wanted_pixels
from networks import CheckpointError, create_detector, detector_config, load_detector
from networks.verdict import false_alarms, threshold

dependencies = ['torch', 'torchvision', 'numpy', 'PIL', 'scipy']  # that torch.hub looks for
PRETRAINED = Path(__file__).parent / 'checkpoints' / 'pretrained'


class Ready(nn.Module):
    """A detector with the pixels it wants.

    forward(images): as the detector itself. Attributes: detector, config.
    """

    def __init__(self, detector, config):
        super().__init__()
        self.detector, self.config = detector, config
        self.eval()

    def forward(self, images, **options):
        return self.detector(images, **options)

    def score(self, images, crop_size=None):
        """Probability of fake, not calibrated, as `detect.py` gives it in fp32.

        Args:
            images: a path or an RGB PIL image of any size, or a list of such; resized and cropped in the middle as the
                detector wants (data.transforms.wanted_pixels).
            crop_size: pixels of another crop, if any.
        Returns:
            (n,) float32 on the CPU.
        Raises:
            BadImage: a file that is no image.
        """
        return self._logits(images, crop_size).sigmoid()

    def fake(self, images, crop_size=None):
        """Verdicts: whether logits exceed the threshold that was frozen on validation, 0 if there is none.

        Args, Raises: as for score. Returns: (n,) bool on the CPU.
        """
        return self._logits(images, crop_size) > threshold(self.config)

    def false_alarms(self, images, crop_size=None):
        """How rare such scores are among real validation images: at most this share of them scores as high.

        Args, Raises: as for score. Returns: (n,) float64 on the CPU, 1 for scores below all frozen thresholds; None if
            the detector was frozen at none.
        """
        rates = false_alarms(self._logits(images, crop_size), self.config)
        return rates if rates is None else torch.from_numpy(rates)

    @torch.inference_mode()
    def _logits(self, images, crop_size):
        images = images if isinstance(images, list | tuple) else [images]
        load_size, usual = wanted_pixels(self.config)
        transform, device = ScoreTransform(load_size, crop_size or usual), next(self.parameters()).device
        pixels = [transform(load_rgb(image) if isinstance(image, str | Path) else as_rgb(image)) for image in images]
        logits = [self.detector(normalise(each[None]).to(device)) for each in pixels]
        return torch.cat(logits).squeeze(1).float().cpu() if logits else torch.empty(0)


def single_scale(pretrained=True):
    """A small NPR baseline (one residual, as Tan et al., CVPR 2024; networks.resnet says how it differs)."""
    return _ready('single_scale', pretrained, fine=True)


def multiscale_attention(pretrained=True):
    """Multi-scale NPR: residuals at 0.25, 0.5 and 0.75, weighed for each image by their evidence."""
    return _ready('multiscale_attention', pretrained, fine=True, fusion='evidence')


def fine_npr(pretrained=True):
    """A small network that looks at one residual at full resolution, trained on outputs of published generators and on
    made ones, every position by itself; carries a frozen threshold."""
    return _ready('fine_npr', pretrained, 'single_scale', fine=True)


def fine_npr_copy(pretrained=True):
    """As fine_npr, and reads an image's verdict against that of its own copy at 0.75: better on diffusion models, worse
    on StyleGAN2's faces (its card)."""
    return _ready('fine_npr_copy', pretrained, 'single_scale', fine=True, copy=0.75)


def _ready(name, pretrained, model_type=None, **options):
    if not pretrained:
        config = detector_config(model_type or name, **options)
        return Ready(create_detector(config), config)
    path = PRETRAINED / f'{name}.pth'
    expected = dict(reversed(line.split()) for line in (PRETRAINED / 'SHA256SUMS').read_text().splitlines())
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != expected[path.name]:
        raise CheckpointError(f'{path}: not the file that SHA256SUMS names; fetch it again (git checkout -- {path})')
    return Ready(*load_detector(path))
