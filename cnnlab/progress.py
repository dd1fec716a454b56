"""Progress of long work: live bars on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

TICK = 0.1  # seconds between two looks at the bar
EVERY = 15.0  # seconds between two lines where there is no terminal

T = TypeVar("T")


class Rate(ProgressColumn):
    """Steps a second, lately; nothing where one takes longer than a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed and task.speed >= 1 else "")


class Bar:
    """One piece of work with a known number of steps."""

    def __init__(self, progress: Progress, task):
        self._progress, self._task = progress, task
        self._began = self._said = self._drawn = monotonic()
        self._waiting = 0  # steps that are not drawn yet

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` says what is being done now."""
        self._waiting += steps
        now = monotonic()
        if now - self._drawn < TICK and not note:
            return
        self._progress.update(self._task, advance=self._waiting, note=note)
        self._drawn, self._waiting = now, 0
        if self._progress.disable and now - self._said > EVERY:
            self._said = now
            self.say(f"{self._line(now - self._began)}  {note}".rstrip())

    def each(self, things: Iterable[T]) -> Iterator[T]:
        """Hand on one thing after another; each is a step."""
        for thing in things:
            yield thing
            self.advance()

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar."""
        self._progress.console.print(line, highlight=False, markup=False)

    def _line(self, took: float) -> str:
        task = self._progress.tasks[self._task]
        rate = task.completed / took
        left = (task.total - task.completed) / rate if rate else float("inf")
        done = f"{task.completed:.0f} of {task.total:.0f}"
        return f"{task.description}: {done}, {rate:.3g} a second, {left:.0f} s left"


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """A bar with steps, rate, time spent and time left."""
    console = Console(soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    started = monotonic()
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))
    console.print(f"{title}: {total} in {monotonic() - started:.1f} s", highlight=False)
