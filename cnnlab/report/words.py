"""The words of an answer and how its numbers are written: one place for the report, the README,
MLflow and pull requests. A row is one of the table of effects, see `compare.tables`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cnnlab.compare.metrics import METRICS, Metric

HELPS, HURTS, SAME, UNDECIDED = "helps", "hurts", "no practical difference", "undecided"
OPEN = "too close to call"
ORDER = [HELPS, HURTS, UNDECIDED, SAME]  # of verdicts, in a list of answers

PHRASES = {  # what an effect of each kind is measured on
    "main": "on average over having the others or not",
    "start": "on average over the techniques",
    "together": "over the baseline",
    "alone": "added to the baseline",
    "removed": "in the full recipe",
    "interaction": "",
    "shapley": "as its share of what all gain together",
    "ensemble": "over a single network",
    "pair": "",
    "placebo": "only seeds differ",
}
COMPANY = " × the others"  # ends the name of the interaction of a technique with all others

Row = Mapping


def headlines(kinds: Iterable[str]) -> list[str]:
    """The kinds of effect that answer first: main effects, without them those alone and removed;
    then starts and what was asked for besides."""
    kinds = set(kinds)
    first = ["main"] if "main" in kinds else ["alone", "removed"]
    return [kind for kind in (*first, "start", "pair") if kind in kinds]


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words for the effects of one study on one metric."""

    metric: str
    estimate: str  # `compare.estimate`: crossed, or corrected_t
    repeats: int  # that all variants have: where looks begin
    images: str = "images"  # what is counted: images, or groups of them

    @property
    def m(self) -> Metric:
        return METRICS[self.metric]

    def sentence(self, row: Row) -> str:
        """The whole answer."""
        if row["kind"] == "interaction":
            return self.interaction(row)
        name, verdict, looks = _subject(row), row["verdict"], self._looks(row)
        phrase = PHRASES[row["kind"]] and f", {PHRASES[row['kind']]}"
        aside = "" if row["kind"] == "main" else phrase  # it goes without saying
        if row["why"]:
            text = f"{name}{aside}: cannot be told: {row['why']}"
        elif verdict in (HELPS, HURTS):
            text = f"{_decided(row)}: {self.change(row)}{phrase}{looks}"
        elif verdict == SAME:
            makes = "make" if _several(row) else "makes"
            text = f"{name} {makes} {SAME} ({self._rope(row)}){aside}"
        else:
            text = f"{name}{aside}: {_open(row)}{looks}, {self._between(row)}; {self.settle(row)}"
        return f"{capital(text)}.{_aliases(row)}"

    def clause(self, row: Row) -> str:
        """The answer as a part of a sentence, of an "it" that is named before."""
        phrase, verdict, looks = PHRASES[row["kind"]], row["verdict"], self._looks(row)
        if row["why"]:
            return f"{phrase} it cannot be told: {row['why']}"
        if verdict in (HELPS, HURTS):
            return f"{phrase} it {verdict}: {self.change(row)}{looks}"
        if verdict == SAME:
            return f"{phrase} it makes {SAME} ({self._rope(row)})"
        return f"{phrase} it is {_open(row)}{looks}, {self._between(row)}; {self.settle(row)}"

    def brief(self, row: Row) -> str:
        """The answer without its numbers, for a table that has them."""
        if row["why"]:
            return f"cannot be told: {row['why']}"
        verdict = row["verdict"]
        if verdict == UNDECIDED:
            settle = "" if row["kind"] == "placebo" else f"; {self.settle(row)}"
            return f"{OPEN}{self._looks(row)}{settle}"
        if row["kind"] == "interaction":
            verdict = {HELPS: "more together", HURTS: "less together"}.get(verdict, verdict)
        return f"{verdict}{self._looks(row)}"

    def cell(self, row: Row) -> str:
        """The answer with its numbers, as short as can be."""
        verdict = {UNDECIDED: OPEN}.get(row["verdict"], row["verdict"])
        return f"{'cannot be told' if row['why'] else verdict}: {effect(row, self.m)}"

    def change(self, row: Row) -> str:
        """An effect with its unit and interval."""
        m = self.m
        return f"{signed(row['effect'], m)} {m.step} {bounds(row, m)}{_approximate(row)}"

    def settle(self, row: Row) -> str:
        """What would decide an effect that is undecided, by its mean and spread so far."""
        more, images = float(row["more"]), float(row["images_needed"])
        if math.isinf(more):
            if self.estimate != "crossed":
                return "by the assumption of the corrected t, more repeats would not settle it"
            if math.isinf(images):
                return "neither more repeats nor more images would settle it"
            return f"more repeats would not settle it, about {rounded(images)} {self.images} would"
        count = plural(rounded(more), "more repeat")
        if row["repeats"] == 1 and self.estimate == "crossed":
            return f"at least {count} {'is' if more == 1 else 'are'} needed to settle it"
        return f"about {count} would settle it"

    def interaction(self, row: Row, others: Mapping[tuple[str, str], Row] | None = None) -> str:
        """What techniques do to each other. `others`: (kind, technique) -> row, for the two effects
        of a technique that the others make different."""
        whole = {"effect": 2 * row["effect"], "low": 2 * row["low"], "high": 2 * row["high"]}
        name, m = row["technique"], self.m
        names = name.split(" × ")
        if re.search(" [+−] ", name):
            return f"**{name}** cannot be told apart; they come to {self.change(row)}."
        if len(names) > 2:
            return f"**{name}** interact: {self.change(row)}."
        more = "more" if (row["effect"] > 0) == m.higher_is_better else "less"
        size = f"{_distance(whole, m)}{_approximate(row)}"
        if name.endswith(COMPANY):
            alone, full = ((others or {}).get((kind, names[0])) for kind in ("alone", "removed"))
            if alone and full:
                gains = _gains(more, alone["effect"], full["effect"], m)
                size = (
                    f"{signed(alone['effect'], m)} {m.step} {PHRASES['alone']}, "
                    f"{signed(full['effect'], m)} {PHRASES['removed']}, a difference of {size}"
                )
                return f"**{names[0]}** {gains} in company: {size}."
            return f"**{names[0]}** gains {more} in company: a difference of {size}."
        with_, _, than = names[1].partition(" - ")
        than = f" than with **{than}**" if than else ""
        return f"**{names[0]}** gains {more} with **{with_}**{than}: a difference of {size}."

    def _rope(self, row: Row) -> str:
        """What makes no practical difference, and what there is to know of the verdict."""
        parts = [f"±{amount(row['rope'], self.m)}", *["approximate interval"] * row["approximate"]]
        return "; ".join([*parts, *filter(None, [self._looked(row)])])

    def _between(self, row: Row) -> str:
        ends = (signed(row[end], self.m) for end in ("low", "high"))
        return f"between {' and '.join(ends)}{_approximate(row)}"

    def _looks(self, row: Row) -> str:
        looked = self._looked(row)
        return f" ({looked})" if looked else ""

    def _looked(self, row: Row) -> str:
        """After how many looks an effect was decided; "" where repeats were fixed beforehand."""
        looks = int(row["look"])
        if not looks:
            return ""
        decided = UNDECIDED if row["verdict"] == UNDECIDED else "decided"
        repeats = plural(self.repeats + looks - 1, "repeat")
        return f"{decided} after {plural(looks, 'look')}, {repeats}"


def _pair(row: Row) -> tuple[str, str]:
    """The two names of a difference "a - b"; the second is "" where there is one name."""
    first, _, second = row["technique"].partition(" - ")
    return first, second


def _subject(row: Row) -> str:
    first, second = _pair(row)
    if row["kind"] == "ensemble":
        return f"averaging the networks of **{row['technique']}**"
    return f"**{first}** against **{second}**" if second else f"**{first}**"


def _several(row: Row) -> bool:
    """Whether the subject is plural."""
    return row["kind"] == "together"


def _decided(row: Row) -> str:
    """The subject and what it does."""
    first, second = _pair(row)
    if second:
        than = "better" if row["verdict"] == HELPS else "worse"
        return f"**{first}** is {than} than **{second}**"
    verdict = row["verdict"]
    return f"{_subject(row)} {verdict.removesuffix('s') if _several(row) else verdict}"


def _open(row: Row) -> str:
    """That an effect is undecided; why, where its interval, which is of it alone, leaves out 0."""
    return OPEN if row["low"] <= 0 <= row["high"] else f"{OPEN} with several questions asked"


def _gains(more: str, alone: float, full: float, m: Metric) -> str:
    """What company does to an effect that is `alone` without it and `full` in it."""
    sign = 1 if m.higher_is_better else -1
    if more == "more":
        return "gains more" if sign * full > 0 else "loses less"
    return "gains less" if sign * alone > 0 else "loses more"


def _distance(row: Row, m: Metric) -> str:
    """The size of a difference with its interval, as one that is positive."""
    low, high = sorted((row["low"], row["high"]), reverse=row["effect"] < 0)
    ends = [value * (-1 if row["effect"] < 0 else 1) for value in (row["effect"], low, high)]
    mean, low, high = (_plain(value, m) for value in ends)
    return f"{mean} {m.step} [{low}, {high}]"


def _aliases(row: Row) -> str:
    return f" It holds {row['aliases']} besides." if row["aliases"] else ""


def _approximate(row: Row) -> str:
    return " (approximate interval)" if row["approximate"] else ""


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def rounded(number: float) -> int:
    """To two digits: no plan is more exact."""
    return round(float(f"{number:.2g}"))


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def amount(value: float, m: Metric) -> str:
    """A size in the metric's step: "1 point", "0.02 nats"."""
    number = f"{value * m.scale:g}"
    return f"{number} {m.step.removesuffix('s') if number == '1' else m.step}"


def estimate(row: Row, column: str, m: Metric) -> str:
    """A mean with its interval."""
    mean, low, high = (_plain(row[column + end], m) for end in ("", "_low", "_high"))
    return f"{mean} [{low}, {high}]"


def effect(row: Row, m: Metric) -> str:
    """An effect with its interval, signed; without an interval where there is no spread."""
    interval = f" {bounds(row, m)}" if row["low"] < row["high"] else ""
    return f"{signed(row['effect'], m)}{interval}"


def bounds(row: Row, m: Metric, which: str = "") -> str:
    """An interval; `which` "_all": the one that holds for all effects of the kind."""
    return f"[{_plain(row['low' + which], m)}, {_plain(row['high' + which], m)}]"


def signed(value: float, m: Metric) -> str:
    """A difference in the metric's step, with its sign and a true minus."""
    return f"{value * m.scale:+.{m.digits}f}".replace("-", "−")


def _plain(value: float, m: Metric) -> str:
    return f"{value * m.scale:.{m.digits}f}".replace("-", "−")
