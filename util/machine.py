"""Which device, which precision, how many processes: decided once, said aloud."""

import ctypes
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from util.errors import UserError


@dataclass(frozen=True)
class Processes:
    """This process among those that torchrun started; rank 0 of 1 without torchrun."""

    rank: int = 0
    world: int = 1

    @property
    def first(self):
        return self.rank == 0

    def say(self, text):
        """Print, in the first process only."""
        if self.first:
            print(text)

    def gather(self, value):
        """The values of all processes, in order of rank, on every process."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def close(self):
        if self.world > 1:
            distributed.destroy_process_group()


def start(gpu_ids=None, precision='auto'):
    """Choose device and precision and join torchrun's process group, if there is one.

    Args:
        gpu_ids: None (CUDA if there is one, else CPU), '-1' (CPU), or one GPU's number.
        precision: 'auto', 'fp32' or 'bf16'.
    Returns:
        (device, precision, processes)
    Raises:
        UserError: a GPU that is not there; several GPUs without torchrun.
    """
    world = int(os.environ.get('WORLD_SIZE', 1))
    device = choose_device(gpu_ids, world)
    precision = choose_precision(precision, device)
    if device.type == 'cuda':
        torch.cuda.set_device(device)
    else:
        keep_freed_memory()
    if world == 1:
        processes = Processes()
    else:
        distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
        processes = Processes(distributed.get_rank(), world)
    if processes.first:
        what = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
        several = f', {world} processes' if world > 1 else ''
        print(f'device: {device} ({what}{several}), precision: {precision}')
    return device, precision, processes


def keep_freed_memory():
    """Have glibc reuse freed blocks instead of returning each activation to the kernel and faulting it in anew.

    On a CPU this is worth as much as the memory format (docs/decisions.md). Does nothing with other C libraries.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)  # never
    mallopt(top_pad, 64 * 2**20)


def only_one_process(program):
    """Stop a script that does not share its work when torchrun starts it several times."""
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        raise UserError(f'{program} runs in one process; start it with python, not torchrun')


def cores():
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def choose_device(gpu_ids=None, world=1):
    """The device that --gpu_ids names, or the one that is there; see `start`."""
    if gpu_ids == '-1':
        return torch.device('cpu')
    if gpu_ids is None:
        local = int(os.environ.get('LOCAL_RANK', 0))
        if not torch.cuda.is_available():
            return torch.device('cpu')
        if local >= torch.cuda.device_count():
            raise UserError(f'torchrun started more processes than the {torch.cuda.device_count()} GPUs found')
        return torch.device('cuda', local)
    if world > 1:
        raise UserError(f'--gpu_ids {gpu_ids}: torchrun gives each process its GPU; choose with CUDA_VISIBLE_DEVICES')
    if ',' in gpu_ids:
        raise UserError(
            f'--gpu_ids {gpu_ids}: one process uses one GPU; for several run\n'
            f'  CUDA_VISIBLE_DEVICES={gpu_ids} torchrun --nproc_per_node {gpu_ids.count(",") + 1} train.py ...'
        )
    found = torch.cuda.device_count()
    if not gpu_ids.isdigit() or int(gpu_ids) >= found:
        raise UserError(
            f'--gpu_ids {gpu_ids}: {found} CUDA devices found; leave the flag out to use what is there, '
            'or pass -1 for the CPU'
        )
    return torch.device('cuda', int(gpu_ids))


def choose_precision(precision, device):
    """bf16 where the hardware computes it natively, else fp32 (emulated bf16 is many times slower)."""
    if precision != 'auto':
        return precision
    if device.type == 'cuda':
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpuinfo = Path('/proc/cpuinfo')
        flags = cpuinfo.read_text() if cpuinfo.is_file() else ''
        native = 'avx512_bf16' in flags or 'amx_bf16' in flags
    return 'bf16' if native else 'fp32'


def describe():
    """Facts that make a result traceable: versions, machine, commit (None outside a git checkout)."""
    try:
        commit = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=12'],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {
        'python': platform.python_version(),
        'torch': torch.__version__,
        'system': f'{platform.system()} {platform.machine()}',
        'cores': cores(),
        'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        'commit': commit,
    }
