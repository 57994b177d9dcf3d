"""torch.compile where the machine can do it; the plain network elsewhere."""

import functools
import warnings

import torch


@functools.cache
def problem(device_type):
    """Why torch.compile does not work on a kind of device ('cpu' or 'cuda') here, in a line; None if it does.

    On a CPU it needs a C++ compiler, on a GPU Triton. A small function and its gradient are compiled to find out, anew:
    what an earlier compiler left on disk proves nothing.
    """
    weight = torch.ones(8, device=device_type, requires_grad=True)
    try:
        with warnings.catch_warnings(), torch.compiler.config.patch(force_disable_caches=True):
            warnings.simplefilter('ignore')
            torch.compile(lambda x: torch.relu(x + 1).sum())(weight).backward()
    except Exception as error:  # each back end raises its own kinds
        return ' '.join(str(error).split())[:200] or type(error).__name__
    return None


def compiled(function, device, say=print):
    """A function of a batch through torch.compile, which takes up to a minute for each new shape, eight at most.

    Args:
        say: is told if this machine cannot compile; then the very function comes back.
    """
    if found := problem(device.type):
        say(f'not compiled: torch.compile does not work here ({found})')
        return function
    return torch.compile(function, dynamic=False)
