"""Independent stages side by side: `python -m cnnlab.launch --jobs N` in a study's folder.

DVC runs the stages of a pipeline one after another (dvc#755). This starts `dvc repro -s STAGE` for
each stage once all that it needs has been made, N at once. The rest is left to DVC: what is up to
date, what is stored, dvc.lock. So it ends with what plain `dvc repro` ends with.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from urllib.parse import quote

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cnnlab.errors import UserError
from cnnlab.processes import CORES

TICK = 0.1  # seconds between two looks at what is running
GRACE = 30.0  # seconds until what does not end by itself is killed
TAIL = 20  # lines of a failed stage's log that are shown

# -P: a file of the study's folder must not pass for a module of DVC.
# --wait-for-lock: DVC has the repository's lock except while a stage's command runs, and without
# this gives up after 3 s of waiting. After the command that would throw away its work, or hide that
# it failed behind an error that looks worth another try.
DVC = (sys.executable, "-P", "-m", "dvc", "--wait-for-lock")

# All that DVC says for its LockError. The second is what remains in spite of --wait-for-lock: the
# stage is already being made by a DVC that somebody else started.
LOCKED = re.compile(
    r"ERROR: (failed to reproduce '.+': )?"
    r"(Unable to acquire lock\.|'.+' is busy, it is being blocked by:)"
)


def plan() -> dict[str, set[str]]:
    """The stages that `dvc repro` would look at, each with those right before it.

    These are the ones of this folder's dvc.yaml, foreach stages expanded, and what they need from
    elsewhere (a .dvc file with the raw images). Raises UserError where DVC finds no such pipeline.
    """
    if not Path("dvc.yaml").is_file():
        raise UserError(f"{Path.cwd()} has no dvc.yaml: run this in a study's folder")
    # In process, with the two calls that `dvc repro` and `dvc dag` make themselves: the names are
    # those that `dvc repro -s` takes in this folder, and nothing made for people is parsed.
    try:
        with Repo() as repo:
            wanted = set(repo.stage.collect("dvc.yaml", with_deps=True))
            stages, graph = [s for s in repo.index.stages if s in wanted], repo.index.graph
            return {s.addressing: {n.addressing for n in graph.successors(s)} for s in stages}
    except DvcException as error:
        raise UserError(f"{Path.cwd() / 'dvc.yaml'}: {error}") from error


def stale(needs: dict[str, set[str]]) -> set[str]:
    """The stages that DVC finds changed, and all after them. On the others no time is spent."""
    command = [*DVC, "status", "--json", "--with-deps", "dvc.yaml"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode != 0:
        return set(needs)  # each is asked for itself, and says what is wrong
    changed = set(json.loads(asked.stdout))
    for stage in TopologicalSorter(needs).static_order():
        if needs[stage] & changed:
            changed.add(stage)
    return changed


class Run:
    """A stage on its way. While another DVC has it locked, it is tried again and again."""

    def __init__(self, stage: str, logs: Path, env: dict[str, str], say: Callable[[str], None]):
        self.stage, self.log = stage, logs / f"{quote(stage, safe='@')}.log"
        self.began = time.monotonic()
        self._env, self._say, self._refused = env, say, 0
        self._start()

    def _start(self) -> None:
        self._again = None  # when to try again, if it is neither running nor at its end
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*DVC, "repro", "--single-item", self.stage],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own: a terminal's Ctrl-C is not for it
            )

    @property
    def took(self) -> timedelta:
        return timedelta(seconds=int(time.monotonic() - self.began))

    def last_lines(self, lines: int, size: int = 100_000) -> list[str]:
        """The last lines of its log that are not empty, from the last `size` bytes."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - size))
            text = log.read().decode(errors="replace")
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    def ended(self) -> str | None:
        """`ran`, `cached`, `up to date` or `failed`; None while it goes on."""
        if self._again is not None:
            if time.monotonic() >= self._again:
                self._start()
            return None
        status = self.process.poll()
        if status is None:
            return None
        if status == 0:
            text = self.log.read_text(errors="replace")
            marks = {
                "didn't change, skipping\n": "up to date",
                "' is cached - skipping run": "cached",
            }
            return next((how for mark, how in marks.items() if mark in text), "ran")
        # The last error is DVC's own; before it a stage may have printed what it likes.
        errors = [line for line in self.last_lines(TAIL) if line.startswith("ERROR: ")]
        if not errors or not LOCKED.match(errors[-1]):
            return "failed"
        if self._refused == 0:
            self._say(f"{self.stage} waits. {errors[-1]}")
        self._refused += 1
        self._again = time.monotonic() + min(0.5 * self._refused, 10)
        return None


def view(running: list[Run], finished: int, total: int) -> Group:
    """What a terminal shows: how far it is, and what each running stage is at."""
    head, table = Table.grid(padding=(0, 1)), Table.grid(padding=(0, 2), expand=True)
    head.add_row(ProgressBar(total, finished, width=24), f"{finished}/{total} stages")
    for options in ({}, {"justify": "right"}, {"ratio": 1, "style": "dim"}):
        table.add_column(no_wrap=True, overflow="ellipsis", **options)
    for run in running:
        table.add_row(run.stage, str(run.took), Text.from_ansi("".join(run.last_lines(1, 4000))))
    return Group(head, table)


def signal_group(run: Run, number: int) -> bool:
    """Send a signal to DVC, the stage's command and all they started; whether any is there."""
    run.process.poll()  # a child that has ended is there until it is asked for
    try:
        os.killpg(run.process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stop(running: list[Run], signals: list[int]) -> None:
    """Ctrl-C for the commands of these stages, and the hard way after one more signal.

    Returns when nothing is left. DVC is spared and ends by itself once its command has: it writes
    dvc.lock and its list of locks in place, and cut off there leaves a file no later run can read.
    """
    told: dict[psutil.Process, int] = {}  # the last signal that each process was sent
    deadline, before = time.monotonic() + GRACE, len(signals)
    while running := [run for run in running if signal_group(run, 0)]:
        number = signal.SIGINT if len(signals) == before else signal.SIGKILL
        for run in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(run.process.pid).children(recursive=True):
                    told.setdefault(process, 0)
        for process in [process for process, had in told.items() if had != number]:
            told[process] = number
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if time.monotonic() > deadline:
            for run in running:
                signal_group(run, signal.SIGKILL)
                run.process.wait()
            return
        time.sleep(TICK)


def launch(jobs: int) -> int:
    """Bring this folder's pipeline up to date, at most `jobs` stages at once.

    Returns the exit status: 0; 1 if a stage failed, once all that do not need it have ended; 130
    after Ctrl-C, SIGTERM or SIGHUP. Raises UserError for bad input.
    """
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: allowed: 1 or more")
    began, needs = time.monotonic(), plan()
    todo = stale(needs)
    how = {stage: "up to date" for stage in needs if stage not in todo}
    order = TopologicalSorter({stage: needs[stage] & todo for stage in needs if stage in todo})
    order.prepare()
    signals: list[int] = []  # noted here and acted on below, so that no child is missed
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, _: signals.append(number))
    logs = Path(tempfile.mkdtemp(prefix="cnnlab-launch-"))
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    console = Console(highlight=False, markup=False)
    say = functools.partial(console.print, soft_wrap=True)  # lines stay whole
    live = Live(console=console, auto_refresh=False, transient=True)
    ready, running, failed = list(order.get_ready()), [], []
    with live if console.is_terminal else contextlib.nullcontext():
        try:
            while (ready or running) and not signals:
                while ready and len(running) < jobs:
                    # A stage that nothing runs beside, as `decide` is, has all cores.
                    beside = min(jobs, len(running) + len(ready))
                    cores = {CORES: str(max(1, (os.cpu_count() or 1) // beside))}
                    running.append(Run(ready.pop(0), logs, env | cores, say))
                time.sleep(TICK)
                for run in list(running):
                    if end := run.ended():
                        running.remove(run)
                        how[run.stage] = end
                        order.done(run.stage) if end != "failed" else failed.append(run)
                        say(f"{run.stage}: {end}, {run.took}")
                ready += order.get_ready()
                if console.is_terminal:
                    live.update(view(running, len(how), len(needs)), refresh=True)
        finally:
            stop(running, signals)
    for run in failed:
        say("\n  ".join([f"\n{run.stage} failed. The end of {run.log}:", *run.last_lines(TAIL)]))
    if left := [stage for stage in needs if stage not in how]:
        say(f"\nnot finished: {', '.join(left)}\nlogs: {logs}")
    counts = Counter(how.values()) + Counter({"not finished": len(left)})
    took = timedelta(seconds=int(time.monotonic() - began))
    say(f"{len(needs)} stages: {', '.join(f'{n} {end}' for end, n in counts.items())}, {took}")
    if not left and not failed:
        shutil.rmtree(logs)
    return 130 if signals else int(bool(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m cnnlab.launch", description=__doc__)
    parser.add_argument("--jobs", type=int, required=True, help="stages at once, 1 or more")
    try:
        sys.exit(launch(parser.parse_args().jobs))
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # before the first stage
        sys.exit(130)
