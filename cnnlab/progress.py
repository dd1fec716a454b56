"""Progress of long work: live bars on a terminal, one line at the end anywhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """One piece of work with a known number of steps."""

    def __init__(self, progress: Progress, task):
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` says what is being done now."""
        self._progress.update(self._task, advance=steps, note=note)

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
        yield Bar(progress, progress.add_task(title, total=total, note=""))
    console.print(f"{title}: {total} in {time.monotonic() - started:.1f} s", highlight=False)
