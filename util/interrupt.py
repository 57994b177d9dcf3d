"""Ctrl-C and SIGTERM as a wish that the loop grants at the next safe place."""

import signal
import sys


class StopRequest:
    """Context manager; `requested` becomes the signal's number after SIGINT or SIGTERM.

    A second signal acts at once, as usual.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.requested = 0

    def __enter__(self):
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.requested = number
        print('\nstopping at the next safe place; once more stops at once', file=sys.stderr)
        for each, handler in self._before.items():
            signal.signal(each, handler)
