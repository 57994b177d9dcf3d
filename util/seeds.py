"""Seeds for every source of randomness."""

import random

import numpy as np
import torch

# Data loading draws from seeds of its own, so torch's generators are the only state of a training run.


def seed_everything(seed):
    """Seed Python, NumPy and torch (CPU and all GPUs)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_rng():
    """State of torch's generators on the CPU and, if one is used, on the current GPU."""
    state = {'cpu': torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_rng(state):
    torch.set_rng_state(state['cpu'])
    if 'cuda' in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state['cuda'])
