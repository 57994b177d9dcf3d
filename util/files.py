"""Files that are either whole or absent: every writer here goes through a temporary name and a rename."""

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from util.errors import UserError


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; on success it replaces `path`, on any exception it is removed."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', suffix='.tmp', dir=path.parent)
    os.close(handle)
    temporary = Path(temporary)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp gives 0600; other users of the box want to read results
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='surrogateescape')


def write_json(path, value):
    """Write `value` as indented JSON. NaN is refused: a metric that is undefined is written as null."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def write_csv(path, frame, **options):
    """Write a pandas frame without its index; options: for its to_csv. Names that are not UTF-8 stay as they are."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, errors='surrogateescape', **options)


def read_json(path):
    return json.loads(Path(path).read_text(encoding='utf-8'))


@contextmanager
def only_writer(folder):
    """Let no other run write scores into `folder` meanwhile; a lock of the system, so that a kill leaves none behind.

    Raises:
        UserError: another one does.
    """
    lock = FileLock(Path(folder) / '.scores.lock')
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f'{folder}: another run is writing scores there') from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def make_folder(path):
    """Create a folder (and those above it) and check that files can be written there.

    Raises:
        UserError: it cannot be created or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f'{path}: cannot write there ({error.strerror}); choose another folder') from error
    return path


@contextmanager
def whole_folder(path):
    """Yield a new folder beside `path`, which gets that name at the end; what a kill left unfinished is removed first.

    Raises:
        UserError: it cannot be created or written to.
    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}.tmp')
    shutil.rmtree(unfinished, ignore_errors=True)
    yield make_folder(unfinished)
    unfinished.rename(path)


def discard(folder):
    """Remove a folder so that an interruption never leaves half of it under its name."""
    folder = Path(folder)
    aside = folder.with_name(f'.{folder.name}.old')
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def five_decimals(array):
    """float64, rounded: the last bits of a float32 depend on how many threads computed it, and no file should."""
    return np.round(np.asarray(array, np.float64), 5)


def shortest_tails(*lists):
    """Names for paths: as few of their last parts, joined by _, as make all of a list differ, for all lists alike.

    Args:
        lists: of tuples of str.
    Returns:
        One list of str for each.
    Raises:
        ValueError: two of a list are the same, however much is taken.
    """
    for length in range(1, max((len(parts) for each in lists for parts in each), default=1) + 1):
        named = [['_'.join(parts[-length:]) for parts in each] for each in lists]
        if all(len(set(names)) == len(names) for names in named):
            return named
    raise ValueError('two paths are the same')
