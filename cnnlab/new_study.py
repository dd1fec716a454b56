"""A new study beside the root's: `python -m cnnlab.new_study NAME [--images FOLDER]`
(`make study NAME=... IMAGES=...`).

Makes `studies/NAME` with params of its own. Its dvc.yaml is a copy of the root's, which
`make repro STUDY=studies/NAME` keeps in step; `code`, of its params, is the way to the one set of
stages and code. The study is a DVC project of its own, so that DVC speaks there of no other study,
with the root's settings and remotes as they are now, and the root's cache.

With images its params.yaml needs no edit: what to choose is found from them (`cnnlab.proposal`),
and how long that takes by training a few steps here (`cnnlab.timing`).
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from dvc.config import Config
from dvc.config_schema import RelPath

from cnnlab import params, paths, proposal, timing
from cnnlab.data import images, survey
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError, run_command
from cnnlab.run import choice, device
from cnnlab.tasks import TASKS

COPIED = (
    "dvc.yaml",
    ".dvcignore",
    ".dvc/.gitignore",
    "data/raw/README.md",  # where people put their images
    "data/raw_pretrain/README.md",
)


def create(root: Path, name: str, text: str | None = None) -> Path:
    """Make the folder of a study and return it. `text`: of its params.yaml; None: the root's, with
    another name. Raises UserError for a bad or taken name."""
    folder = _free(root, name)
    text = text or _named(root, name)
    for file in COPIED:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((root / file).read_bytes())
    settings = Config(root / ".dvc").load_one("repo")
    settings["cache"].setdefault("dir", RelPath(root / ".dvc/cache"))
    with Config(folder / ".dvc").edit() as of_study:
        of_study.update(settings)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder


def _free(root: Path, name: str) -> Path:
    """The folder of a study that is not there yet."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"study name {name!r}: allowed: letters, digits, - and _, 64 at most")
    folder = root / "studies" / name
    if folder.exists():
        raise UserError(f"{folder} exists already")
    return folder


def _named(root: Path, name: str) -> str:
    """The text of the root's params.yaml with another name of the study, and its way to the
    code."""
    text = (root / "params.yaml").read_text(encoding="utf-8")
    for key, value in (("study", f'"{name}"'), ("code", paths.TO_CODE)):
        text, changes = re.subn(rf"(?m)^{key}: *[^ #\n]+", f"{key}: {value}", text)
        if changes != 1:
            raise UserError(f"{root / 'params.yaml'}: has no line `{key}: ...`")
    return text


def create_for(
    root: Path,
    name: str,
    place: Path,
    minutes: float | None = None,
    network: str = "auto",
    flips: bool = True,
    rotations: bool = True,
    task: str | None = None,
) -> Path:
    """Make a study of the images at a place and say what was found and chosen; returns its folder.

    `minutes`: that the study may take, None: as long as it does. `network`, `flips`, `rotations`:
    see `proposal.plan_for`; `task`: `survey.survey`. Raises UserError, with nothing left behind,
    for a bad or taken name, and images that make no study.
    """
    folder = _free(root, name)
    if "${" in str(place):
        raise UserError(f"images {str(place)!r}: DVC takes ${{ for a variable; rename the folder")
    place = place.absolute()
    if folder.resolve().is_relative_to(place.resolve()):
        raise UserError(
            f"images {str(place)!r}: hold the study itself, {folder}, whose results DVC would take "
            "for images; name a folder of images alone"
        )
    found = survey.survey(place, task)
    print(f"{place}:")
    for line in survey.lines(found):
        print(f"  {line}")
    plan = proposal.plan_for(found, network, flips, rotations)

    def made(plan: proposal.Plan) -> str:
        return proposal.written(name, plan, found, str(place))

    params.of_text(made(plan))
    print("measuring how fast this machine trains ...", flush=True)
    measured = _measured(plan, made, found)

    def seconds(plan: proposal.Plan) -> float:
        return proposal.seconds(plan, measured)

    if minutes is not None:
        plan = proposal.fitted(plan, seconds, 60 * minutes)
    new = made(plan)
    params.of_text(new)
    try:
        folder = create(root, name, new)
    except BaseException:
        shutil.rmtree(root / "studies" / name, ignore_errors=True)
        raise
    for line in proposal.lines(plan):
        print(line)
    print(f"the images stay where they are: data.raw: {place}")
    took = seconds(plan)
    end = datetime.now() + timedelta(seconds=took)
    where = f"{measured.machine.workers} trials side by side"
    print(
        f"about {proposal.duration(took)} on this machine if nothing else runs, until {end:%H:%M} "
        f"if begun now: {len(plan.variants)} variants x {plan.k * plan.repeats} folds, {where}"
    )
    if minutes is not None and took > 60 * minutes:
        print(f"note: the least that makes sense takes longer than MINUTES={minutes:g}")
    if minutes is None and took > LONG:
        print("MINUTES=60, or another number, makes a shorter study")
    return folder


ENOUGH = 30  # seconds of measuring, after which larger images are told from smaller ones
LONG = 3 * 3600  # seconds, from which a shorter study is proposed


def _decoding(found: survey.Survey, plan: proposal.Plan) -> float:
    """Seconds to read one of the images, and what is learnt of it, and bring both to their size."""
    settings = images.Settings(plan.size, plan.resize, None, survey.MEGAPIXELS)
    some = survey.some(found)
    began = time.process_time()
    for content in some:
        try:
            images.decode(content, settings)
        except (images.BadImage, TypeError):
            continue
    survey.truth(found, plan.size, plan.resize, len(some))
    return (time.process_time() - began) / max(1, len(some))


def _measured(
    plan: proposal.Plan, made: Callable[[proposal.Plan], str], found: survey.Survey
) -> proposal.Measured:
    """What this machine takes for trials of the plan's starts, at the size of its images and at the
    smallest that it may get."""
    whole = params.of_text(made(plan))
    first = plan.starts[0]
    recipe = whole.sections.recipe([first] * (first != "scratch"))
    largest = (plan.size, plan.size, plan.channels or 3)
    on_gpu = bool(device.visible()) and device.is_gpu(  # else nothing is to be said of it
        choice.kind(whole.execution, recipe, largest, found.task)
    )
    threads = whole.train.threads
    small = proposal.sizes(plan.backbone, plan.size)[-1]
    costs: dict[str, dict[int, timing.Cost]] = {}
    machine, began = timing.machine(on_gpu, threads), time.monotonic()
    for size in sorted({small, plan.size}):
        if costs and time.monotonic() - began > ENOUGH:
            break
        sections = params.of_text(made(replace(plan, size=size))).sections
        which = [*plan.starts, *["scratch"] * plan.control]
        if size != small:  # the head alone takes as long at any size
            which = [start for start in which if start != "freeze"]
        recipes = {start: sections.recipe([start] * (start != "scratch")) for start in which}
        shape = (size, size, plan.channels or 3)
        learnt = _learnt(found, size, plan.resize)
        measured = timing.costs(recipes, shape, on_gpu, threads, size == small, learnt)
        for start, cost in measured.items():
            costs.setdefault(start, {})[size] = cost
    return proposal.Measured(machine, costs, _decoding(found, plan))


def _learnt(found: survey.Survey, size: int, resize: str) -> timing.Learnt:
    classes = TRUTHS[found.task].classes(found.opened) or found.classes
    truth = survey.truth(found, size, resize, 2 * timing.IMAGES)
    return timing.Learnt(found.task, len(classes), truth)


def commit_to_git(root: Path, folder: Path) -> None:
    """Commit what `create` made, no images and nothing else of the user's: `dvc exp run --queue -S`
    deletes a params.yaml that Git does not know, and a plain `dvc exp run` takes back what was
    added alone. Where Git cannot, that is said."""
    study = folder.relative_to(root)
    files = [str(folder / name) for name in (*COPIED, ".dvc/config", params.FILE)]
    commit = ["commit", "--quiet", "--no-verify", "--only", "-m", f"Study {study}"]
    said = ""
    try:
        for command in (["add"], commit):
            done = subprocess.run(
                ["git", *command, "--", *files], cwd=root, capture_output=True, text=True
            )
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["?"])[-1]
                break
    except OSError as error:  # no Git at all
        said = f"git: {error.strerror}"
    if said:
        print(
            f"note: {study} is not committed to Git ({said}): do that before `dvc exp run`, which "
            "deletes a params.yaml that Git does not know",
            file=sys.stderr,
        )


def _root() -> Path:
    """The current folder, where it is the root of a clone: not that of the code that runs, which in
    an experiment's copy is another. Raises UserError elsewhere, as in a study."""
    root = Path.cwd()
    missing = [name for name in ("cnnlab", *COPIED, params.FILE) if not (root / name).exists()]
    if missing:
        raise UserError(
            f"{root}: a new study is made at the root of a clone, and {missing[0]} is not here; "
            f"first `cd {shlex.quote(str(paths.workspace()))}`"
        )
    return root


def main(arguments: Sequence[str]) -> None:
    """Make the study that the command line asks for. Raises UserError as `create_for` does, and
    where the current folder is not the root of a clone."""
    parser = argparse.ArgumentParser(prog="python -m cnnlab.new_study", description=__doc__)
    yes = {"type": str.lower, "choices": ["yes", "no"], "default": "yes"}
    parser.add_argument("name")
    parser.add_argument(
        "--images", default="", help="a folder, .tar, .zip, .npz or table of images"
    )
    parser.add_argument("--minutes", default="", help="that the study may take, > 0")
    parser.add_argument("--network", choices=["auto", "backbone", "small"], default="auto")
    parser.add_argument("--flips", **yes, help="no: a mirror image would be of another class")
    parser.add_argument("--rotations", **yes, help="no: a turned image would be of another class")
    parser.add_argument(
        "--task", choices=TASKS.names(), help="else: what the images are laid out for"
    )
    given = parser.parse_args(arguments)
    root = _root()
    if not given.images:
        if given.minutes:
            raise UserError("--minutes: allowed with --images alone")
        made = create(root, given.name)
        commit_to_git(root, made)
        print(f"{made.relative_to(root)} is ready: edit its params.yaml, then")
    else:
        made = create_for(
            root,
            given.name,
            paths.typed(given.images),
            _number(given.minutes),
            given.network,
            given.flips == "yes",
            given.rotations == "yes",
            given.task,
        )
        commit_to_git(root, made)
        print(f"{made.relative_to(root)} is ready; its params.yaml says all of this, next is")
    print(f"  make repro STUDY={made.relative_to(root)}")


def _number(text: str) -> float | None:
    try:
        minutes = float(text) if text else None
    except ValueError:
        minutes = 0.0
    if minutes is not None and not 0 < minutes < 1e6:
        raise UserError(f"--minutes {text!r}: allowed: a number > 0")
    return minutes


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
