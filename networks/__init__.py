"""What is computed: residuals, detectors, checkpoints, training steps."""

from dataclasses import dataclass
from types import MappingProxyType

from networks.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from networks.multiscale_npr import MultiScaleNPR
from networks.npr import grids_of, npr_residual
from networks.single_scale import SingleScaleNPR

__all__ = [
    'DETECTORS',
    'CheckpointError',
    'MultiScaleNPR',
    'SingleScaleNPR',
    'count_parameters',
    'create_detector',
    'detector_config',
    'load_checkpoint',
    'load_detector',
    'npr_residual',
    'save_checkpoint',
    'weights_fingerprint',
]


@dataclass(frozen=True)
class Detector:
    build: type
    default_scales: tuple


DETECTORS = MappingProxyType(
    {
        'single_scale': Detector(SingleScaleNPR, default_scales=(0.5,)),
        'multiscale_attention': Detector(MultiScaleNPR, default_scales=(0.25, 0.5, 0.75)),
    }
)


def detector_config(model_type, npr_scales=None, **options):
    """Everything that is needed to build a detector again, as a plain dict.

    Args:
        model_type: a key of `DETECTORS`.
        npr_scales: scales in (0, 1), or None for the detector's default.
        options: further keyword arguments of the detector's class.
    Raises:
        ValueError: unknown model_type, a scale outside (0, 1), a number of scales that the detector cannot take, or
            grids that do not go with them.
    """
    if model_type not in DETECTORS:
        raise ValueError(f'unknown model_type {model_type!r}; known: {", ".join(DETECTORS)}')
    scales = tuple(float(scale) for scale in npr_scales or DETECTORS[model_type].default_scales)
    for scale in scales:
        if not 0 < scale < 1:
            raise ValueError(f'NPR scale {scale}: expected a number between 0 and 1, both excluded')
    DETECTORS[model_type].build.check_scales(scales)
    grids_of(options.get('grids', 1), scales)
    return {'model_type': model_type, 'npr_scales': scales, **options}


def create_detector(config):
    """Build the detector that `config` describes, with fresh weights."""
    arguments = {key: value for key, value in config.items() if key != 'model_type'}
    return DETECTORS[config['model_type']].build(**arguments)


def load_detector(path, model_type=None, npr_scales=None):
    """Rebuild a detector from a checkpoint, in evaluation mode on the CPU.

    A checkpoint of this project needs no further argument; those given must agree with it. A bare state
    dict (the authors' NPR.pth) carries no config: then `model_type` is required, and missing scales are
    assumed to be the detector's default (config['assumed'] says so). config['calibration'] holds what
    calibrate.py fitted, if it did; config['pixels'] the load_size and crop_size of the training,
    config['joined_on'] those that join_copy.py fitted on.

    Args:
        path: file written by `save_checkpoint`, or a bare state dict.
        model_type, npr_scales: as for `detector_config`, or None.
    Returns:
        (detector, config)
    Raises:
        CheckpointError: unreadable, incomplete, of another detector, or contradicting the arguments.
    """
    checkpoint = load_checkpoint(path)
    stored, assumed = checkpoint['config'], None
    if stored is None and model_type is None:
        raise CheckpointError(
            f'{path}: a bare state dict carries no config; say what it is with --model_type '
            f'({", ".join(DETECTORS)}) and, if not the default, --npr_scales'
        )
    try:
        if stored is None:
            config = detector_config(model_type, npr_scales)
            assumed = f'{path}: a bare state dict; assumed {model_type} {config["npr_scales"]} with default options'
        else:
            config = detector_config(**stored)
            _refuse_contradiction(path, config, model_type, npr_scales)
        detector = create_detector(config)
        detector.load_state_dict(checkpoint['model'])
    except CheckpointError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        what = ' '.join(str(error).split())
        name = model_type if stored is None else stored
        raise CheckpointError(f'{path}: config and weights do not make a detector ({name}): {what:.300}') from error
    extras = {'assumed': assumed, **{key: checkpoint.get(key) for key in ('calibration', 'pixels', 'joined_on')}}
    return detector.eval(), config | {key: value for key, value in extras.items() if value}


def _refuse_contradiction(path, config, model_type, npr_scales):
    asked = {'model_type': model_type, 'npr_scales': npr_scales and tuple(float(scale) for scale in npr_scales)}
    for key, value in asked.items():
        if value is not None and value != config[key]:
            raise CheckpointError(
                f'{path}: the checkpoint says {key} {config[key]}, the command line says {value}; '
                f'leave the flag out or use another checkpoint'
            )


def count_parameters(detector):
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad)
