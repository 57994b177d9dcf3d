"""The exception for mistakes a user can mend, and the frame that prints it without a traceback."""

import sys
from contextlib import contextmanager, suppress


class UserError(Exception):
    """Something the user can put right; the message says what, where, found, expected and what to do."""


@contextmanager
def friendly_errors(program, *more):
    """Print `UserError` (and the exception types in `more`) as one message and exit with status 2.

    Ctrl-C exits with 130; other exceptions are bugs and keep their traceback. What of the name of a file is
    not UTF-8 is printed as numbers.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # of a notebook, say, which prints them by itself
            stream.reconfigure(errors='backslashreplace')
    try:
        yield
    except (UserError, *more) as error:
        print(f'{program}: error: {error}', file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f'{program}: interrupted', file=sys.stderr)
        raise SystemExit(130) from None
