"""The one exception that means: the input is wrong, here is what it held and what is allowed; and
how a command ends."""

import os
import select
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input. Stages print its message without a traceback and exit with status 2."""


def run_command(main: Callable[[], int | None]) -> None:
    """Call a command's `main`, and exit with the status that it returns; bad input is one clear
    message, with status 1. Where nobody reads on what it prints, as `head` does, it ends quietly,
    with status 1."""
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        if not _unread():
            raise  # it was another pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to print
        status = 1
    sys.exit(status)


def _unread() -> bool:
    """Whether what read the output has ended."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))
