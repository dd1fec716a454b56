"""What a branch does to the study: `python -m cnnlab.pull_request --base main`.

Prints, in Markdown, the comment that a pull request gets: what changed in params and data, effects
before and after and whether a change is real, figures side by side. It needs two Git revisions with
their committed reports and nothing else: no forge, no trained network, no clean working tree.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import pandas as pd
from PIL import Image, UnidentifiedImageError
from ruamel.yaml.error import YAMLError

from cnnlab import edited, params, paths, report
from cnnlab.compare.change import Change, Known, changes
from cnnlab.compare.metrics import METRICS
from cnnlab.errors import UserError, run_command
from cnnlab.metric import Metric
from cnnlab.report.words import Words, amount

MARK = "<!-- cnnlab: what this pull request does to the study -->"  # a forge's comment is found by
MOST_FIGURES = 10  # pairs of a study that are shown; a comment of GitHub holds 65536 characters
FIRST = ("compare/ablation_effects", "compare/ablation_scores")
EARLIER = "made by an earlier version"

Row = Mapping[str, Any]


def git(root: Path, *arguments: str) -> bytes:
    """What Git prints. Raises UserError with what it complains of."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True)
    except OSError as error:
        raise UserError(f"git: {error.strerror}; it compares what Git has of the study") from None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()
        raise UserError(f"git {' '.join(arguments)}: {complaint}")
    return done.stdout


@dataclass(frozen=True)
class Revision:
    """A commit, and the files in it."""

    root: Path  # of the clone
    sha: str

    @classmethod
    def named(cls, root: Path, name: str) -> Revision:
        """Raises UserError where Git knows no commit of that name."""
        try:
            sha = git(root, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
        except UserError as error:
            raise UserError(f"revision {name!r}: Git knows no such commit here") from error
        return cls(root, sha.decode().strip())

    @cached_property
    def blobs(self) -> dict[str, str]:
        """path -> hash of its content."""
        listed = os.fsdecode(git(self.root, "ls-tree", "-r", "-z", "--full-tree", self.sha))
        rows = (line.partition("\t") for line in listed.split("\0") if line)
        return {path: facts.split()[2] for facts, _, path in rows}

    def read(self, path: str) -> bytes:
        return git(self.root, "cat-file", "blob", self.blobs[path])

    def studies(self) -> list[str]:
        """The folders that hold a study: "" is the root's."""
        files = [PurePosixPath(path) for path in self.blobs if path.endswith(params.FILE.name)]
        return sorted(
            "" if path.parent == PurePosixPath(".") else f"{path.parent}/"
            for path in files
            if path.name == params.FILE.name
            and (len(path.parts) == 1 or (len(path.parts) == 3 and path.parts[0] == "studies"))
        )


@dataclass(frozen=True)
class Study:
    """A study as it is committed: params, reports, and the lock file that says what made them."""

    revision: Revision
    folder: str  # "" or "studies/NAME/"

    def has(self, path: Path | str) -> bool:
        return f"{self.folder}{path}" in self.revision.blobs

    def read(self, path: Path | str) -> bytes:
        return self.revision.read(f"{self.folder}{path}")

    @cached_property
    def params(self) -> dict[str, Any]:
        """As they are written."""
        return self._yaml(params.FILE)

    @cached_property
    def _defaults(self) -> dict[str, Any] | None:
        """Those of the revision; None before there were any, when all was written."""
        path = f"cnnlab/{params.DEFAULTS.name}"
        if path not in self.revision.blobs:
            return None
        return edited.content_of(self.revision.read(path))

    def _with_defaults(self, written: dict[str, Any]) -> dict[str, Any]:
        return params.with_defaults(written, self._defaults) if self._defaults else written

    @cached_property
    def values(self) -> dict[str, Any]:
        """Dotted key -> value of all params; of hyperparameters, those of techniques that are in
        use or are written."""
        every = flat(self._with_defaults(self.params))
        lists = [v for k, v in every.items() if k.startswith("variants.")]
        lists += [every.get("train.techniques"), every.get("backbone.techniques")]
        kept = {name for names in lists if isinstance(names, list) for name in names}
        written = flat(self.params)
        return {
            key: value
            for key, value in every.items()
            if not key.startswith("techniques.") or key in written or key.split(".")[1] in kept
        }

    @cached_property
    def stages(self) -> dict[str, Any]:
        """What dvc.lock knows of each stage; of none where there is no such file."""
        return self._yaml("dvc.lock").get("stages", {})

    @cached_property
    def data(self) -> dict[str, Any]:
        return self._parsed(paths.DATA_FACTS, json.loads, "JSON") or {}

    def made_with(self, key: str) -> Any:
        """A param as it was when the tables were made; as it is where no lock file tells."""
        then = self._with_defaults(self.params | self._asked("compare"))
        return flat(then).get(key)

    def stale(self) -> list[str]:
        """Params that are other than when the stages that read them ran."""
        now, changed = flat(self.params), {}
        groups = self.params.get("variants") or {}
        for name in self.stages:
            group, _, key = name.partition("@")
            if key and key not in (groups.get(group) or {}):
                continue  # of a variant that there is no more
            for asked, value in self._asked(name).items():
                part = {k: v for k, v in now.items() if k == asked or k.startswith(f"{asked}.")}
                changed |= {row[0]: None for row in diff(flat({asked: value}), part)}
        return list(changed)

    def _asked(self, stage: str) -> dict[str, Any]:
        """What a stage asked of params.yaml when it ran: dotted key -> value."""
        return self.stages.get(stage, {}).get("params", {}).get(params.FILE.name, {})

    def stored(self, stage: str) -> dict[str, str]:
        """The outs of a stage: path -> hash of the content."""
        return {out["path"]: out.get("md5") for out in self.stages.get(stage, {}).get("outs", [])}

    def code(self) -> dict[str, str]:
        """The code that training rests on: path -> hash."""
        deps = [
            dep
            for name, stage in self.stages.items()
            if name.partition("@")[0] in ("train", "transfer", "pretrain")
            for dep in stage.get("deps", [])
        ]
        return {d["path"]: d.get("md5") for d in deps if not d["path"].startswith("data/")}

    def table(self, path: Path) -> pd.DataFrame | None:
        return self._parsed(path, lambda text: report.read_table(io.BytesIO(text)), "CSV")

    def figures(self) -> dict[str, str]:
        """Its figures: path below reports -> hash of the content."""
        start = f"{self.folder}{paths.REPORTS}/"
        return {
            path.removeprefix(start): blob
            for path, blob in self.revision.blobs.items()
            if path.startswith(start) and path.endswith(".png")
        }

    def _yaml(self, path: Path | str) -> dict[str, Any]:
        content = self._parsed(path, edited.content_of, "YAML")
        return content if isinstance(content, dict) else {}

    def _parsed(self, path: Path | str, parse: Callable[[bytes], Any], kind: str) -> Any:
        """What a file holds; None where it is not there."""
        if not self.has(path):
            return None
        try:
            return parse(self.read(path))
        except (ValueError, YAMLError) as error:
            where = f"{self.revision.sha[:10]}:{self.folder}{path}"
            raise UserError(f"{where}: it is no valid {kind}: {error}") from error


def flat(tree: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys; an empty group is a value."""
    dotted: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            dotted |= flat(value, f"{start}{key}.")
        else:
            dotted[f"{start}{key}"] = value
    return dotted


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What differs: key, before and after in words, "–" for what is not there."""
    keys = dict.fromkeys([*before, *after])

    def shown(values: Mapping[str, Any], key: str) -> str:
        return report.escaped(json.dumps(values[key], ensure_ascii=False)) if key in values else "–"

    return [
        (report.escaped(key), shown(before, key), shown(after, key))
        for key in keys
        if (key in before, before.get(key)) != (key in after, after.get(key))
    ]


def held_out(before: Study, after: Study) -> tuple[list[str], list[str]]:
    """What the two studies are evaluated on: what is other, and what is known to be the same."""
    asked = {
        "development images": ("prepare", "data/prepared/dev"),
        "test images": ("prepare", "data/prepared/test"),
        "folds": ("kfold", str(paths.FOLDS)),
    }
    if (after.params.get("variants") or {}).get("transfer"):
        asked["backbone"] = ("pretrain", str(paths.BACKBONE))
    other, same = [], []
    for what, (stage, path) in asked.items():
        hashes = [study.stored(stage).get(path) for study in (before, after)]
        if None not in hashes:
            (same if hashes[0] == hashes[1] else other).append(what)
    return other, same


def effects(study: Study, metric: str) -> dict[tuple[str, str], Row]:
    """(kind, technique) -> the row of reports/ablation.csv on that metric; none where it has
    none."""
    table = study.table(paths.REPORTS / "ablation.csv")
    if table is None or not {"metric", "kind", "technique", "effect"} <= set(table.columns):
        return {}
    rows = table[table["metric"] == metric].to_dict("records")
    return {(row["kind"], row["technique"]): row for row in rows}


def scores(study: Study, metric: str) -> dict[str, Row]:
    """Variant -> its score as an effect's row."""
    table = study.table(paths.COMPARE / "ablation_scores.csv")
    if table is None or metric not in table.columns:
        return {}
    rows = {}
    for row in table.to_dict("records"):
        ends = {end: row[f"{metric}_{end}"] for end in ("low", "high")}
        rows[row["name"]] = {"effect": row[metric], **ends}
        if "repeats" in row:  # the least degrees of freedom that its error may have
            df = row["repeats"] * (study.made_with("folds.k") - 1)
            rows[row["name"]] |= {"se": row[f"{metric}_se"], "df": df, "why": ""}
    return rows


def comparable(row: Row) -> bool:
    """Whether a row says what its error is, as tables of earlier versions do not."""
    return {"se", "df", "why"} <= set(row)


def compared(before: Mapping[Any, Row], after: Mapping[Any, Row], rules: Row) -> dict[Any, Change]:
    """The changes of what both have."""

    def known(row: Row) -> Known:
        return Known(mean=row["effect"], error=0.0 if row["why"] else row["se"], df=row["df"])

    pairs = {
        name: (known(before[name]), known(after[name]))
        for name in after
        if name in before and comparable(before[name]) and comparable(after[name])
    }
    return changes(pairs, **rules)


def verdict(change: Change, m: Metric) -> str:
    """The verdict, with its direction where it is real."""
    if change.verdict != "real change":
        return change.verdict
    better = (change.mean > 0) == m.higher_is_better
    return f"**real change, {'better' if better else 'worse'}**"


def label(name: str | tuple[str, str]) -> str:
    """A variant, or an effect by its technique and kind."""
    return report.escaped(name if isinstance(name, str) else " ".join(reversed(name)))


def lines(before, after, changed: Mapping[Any, Change], m: Metric, shown) -> Iterator[list[str]]:
    """Rows of a table of changes; `shown`: a row of either in words."""
    for name in dict.fromkeys([*after, *before]):
        sides = (before, after)
        cells = [shown(side[name]) if name in side else "–" for side in sides]
        difference, word = "", ""
        if name in changed:
            change = changed[name]
            moved = {"effect": change.mean, "low": change.low, "high": change.high}
            difference = "" if change.verdict == "unchanged" else report.effect(moved, m)
            word = verdict(change, m)
        elif all(name in side for side in sides):
            word = EARLIER
        else:
            word = "new" if name in after else "gone"
        yield [f"**{label(name)}**", *cells, difference, word]


def section(before: Study, after: Study, url: str, pushed: Revision) -> dict[str, Any]:
    """The facts that the template says of one study."""
    metric = after.made_with("compare.metric")
    if metric not in METRICS:
        where = f"{after.revision.sha[:10]}:{after.folder}{params.FILE}"
        allowed = ", ".join(METRICS)
        raise UserError(f"{where}: compare.metric = {metric!r}; allowed: {allowed}")
    m, both = METRICS[metric], (before, after)
    rules = {
        "confidence": after.made_with("compare.confidence"),
        "alpha": after.made_with("compare.alpha"),
        "rope": after.made_with(f"compare.rope.{metric}") or 0.0,
    }
    rows = [effects(study, metric) for study in both]
    answering = all(map(comparable, rows[1].values()))
    table = pd.DataFrame(rows[1].values() if answering else [])
    words = report.words_of(
        metric,
        after.made_with("compare.estimate"),
        after.made_with("folds.repeats"),
        table,
        after.data.get("images", {}).get("dev", 0),
    )
    verdicts: dict[str, list[str]] = {}
    changed: dict[Any, Change] = {}
    for kind in dict.fromkeys(kind for kind, _ in rows[1]):  # one family, as in the report
        family = {name: row for name, row in rows[1].items() if name[0] == kind}
        changed |= compared(rows[0], family, rules)
    for name, change in changed.items():
        verdicts.setdefault(change.verdict, []).append(label(name))
    means = [scores(study, metric) for study in both]
    of_means = compared(*means, rules)
    other, same = held_out(before, after)
    return {
        "name": report.escaped(str(after.params.get("study", after.folder))),
        "folder": after.folder.rstrip("/"),
        "new": not before.params,
        "params": [] if not before.params else diff(before.values, after.values),
        "data": diff(flat(before.data), flat(after.data)) if before.data else [],
        "other": other,
        "same": same,
        "code": sorted({row[0] for row in diff(before.code(), after.code())})
        if any(study.code() for study in both)
        else [],
        "stale": after.stale(),
        "lacking": list(lacking(both, rows, m)),
        "metric": m.title,
        "step": m.step,
        "unit": m.unit,
        "rope": f"±{amount(rules['rope'], m)}",
        **{name: rules[name] for name in ("confidence", "alpha")},
        "verdicts": verdicts,
        "answers": report.answers(table, words) if len(table) else [],
        "effects": list(lines(*rows, changed, m, lambda row: cell(row, words))),
        "scores": list(lines(*means, of_means, m, lambda row: mean(row, m))),
        **figures(before, after, url, pushed),
        "report": page(Study(pushed, after.folder), url),
        "report_before": page(before, url),
    }


def lacking(
    both: Sequence[Study], rows: Sequence[Mapping[Any, Row]], m: Metric
) -> Iterator[tuple[str, str]]:
    """Revisions whose effects cannot be compared, and why."""
    for study, of_study in zip(both, rows, strict=True):
        if study.params and not of_study:
            yield study.revision.sha[:10], f"no effects on {m.title} that can be read"
        elif not all(map(comparable, of_study.values())):
            yield study.revision.sha[:10], f"tables {EARLIER}, without standard errors"


def cell(row: Row, words: Words) -> str:
    """An effect in words, or where they are of an earlier version, in numbers."""
    return words.cell(row) if comparable(row) else report.effect(row, words.m)


def page(study: Study, url: str) -> str | None:
    """Where the report is; None where there is none."""
    path = paths.REPORTS / "report.md"
    return link(url, "blob", study.revision, f"{study.folder}{path}") if study.has(path) else None


def mean(row: Row, m: Metric) -> str:
    """A score with its interval."""
    return report.estimate({"": row["effect"], "_low": row["low"], "_high": row["high"]}, "", m)


def figures(before: Study, after: Study, url: str, pushed: Revision) -> dict[str, Any]:
    """Figures that differ, side by side, the telling ones first."""
    sides = [study.figures() for study in (before, after)]
    names = [n for n in dict.fromkeys([*sides[1], *sides[0]]) if sides[0].get(n) != sides[1].get(n)]
    names.sort(key=lambda n: next((i for i, f in enumerate(FIRST) if n.startswith(f)), len(FIRST)))

    def image(study: Study, name: str, known: Revision) -> str:
        path = f"{study.folder}{paths.REPORTS}/{name}"
        if not study.has(paths.REPORTS / name):
            return "–"
        if known.blobs.get(path) != study.revision.blobs[path]:
            return "drawn in this run, not pushed"
        words = report.escaped(alt(study.read(paths.REPORTS / name), name))
        return f"![{words}]({link(url, 'raw', known, path)})"

    shown = [
        (report.escaped(legible(n)), image(before, n, before.revision), image(after, n, pushed))
        for n in names[:MOST_FIGURES]
    ]
    lead = sum(any(n.startswith(f) for f in FIRST) for n in names[:MOST_FIGURES])
    return {"first": shown[:lead], "rest": shown[lead:], "more": max(0, len(names) - MOST_FIGURES)}


def alt(content: bytes, name: str) -> str:
    """What a figure says in words; its name where it was not made by the pipeline."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.info.get("Description", name)
    except UnidentifiedImageError:  # in Git LFS, say
        return legible(name)


def legible(name: str) -> str:
    """A name of a file that may be no UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def link(url: str, kind: str, revision: Revision, path: str) -> str:
    return f"{url.rstrip('/')}/{kind}/{revision.sha}/{quote(os.fsencode(path))}"


def comment(root: Path, base: str, head: str, url: str, pushed: str | None = None) -> str:
    """The comment. Raises UserError for a revision that is not there or cannot be read.

    base: what the branch goes to; compared is the commit where it left. url: of the repository on
    its forge; files are at URL/raw/REVISION/PATH and URL/blob/REVISION/PATH. pushed: the revision
    whose files the forge has, where that is not `head`.
    """
    after = Revision.named(root, head)
    onto = Revision.named(root, base)
    before = left(root, onto, after)
    known = Revision.named(root, pushed) if pushed else after
    studies = [(Study(before, folder), Study(after, folder)) for folder in after.studies()]
    touched = [(old, new) for old, new in studies if differ(old, new)]
    return report.page(
        "pull_request.md.j2",
        mark=MARK,
        before=before.sha[:10],
        after=after.sha[:10],
        studies=[section(old, new, url, known) for old, new in touched],
        untouched=[
            new.params.get("study", new.folder) for old, new in studies if (old, new) not in touched
        ],
        gone=[f.rstrip("/") for f in before.studies() if f not in after.studies()],
    )


def left(root: Path, onto: Revision, branch: Revision) -> Revision:
    """The commit where a branch left. Raises UserError where there is none here."""
    try:
        base = git(root, "merge-base", onto.sha, branch.sha)
    except UserError:
        pair = f"{onto.sha[:10]} and {branch.sha[:10]}"
        raise UserError(
            f"{pair} have no commit in common here; of a clone that holds the last commits alone, "
            "`git fetch --unshallow` brings the others"
        ) from None
    return Revision.named(root, base.decode().strip())


def differ(before: Study, after: Study) -> bool:
    """Whether params, lock file or reports of a study are other than they were."""
    files = (f"{after.folder}{name}" for name in (params.FILE, "dvc.lock", f"{paths.REPORTS}/"))
    start = tuple(files)

    def of(study: Study) -> dict[str, str]:
        return {p: b for p, b in study.revision.blobs.items() if p.startswith(start)}

    return of(before) != of(after)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m cnnlab.pull_request", description=__doc__)
    parser.add_argument("--base", default="main", help="what the branch goes to (main)")
    parser.add_argument("--head", default="HEAD", help="the branch (HEAD)")
    parser.add_argument(
        "--url",
        default="..",
        help="the repository on its forge, https://github.com/OWNER/NAME; with /- behind it on "
        "GitLab (.., as seen from a pull request)",
    )
    parser.add_argument("--pushed", help="the commit that the forge has, where --head is not one")
    asked = parser.parse_args(arguments)
    root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel").decode().strip())
    print(comment(root, asked.base, asked.head, asked.url, asked.pushed), end="")


if __name__ == "__main__":
    run_command(main)
