"""The data report: one Markdown page on what the images are and what was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cnnlab.data.duplicates import CONFLICT
from cnnlab.data.pool import natural
from cnnlab.report import escaped, page, pretrained

LISTED = 20  # findings of a kind that the page shows
SHOWN = 120  # characters of a name that the page shows
MODES = {  # Pillow's names in words
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "I;16": "grey of 16 bits",
    "I;16B": "grey of 16 bits",
    "I": "grey of 32 bits",
    "F": "grey in fractions",
    "P": "palette",
    "RGB": "colour",
    "RGBA": "colour with transparency",
}


def render(
    facts: Mapping[str, Any],
    inventory: pd.DataFrame,
    findings: pd.DataFrame,
    asked: Mapping[str, Any],
    pictures: Sequence[str],
    coded: str,
    muted: str,
    sheets: Sequence[tuple[str, str]],
    by_label: bool,
) -> str:
    """The page. `facts`, `inventory`, `findings`: as the stage `prepare` writes them; `asked`: what
    params say of size, way of resizing and channels; `pictures`: Markdown images; `coded`,
    `muted`: what `report.coded` says of the findings with codes; `sheets`: title and Markdown image
    of each code that is shown; `by_label`: whether the one label of an image is what is asked for,
    as in classification."""
    used = inventory[inventory["problem"] == ""]
    elsewhere = ["pretrain"] if facts["pretrain_source"] else []
    pools = [pool for pool, n in facts["images"].items() if n and pool not in elsewhere]
    counts = pd.crosstab(inventory["label"], inventory["pool"])
    drawn = counts.drop(columns="", errors="ignore").sum(axis=1)
    classes = sorted(drawn.index[drawn > 0], key=natural)
    table = {
        name: [int(counts.loc[name].get(pool, 0)) for pool in pools]
        + [int((used["label"] == name).sum())]
        for name in classes
    }
    dev, test = (
        {name: row[pools.index(pool)] for name, row in table.items() if name in facts["classes"]}
        if pool in pools
        else {}
        for pool in ("dev", "test")
    )
    # What may need a decision comes first.
    kinds = sorted(set(findings["what"]), key=lambda what: (not what.endswith(CONFLICT), what))
    return page(
        "data.md.j2",
        pretrained=pretrained(facts) if facts["images"]["pretrain"] else "",
        found=len(inventory),
        bad=len(inventory) - len(used),
        pools=pools,
        classes=[(escaped(name), row) for name, row in table.items()],
        totals=[facts["images"][pool] for pool in pools] + [len(used)],
        imbalance=max(dev.values()) / max(1, min(dev.values())),
        shares=shares(dev, test, by_label) if test else "",
        by_label=by_label,
        shape="×".join(map(str, facts["shape"])),
        asked=asked,
        sizes=_sizes(used),
        modes=_shares(used["mode"].replace(MODES)),
        formats=_shares(used["format"].replace("array", "none, pixels")),
        findings=[_kind(what, findings[findings["what"] == what]) for what in kinds],
        conflicts=int(findings["what"].str.endswith(CONFLICT).sum()),
        pictures=pictures,
        coded=coded,
        muted=muted,
        sheets=sheets,
    )


def shares(dev: Mapping[str, int], test: Mapping[str, int], by_label: bool) -> str:
    """What may be said of the shares of the classes in both pools, in a sentence or two;
    `by_label` as for `render`."""
    if alike(dev, test):
        return "Test images have the same shares."
    if by_label:
        other = "so accuracy on the two is not of the same mix of classes; balanced accuracy is."
    else:
        other = "so numbers on the two are not of the same mix: compare them class by class."
    few, many = min(dev.values()), max(dev.values())
    if many - few <= 1 + many / 20:
        return (
            f"`data.dev_per_class` draws them so, {few} of each. Test images have the shares of "
            f"the source, {other}"
        )
    return f"Test images have other shares than development images, {other}"


def alike(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Whether two pools hold the classes in the same shares, up to what rounding and groups do: an
    image, and one in twenty. `one`, `other`: class -> images."""
    totals = sum(one.values()), sum(other.values())
    expected = {name: n * totals[1] / totals[0] for name, n in one.items()}
    return all(abs(other.get(name, 0) - n) <= 1 + n / 20 for name, n in expected.items())


def _sizes(used: pd.DataFrame) -> str:
    """How large the originals are."""
    kinds = used.groupby(["width", "height"]).size()
    if len(kinds) == 1:
        width, height = kinds.index[0]
        return f"all {width:.0f}×{height:.0f} pixels"
    parts = []
    for side in ("width", "height"):
        low, median, high = used[side].quantile([0, 0.5, 1], interpolation="nearest")
        parts.append(f"{side} {low:.0f} to {high:.0f} pixels (median {median:.0f})")
    return f"{len(kinds)} sizes: " + ", ".join(parts)


def _shares(column: pd.Series) -> str:
    counts = column.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _kind(what: str, part: pd.DataFrame) -> dict[str, Any]:
    """One kind of finding: how many, and the first of them as rows of a table."""
    rows = [
        [escaped(short(row[c])) for c in ("where", "done", "detail")]
        for row in part.head(LISTED).to_dict("records")
    ]
    return {"what": escaped(what), "n": len(part), "rows": rows, "more": len(part) - len(rows)}


def short(text: str) -> str:
    """A name with its middle left out where it is long."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}…{text[-SHOWN // 2 :]}"
