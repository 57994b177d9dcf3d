"""Folders of training runs: which may be created, continued or replaced, and what is kept in them."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

from util.errors import UserError
from util.files import discard, make_folder, read_json, write_json, write_text

OPTIONS_FILE = 'opt.json'
# Flags that may differ when a run is continued: they choose where and how long, not what is computed.
FREE_TO_CHANGE = frozenset(
    {'cache_dir', 'checkpoints_dir', 'continue_train', 'dataroot', 'gpu_ids', 'loss_freq', 'niter', 'no_cache'}
    | {'num_threads', 'overwrite'}
)

# What runs did that were begun before there were these flags.
LATER_FLAGS = {'--accumulate': 1, '--compile': False, '--pairs': False, '--fine': False, '--cosine': False}
LATER_FLAGS |= {'--fusion': 'attention', '--label_smoothing': 0.0, '--patch_loss': False, '--grids': [1]}


def open_run(folder, identity, continue_train, overwrite):
    """Prepare the folder of a run.

    Args:
        folder: Path of the run.
        identity: dict of what decides the result ('options': all flags, precision, processes, images); compared with
            that of the run that is continued.
        continue_train, overwrite: the user's leave to use an existing folder.
    Raises:
        UserError: the run exists and neither was given; nothing to continue; other options than before.
    """
    name = folder.name
    if name in ('', '.', '..') or identity['options']['name'] != name:
        raise UserError(f'--name {identity["options"]["name"]!r}: expected a plain folder name, without slashes')
    if continue_train and overwrite:
        raise UserError('--continue_train and --overwrite contradict each other: give one of them')
    exists = (folder / OPTIONS_FILE).is_file()
    if continue_train:
        if not exists:
            raise UserError(f'{folder}: no run to continue (no {OPTIONS_FILE}); leave --continue_train out to start it')
        _refuse_changes(folder, read_json(folder / OPTIONS_FILE), identity)
    elif exists and overwrite:
        discard(folder)
    elif folder.exists() and (not folder.is_dir() or any(not path.name.startswith('.') for path in folder.iterdir())):
        cure = '--continue_train to go on with it, --overwrite to replace it, or ' if exists else ''
        empty = ' (there is no checkpoint in it)' if exists and not any(folder.glob('*.pth')) else ''
        raise UserError(f'{folder}: exists already{empty}; use {cure}another --name')
    make_folder(folder)
    for half_written in folder.glob('.*.tmp'):  # left by a killed process
        half_written.unlink()


def _refuse_changes(folder, before, now):
    now = json.loads(json.dumps(now))  # tuples become lists, as in the file
    before, now = (
        {**{f'--{key}': value for key, value in facts['options'].items() if key not in FREE_TO_CHANGE}, **facts}
        for facts in (before, now)
    )
    before = {**LATER_FLAGS, **before}
    changed = [
        f'  {key}: {before.get(key)} before, {now[key]} now'
        for key in sorted(now)
        if key != 'options' and before.get(key) != now[key]
    ]
    if changed:
        raise UserError(f'{folder}: --continue_train needs the same options as before:\n' + '\n'.join(changed))


class RunLog:
    """Options, one JSON line per epoch, tensorboard events.

    The lines are rewritten whole from the history that the checkpoint carries, so a run that was killed
    and continued has the same file as one that was not (apart from the times in it).

    record: what opt.json says, or None to leave it as it is.
    """

    def __init__(self, folder, record, history):
        self.folder = Path(folder)
        if record is not None:
            write_json(self.folder / OPTIONS_FILE, record)
        self.events = SummaryWriter(str(self.folder / 'events'))
        self._write(history)  # a kill may have come between the checkpoint and its line

    def loss(self, value, step):
        self.events.add_scalar('loss/step', value, step)

    def epoch(self, history):
        """Write the lines of `history`; the last one also goes to tensorboard and is printed."""
        last = history[-1]
        for key, value in last.items():
            if isinstance(value, int | float) and key != 'epoch':
                self.events.add_scalar(key, value, last['epoch'])
        self.events.flush()
        self._write(history)
        print_line(last)

    def _write(self, history):
        write_text(self.folder / 'train_log.jsonl', ''.join(json.dumps(line) + '\n' for line in history))

    def close(self):
        self.events.close()


def print_line(line):
    attention = {key.removeprefix('attention/'): value for key, value in line.items() if key.startswith('attention/')}
    entropy = attention.pop('entropy', None)
    weights = '  attention ' + ' '.join(f'{scale}:{value:.2f}' for scale, value in attention.items())
    print(
        f'epoch {line["epoch"]:3d}  loss {line["train/loss"]:.4f}  val loss {line["val/loss"]:.4f}  '
        f'acc {line["val/accuracy"]:.4f} (real {line["val/real_accuracy"]:.4f}, fake {line["val/fake_accuracy"]:.4f})  '
        f'AP {line["val/ap"]:.4f}' + (weights if entropy is not None else ''),
        flush=True,
    )
