"""Runs steps on one or several GPUs, remembers what is done, goes on after a kill."""

import ctypes
import fcntl
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from analysis.words import count
from util.errors import UserError
from util.files import make_folder, read_json, write_json
from util.interrupt import StopRequest
from util.machine import cores

POLL = 0.1  # seconds
PATIENCE = 600  # tenths of a second that a restart waits for the processes of a killed run
PRCTL, PR_SET_PDEATHSIG = getattr(ctypes.CDLL(None), 'prctl', None), 1  # linux/prctl.h; loaded before any fork
TAIL = 15  # lines of a failed step's log that are shown
ROOT = Path(__file__).resolve().parents[1]


class Lock:
    """A lock on the output folder that running steps hold too: a restart waits until those of a killed run are gone.

    Raises:
        UserError: they are still there after that time.
    """

    def __init__(self, folder):
        self.file = (folder / '.lock').open('w')
        os.set_inheritable(self.file.fileno(), True)
        for attempt in range(PATIENCE):
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if attempt == 0:
                    print(f'waiting for another run, or what is left of one, in {folder}')
                time.sleep(0.1)
        raise UserError(f'{folder}: another run is going on there (or steps of a killed one, which end by themselves)')


def stop_with_parent():
    """In a new process: have the kernel (Linux) ask it to stop when the pipeline is gone, even by SIGKILL."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Running:
    """A step that has been started."""

    step: object
    slot: str | None
    command: list
    process: subprocess.Popen
    copying: threading.Thread  # of its output
    started: float = field(default_factory=time.monotonic)


def slots(gpus, side_by_side):
    """Where steps may run, for Queue.

    Args:
        gpus: numbers of CUDA devices as torch counts them here, or None; side_by_side: steps at a time without.
    Raises:
        UserError: both; a device that is not there.
    """
    if not gpus:
        return [None] * side_by_side
    if side_by_side > 1:
        raise UserError('--side_by_side is for a CPU; several steps on one GPU: --gpus 0,0')
    if max(gpus) >= (found := torch.cuda.device_count()):
        raise UserError(f'--gpus {max(gpus)}: {count(found, "CUDA device")} found; numbers start at 0')
    return list(gpus)


class Queue:
    """Runs the steps of a plan.

    Args:
        steps: [pipeline.plan.Step]; out: folder of logs/ and steps/ (marks of what is done).
        gpus: ids of GPUs, one step at a time on each (an id may come several times); empty: one step at a time, on
            whatever its script chooses; [None] * n: n at a time, which share the cores.
    """

    def __init__(self, steps, out, gpus=()):
        self.steps, self.out, self.slots = list(steps), make_folder(out), list(gpus) or [None]
        self.logs, self.marks = make_folder(out / 'logs'), make_folder(out / 'steps')
        self.side_by_side = len(self.slots)
        self.state = {}  # name: 'done', 'failed' or 'skipped'; running and waiting steps are not in it
        self.running, self.lock = [], Lock(out)

    def is_done(self, step):
        """Whether this very command has finished before."""
        mark = self.marks / f'{step.name}.json'
        if step.made is not None and not step.made.is_file():
            return False
        if not mark.is_file():
            return step.made is not None
        return read_json(mark)['command'][1:] == step.command()[1:]  # whichever Python it was

    def run(self):
        """Run everything; returns {name: 'done', 'failed' or 'skipped'}.

        Raises:
            SystemExit: SIGINT or SIGTERM came; running steps were asked to stop, and go on at the next start.
        """
        with StopRequest() as stop, tqdm(total=len(self.steps), desc='steps', unit='step', disable=None) as bar:
            while len(self.state) < len(self.steps):
                if stop.requested:
                    self._stop()
                    print('stopped; the same command goes on')
                    raise SystemExit(128 + stop.requested)
                before = len(self.state)
                self._finish()
                self._start()
                bar.update(len(self.state) - before)
                if len(self.state) == before:
                    time.sleep(POLL)
        return self.state

    def _finish(self):
        for each in [each for each in self.running if each.process.poll() is not None]:
            self.running.remove(each)
            each.copying.join()
            self.slots.append(each.slot)
            seconds, name = time.monotonic() - each.started, each.step.name
            if each.process.returncode == 0:
                write_json(self.marks / f'{name}.json', {'command': each.command, 'seconds': round(seconds, 1)})
                self.state[name] = 'done'
                tqdm.write(f'{name}: done in {seconds:.0f} s')
            else:
                self.state[name] = 'failed'
                log = self.logs / f'{name}.log'
                lines = log.read_text(encoding='utf-8', errors='replace').replace('\r', '\n').splitlines()[-TAIL:]
                tqdm.write(f'{name}: FAILED (exit status {each.process.returncode}); end of {log}:')
                tqdm.write('\n'.join(f'    {line}' for line in lines))

    def _start(self):
        active = {each.step.name for each in self.running}
        for step in self.steps:
            if step.name in self.state or step.name in active:
                continue
            if any(self.state.get(name) in ('failed', 'skipped') for name in step.needs):
                self.state[step.name] = 'skipped'
                tqdm.write(f'{step.name}: skipped, because it needs {", ".join(step.needs)}')
            elif all(self.state.get(name) == 'done' for name in step.needs) and all(
                n in self.state for n in step.after
            ):
                if self.is_done(step):
                    self.state[step.name] = 'done'
                    tqdm.write(f'{step.name}: done before')
                elif self.slots:
                    self._launch(step, self.slots.pop(0))

    def _forget(self, name):
        """Remove the mark of a step and of all that build on it: what it makes anew makes theirs out of date."""
        (self.marks / f'{name}.json').unlink(missing_ok=True)
        for step in self.steps:
            if name in step.needs + step.after:
                self._forget(step.name)

    def _launch(self, step, slot):
        self._forget(step.name)
        command = step.command()
        environment = {**os.environ, 'TQDM_MININTERVAL': '30', 'PYTHONUNBUFFERED': '1'}
        if slot is not None:
            allowed = os.environ.get('CUDA_VISIBLE_DEVICES')  # a user's choice, among which `slot` counts
            environment['CUDA_VISIBLE_DEVICES'] = allowed.split(',')[slot] if allowed else str(slot)
        elif self.side_by_side > 1:
            environment.setdefault('OMP_NUM_THREADS', str(max(1, cores() // self.side_by_side)))
        log = (self.logs / f'{step.name}.log').open('w', encoding='utf-8')
        where = '' if slot is None else f' on GPU {slot}'
        tqdm.write(f'{step.name}: started{where}')
        process = subprocess.Popen(
            [*command, *map(str, step.resume())],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(self.lock.file.fileno(),),
            preexec_fn=stop_with_parent,
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
            text=True,
        )
        alone = not self.slots and not self.running
        copying = threading.Thread(target=self._copy, args=(process, log, alone))
        copying.start()
        self.running.append(Running(step, slot, command, process, copying))

    @staticmethod
    def _copy(process, log, show):
        """What a step prints goes to its log, and to the screen if it runs alone."""
        with log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                if show:
                    tqdm.write(f'    {line}', end='')

    def _stop(self):
        for each in self.running:
            each.process.send_signal(signal.SIGTERM)
        for each in self.running:
            each.process.wait()
            each.copying.join()
