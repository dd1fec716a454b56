"""Progress of long work: live bars on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 15.0  # from one line of a log to the next


class Bar:
    """One piece of work with a known number of steps."""

    def __init__(self, progress: Progress):
        self._progress, self._task = progress, progress.tasks[0]
        self._said = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` says what is being done now."""
        self._progress.update(self._task.id, advance=steps, note=note)
        if self._progress.disable and time.monotonic() - self._said >= LINE_SECONDS:
            self._said, task = time.monotonic(), self._task
            left = timedelta(seconds=round(task.time_remaining or 0))
            self.say(
                f"{task.description}: {task.completed}/{task.total}, about {left} left  {note}"
            )

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar."""
        self._progress.console.print(line, highlight=False, markup=False)


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """A bar with steps, time spent and time left."""
    console = Console(soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    started = time.monotonic()
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        progress.add_task(title, total=total, note="")
        yield Bar(progress)
    console.print(f"{title}: {total} in {time.monotonic() - started:.1f} s", highlight=False)
