"""The parts that a data set comes in: train, validation and test, by their usual names."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from cnnlab.data.sources import Finding, shown

_NAMES = {
    "train": "train(ing)?",
    "validation": "val(id(ation|ate)?)?|dev(el(opment)?)?",
    "test": "test(s|ing)?|eval(uation)?|hold[ _-]?out",
}
_ABOUT = "(data|images?|imgs?|pictures|photos)"
_NAMES = {
    part: re.compile(rf"({_ABOUT}[ _-])?({names})([ _-]?({_ABOUT}|(data)?set|split|\d+))?")
    for part, names in _NAMES.items()
}
ABBREVIATED = {"trn": "train", "tst": "test"}
SPLIT = {"train": "train", "validation": "train", "test": "test"}


@functools.cache
def part(name: str) -> str | None:
    """Of which part something is that is called so; None where the name is none of theirs."""
    name = name.strip().casefold()
    return next((part for part, names in _NAMES.items() if names.fullmatch(name)), None)


@functools.cache
def likely(name: str) -> str | None:
    """As `part`, also where the name has a word of theirs among others (seg_train, 2_test), which
    the names of classes may have too."""
    words = {ABBREVIATED.get(word, word) for word in re.split(r"[^a-z]+", name.casefold())}
    found = {part(word) for word in words} - {None}
    return part(name) or (found.pop() if len(found) == 1 else None)


def settle(
    names: Iterable[str], part: Callable[[str], str | None] = part
) -> tuple[dict[str, str], list[Finding]]:
    """The `split` of what comes in parts of these names, and what is to be said of it.

    Validation images are development images, as those of train are. Where there is no test part, or
    nothing beside it, or a part of an unknown name, all images are one. `part`: of a name.
    """
    names = sorted(set(names))
    parts = {name: part(name) for name in names}
    apart = None not in parts.values() and {"train", "test"} == {SPLIT[p] for p in parts.values()}
    findings = []
    if apart:
        others = ", ".join(shown(name) for name in names if parts[name] == "train")
        detail = f"as those of {others} are" if others else ""
        findings = [
            Finding("validation part", shown(name), "used as development images", detail)
            for name in names
            if parts[name] == "validation"
        ]
    elif len(names) > 1:
        odd = ", ".join(shown(name) for name in names if parts[name] is None)
        what = "parts of other names" if odd else "parts of which none is the test"
        detail = f"{odd}: known are train, validation and test" if odd else "one may be called test"
        detail += "; test images are drawn from all of them"
        findings = [Finding(what, ", ".join(map(shown, names)), "used as one", detail)]
    return {name: SPLIT[parts[name]] if apart else "" for name in names}, findings
