"""What may be wrong with the images: the codes of findings, and the one place that writes and reads
their table.

A table of findings has one row a finding, a code's together, the worst first:

    code      a key of CODES
    image_id  of a development image; empty where the finding is of a whole class
    source    where the image came from; empty likewise
    label     class name
    value     what was measured, in the code's unit (`Code.unit`); empty where nothing was
    limit     the value from which on it is a finding; empty likewise
    muted     True where `data.mute` names the code: it is neither drawn nor listed in the report
    text      the finding in words

`docs/findings.md` is made from CODES: `python -m cnnlab.data.findings` prints it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Code:
    """A kind of finding."""

    name: str  # of what is found
    detected: str  # how
    why: str  # it matters
    remedy: str  # what to do
    unit: str  # of value and limit


class Finding(NamedTuple):
    """A row of the table, but for `muted`."""

    code: str
    image_id: int | None
    source: str
    label: str
    value: float | None
    limit: float | None
    text: str


_TEXT = ("code", "source", "label", "text")
COLUMNS = ["code", "image_id", "source", "label", "value", "limit", "muted", "text"]

_FAR = "the median and four robust standard deviations, each tail with its own, on a log scale"
_LEGITIMATE = (
    "If it is part of what the class is (a night sky is dark), mute the code. If it comes from how"
    " the images were made (camera, site, person, program), mix or redo the images, or bring the"
    " property to one value for all classes"
)
_SHORTCUT = (
    "A network may learn this instead of what the images show: it then scores well here and fails"
    " on images made in another way"
)
_LOOK = "Look at the images of the class beside those of the others. " + _LEGITIMATE
_ALONE = (
    "a decision tree on it alone, cross-validated with groups kept together, tells the class from"
    " the others with a balanced accuracy above 0.7 by the lower bound of its interval (95 %,"
    " Wilson; Bonferroni over properties and classes)"
)


def _shortcut(what: str, where: str) -> Code:
    name = f"shortcut: {what} predicts the label"
    return Code(name, f"{where}; {_ALONE}", _SHORTCUT, _LOOK, "balanced accuracy, chance is 0.5")


CODES = {
    "IMG01": Code(
        "dark",
        "19 of 20 pixels are darker than a quarter of white, and than half of what is usual here",
        "Little can be seen in it: what a network learns from it is chance",
        "Brighten it at its source, take it again, or leave it out",
        "95th percentile of the pixels, 0 black .. 1 white",
    ),
    "IMG02": Code(
        "bright",
        "19 of 20 pixels are brighter than three quarters of white, and than half way from what is"
        " usual here to white",
        "It is overexposed or a blank page: detail is lost",
        "Take it again, or leave it out",
        "5th percentile of the pixels, 0 black .. 1 white",
    ),
    "IMG03": Code(
        "blurred",
        "the mean square of its Laplacian (the variance of fine detail) is below a quarter of the"
        f" median and below {_FAR}; neither dark, bright nor flat",
        "Fine detail that tells classes apart is missing; if one class is more often blurred, that"
        " becomes its mark",
        "Take it again or leave it out; if such images will come in use too, keep them",
        "mean square of the Laplacian of pixels in 0 .. 1",
    ),
    "IMG04": Code(
        "odd size",
        f"the original has at least 4 times as many pixels as the median, or as few, and is beyond"
        f" {_FAR}",
        "A thumbnail that is enlarged shows no detail; a huge one may be a scan or a collage",
        "Look for the original of a thumbnail; crop a collage",
        "pixels of the original",
    ),
    "IMG05": Code(
        "odd shape",
        f"the longer side by the shorter is at least twice the median of it, and beyond {_FAR}",
        "Squashed to a square, its things are distorted; cropped, they may be cut off",
        "Crop it by hand, or choose `data.resize: pad`",
        "longer side by shorter side",
    ),
    "IMG06": Code(
        "flat",
        f"its contrast is below a quarter of the median and below {_FAR}; neither dark nor bright",
        "It shows fog, a lens cap or one colour: there is nothing to learn",
        "Leave it out",
        "standard deviation of the pixels, 0 .. 0.5",
    ),
    "IMG07": Code(
        "unlike all others",
        "the distance to its 10th nearest neighbour, in the other properties and a picture of 8x8"
        f" pixels, is beyond {_FAR}; not found by another code of the pixels",
        "It may be of another kind: a drawing, a screenshot, a test chart, noise",
        "Look at it; leave out what is of another kind, keep what is rare",
        "distance, in robust standard deviations",
    ),
    "DUP01": Code(
        "the same image in two classes",
        "equal pixels, or perceptual hashes within `data.near_duplicates` and small pictures that"
        " correlate, under different labels (all twins: `data/prepared/findings.csv`)",
        "One of the labels is wrong, or the classes overlap; no network can be right on both",
        "Decide which label is right and remove the other file",
        "none",
    ),
    "LAB01": Code(
        "likely label error",
        "confident learning (Northcutt et al. 2021) on held-out probabilities of the recommended"
        " variant: another class is at least as probable as it is on average for its own images,"
        " and more probable than the label by at least 0.5; not looked for where less than 80% of"
        " the images are answered right",
        "Wrong labels limit what any network can reach, and make the scores wrong",
        "Look at it and correct the label; if the label is right, the image is a hard one",
        "probability of the other class less that of the label",
    ),
    "CUT01": _shortcut("brightness", "mean of the pixels"),
    "CUT02": _shortcut("contrast", "standard deviation of the pixels"),
    "CUT03": _shortcut("colourfulness", "Hasler and Süsstrunk (2003)"),
    "CUT04": _shortcut("sharpness", "mean square of the Laplacian"),
    "CUT05": _shortcut("file size", "bytes of the original file"),
    "CUT06": _shortcut("width", "pixels of the original"),
    "CUT07": _shortcut("height", "pixels of the original"),
    "CUT08": _shortcut("aspect ratio", "width by height of the original"),
    "CUT09": _shortcut("file format", "format and mode of the original, such as JPEG and L"),
}


def table(findings: Iterable[Finding], mute: Collection[str]) -> pd.DataFrame:
    """The table, with `COLUMNS`: codes in the order of CODES, the findings of each as they come."""
    rows = pd.DataFrame(findings, columns=Finding._fields)
    rows["image_id"] = rows["image_id"].astype("Int64")
    rows[["value", "limit"]] = rows[["value", "limit"]].astype(float)
    rows = rows.astype(dict.fromkeys(_TEXT, str))
    rows["muted"] = rows["code"].isin(list(mute)).astype(bool)
    return joined([rows[COLUMNS]])


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several tables as one."""
    rows = pd.concat(tables, ignore_index=True)
    rank = [list(CODES).index(code) for code in rows["code"]]
    return rows.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)


def write(path: Path, findings: pd.DataFrame) -> None:
    """Write a table of findings."""
    findings.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """Read a table of findings: what `table` gives."""
    kinds = dict.fromkeys(_TEXT, str) | {
        "image_id": "Int64",
        "value": float,
        "limit": float,
        "muted": bool,
    }
    empty = {column: [""] for column in ("image_id", "value", "limit")}
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)


def counted(findings: pd.DataFrame) -> list[str]:
    """A line for each code that has findings: how many, and whether it is muted."""
    lines = []
    for code, rows in findings.groupby("code", sort=False):
        muted = ", muted by data.mute" if rows["muted"].any() else ""
        lines.append(f"{code} {CODES[code].name} ({len(rows)}){muted}")
    return lines


def page() -> str:
    """docs/findings.md."""
    lines = [
        "# Findings: what may be wrong with the images",
        "",
        "The stage `describe` looks at the development images before anything is trained, and",
        "`inspect` once more, with what the recommended variant predicted for held-out images.",
        "Test images are not looked at. `reports/findings/findings.csv` lists all findings (its",
        "columns: [cnnlab/data/findings.py](../cnnlab/data/findings.py)); up to 24 images of each",
        "code are drawn, in `reports/data` and `reports/findings`, and the report counts them. A",
        "finding is a reason to look, not a verdict: nothing is left out or changed because of it.",
        "",
        "A code that is no problem in your images is muted in `params.yaml`; it is then counted,",
        "and no longer shown:",
        "",
        "```yaml",
        "data:",
        "  mute: [IMG03, CUT01]",
        "```",
        "",
        "| code | what | muted by |",
        "|---|---|---|",
        *(f"| [{k}](#{_anchor(k, c)}) | {c.name} | `mute: [{k}]` |" for k, c in CODES.items()),
    ]
    for key, code in CODES.items():
        lines += ["", f"## {key}: {code.name}", ""]
        lines += [f"- **Detected**: {code.detected}."]
        lines += [f"- **Why it matters**: {code.why}."]
        lines += [f"- **What to do**: {code.remedy}."]
        lines += [f"- **Value**: {code.unit}."]
    return "\n".join(lines) + "\n"


def _anchor(key: str, code: Code) -> str:
    """What GitHub calls the heading of a code."""
    kept = "".join(c for c in f"{key}: {code.name}".lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    print(page(), end="")
