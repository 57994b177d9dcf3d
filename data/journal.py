"""What scoring has finished so far: in memory, or on disk so that a killed run goes on where it stopped."""

import json
from dataclasses import dataclass, field

import numpy as np

from util.files import five_decimals


@dataclass
class Scored:
    """One batch: its number in the whole pass, indices of its n good images, (n,) logits, (n, S) weights or None."""

    number: int
    indices: list
    logits: np.ndarray = field(default_factory=lambda: np.empty(0))
    weights: np.ndarray | None = None
    failures: list = field(default_factory=list)


class Memory:
    """Keeps batches in memory; every process gets those of all."""

    def __init__(self):
        self.finished, self.batches = {}, []

    def add(self, scored):
        self.batches.append(scored)

    def results(self, processes):
        return (scored for batches in processes.gather(self.batches) for scored in batches)


class Journal:
    """Appends each batch to a file of this process, one JSON line each, and reads those of an earlier run.

    Files are `scores.part-RANK.jsonl`; their first line is `identity`, plain values that say what is scored and
    how. Parts with another identity are removed. A line that a kill cut short is ignored, so its batch is scored
    again. The number of processes may change between the runs.

    Attributes:
        finished: {number of a batch: images in it, bad ones included}.
    """

    def __init__(self, folder, identity, processes):
        self.folder, self.first_line = folder, json.dumps(identity, sort_keys=True)
        if processes.first:
            for path in self._parts():
                if next(self._lines(path), None) != self.first_line:
                    path.unlink()
        processes.gather(None)  # the others wait until only parts of this very run are left
        self.finished = {scored.number: len(scored.indices) + len(scored.failures) for scored in self._read()}
        processes.gather(None)  # all have read before anyone writes
        self.path, self.file = folder / f'scores.part-{processes.rank}.jsonl', None

    def _parts(self):
        return sorted(self.folder.glob('scores.part-*.jsonl'))

    @staticmethod
    def _lines(path):
        with path.open(encoding='utf-8') as file:
            yield from (line.rstrip('\n') for line in file if line.endswith('\n'))

    def _read(self):
        seen = set()
        for path in self._parts():
            lines = self._lines(path)
            next(lines, None)
            for line in lines:
                try:
                    number, indices, logits, weights, failures = json.loads(line)
                except ValueError:  # cut short, or the empty line after it
                    continue
                if number not in seen:
                    seen.add(number)
                    weights = None if weights is None else np.array(weights)
                    yield Scored(number, indices, np.array(logits), weights, failures)

    def add(self, scored):
        weights = None if scored.weights is None else five_decimals(scored.weights).tolist()
        if self.file is None:
            self.file = self.path.open('a', encoding='utf-8')
            # An empty line ends what a kill may have cut short.
            self.file.write(f'{self.first_line}\n' if self.file.tell() == 0 else '\n')
        line = json.dumps(
            [scored.number, scored.indices, five_decimals(scored.logits).tolist(), weights, scored.failures]
        )
        self.file.write(line + '\n')
        self.file.flush()

    def results(self, processes):
        if self.file:
            self.file.close()
        processes.gather(None)
        return self._read() if processes.first else ()

    def remove(self):
        """Once the scores are written elsewhere."""
        for path in self._parts():
            path.unlink()
