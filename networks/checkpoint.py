"""Checkpoints: written whole or not at all, read without executing anything that is in them."""

import hashlib
import os
import pickle
import warnings
from pathlib import Path

import torch


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why."""


def save_checkpoint(path, config, model, **more):
    """Write {'config', 'model', ...} to a temporary file beside `path`, then rename it.

    Args:
        path: destination, or a link to it; an existing file is replaced only once the new one is complete.
        config: from `detector_config`.
        model: the detector's state dict.
        more: further entries (optimizer, epoch, rng...) made of tensors and plain Python values.
    """
    path = Path(path).resolve()
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with temporary.open('wb') as file:
            torch.save({'config': config, 'model': model, **more}, file)
            file.flush()
            os.fsync(file.fileno())  # a rename may otherwise outlive the bytes it names
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path):
    """Read a checkpoint on the CPU with `weights_only=True`.

    Returns:
        dict with at least 'config' and 'model'; a bare state dict comes back with config None.
    Raises:
        CheckpointError: missing, not a checkpoint, or holding objects that would have to be executed.
    """
    path = Path(path)
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        beside = ', '.join(sorted(entry.name for entry in folder.glob('*.pth'))) or 'no .pth files'
        raise CheckpointError(f'{path}: no such checkpoint; in {folder}: {beside}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # torch warns about foreign pickles; they are refused below anyway
            content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path}: refused, the file is damaged or holds Python objects that loading would execute '
            '(expected: tensors and plain values only)'
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, ValueError, KeyError... on damaged files
        raise CheckpointError(f'{path}: not a readable checkpoint ({" ".join(str(error).split()):.200})') from error
    if isinstance(content, dict) and {'config', 'model'} <= content.keys():
        return content
    if isinstance(content, dict) and isinstance(content.get('model'), dict):
        content = content['model']  # the ancestors' {'model': ..., 'optimizer': ...}
    if isinstance(content, dict) and content and all(isinstance(value, torch.Tensor) for value in content.values()):
        # DataParallel saves every name with this prefix.
        return {'config': None, 'model': {name.removeprefix('module.'): value for name, value in content.items()}}
    raise CheckpointError(f'{path}: neither a checkpoint of this project nor a state dict')


def weights_fingerprint(model):
    """Hash of a state dict's names and numbers: the same detector has it wherever it is saved."""
    digest = hashlib.sha256()
    for name, value in sorted(model.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
