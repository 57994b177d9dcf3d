"""torch.compile where the machine can do it; the plain network elsewhere."""

import functools
import warnings

import torch


@functools.cache
def problem(device_type):
    """Why torch.compile does not work on a kind of device ('cpu' or 'cuda') here, in a line; None if it does.

    On a CPU it needs a C++ compiler, on a GPU Triton. A trivial function is compiled to find out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.compile(lambda x: torch.relu(x + 1))(torch.zeros(8, device=device_type))
    except Exception as error:  # each back end raises its own kinds
        return ' '.join(str(error).split())[:200] or type(error).__name__
    return None


def compiled(function, device, shape, say=print):
    """A function of a batch, compiled for one shape; others are computed plainly.

    Args:
        shape: of the batches that are worth it, which take about a minute the first time; an odd last one is not.
        say: is told if this machine cannot compile.
    Returns:
        A function of the same arguments, or the very one where this machine cannot compile.
    """
    if found := problem(device.type):
        say(f'not compiled: torch.compile does not work here ({found})')
        return function
    fast = torch.compile(function, dynamic=False)

    @functools.wraps(function)
    def either(images, **options):
        return (fast if images.shape == shape else function)(images, **options)

    return either
