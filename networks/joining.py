"""One detector out of several that were trained apart, each on data of its own."""

import torch

from networks import CheckpointError, create_detector, detector_config

KIND = {'model_type': 'single_scale', 'fine': True}


def join(checkpoints):
    """The detector whose logit is the mean of the logits of several, as a branch each (fusion 'average').

    Args:
        checkpoints: {path: content from load_checkpoint} of two or more `single_scale --fine` detectors.
    Returns:
        (config, state dict, the load_size and crop_size that all were trained with).
    Raises:
        CheckpointError: damaged, a detector of another kind, or trained on other pixels than the first; scales of which
            some are equal and some are not.
    """
    pixels = {}
    for path, content in checkpoints.items():
        config = content['config'] or {}
        if any(config.get(key) != value for key, value in KIND.items()):
            raise CheckpointError(f'{path}: only detectors of train.py --model_type single_scale --fine can be joined')
        try:
            create_detector(config).load_state_dict(content['model'])
        except (RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f'{path}: config and weights do not make a detector ({error!s:.200})') from error
        pixels[path] = content.get('pixels')
    first, *others = pixels
    for path in others:
        if pixels[path] != pixels[first]:
            raise CheckpointError(f'{path}: was trained on {pixels[path]}, {first} on {pixels[first]}')
    members = [content['model'] for content in checkpoints.values()]
    scales = [content['config']['npr_scales'][0] for content in checkpoints.values()]
    try:
        config = detector_config('multiscale_attention', scales, fine=True, fusion='average')
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    state = create_detector(config).state_dict()
    for number, member in enumerate(members):
        trunk = {name: value for name, value in member.items() if not name.startswith('fc1.')}
        state |= {f'feature_branches.{number}.{name}': value for name, value in trunk.items()}
    state['classifier.weight'] = torch.cat([member['fc1.weight'] for member in members])
    state['classifier.bias'] = torch.cat([member['fc1.bias'] for member in members])
    return config, state, pixels[first]
