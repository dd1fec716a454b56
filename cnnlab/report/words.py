"""The words of an answer and how its numbers are written: one place for the report, the README,
MLflow and pull requests. A row is one of the table of effects, see `compare.tables`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cnnlab.compare.inference import TOGETHER
from cnnlab.compare.metrics import METRICS
from cnnlab.metric import Metric

HELPS, HURTS, SAME, UNDECIDED = "helps", "hurts", "no practical difference", "undecided"
OPEN = "too close to call"
UNTOLD = "cannot be told"  # where a row says why
UNIT = "\0"  # stands where a unit may, until the sentence is whole
MOST_NAMED = 6  # techniques of one verdict that a single sentence names
SHORTEST = 20  # characters that are left of a text that is cut
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
ALONE = "without other techniques"  # of a start that was compared so, and not over the techniques
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
    alpha: float = 0.05  # `compare.alpha`
    probability: float = 0.95  # `compare.probability`

    @property
    def m(self) -> Metric:
        return METRICS[self.metric]

    def sentence(self, row: Row) -> str:
        """The whole answer."""
        if row["kind"] == "interaction":
            return self.interaction(row)
        name, verdict, looks = _subject(row), row["verdict"], self._looks(row)
        phrase = measured_on(row) and f", {measured_on(row)}"
        aside = "" if row["kind"] == "main" else phrase  # it goes without saying
        if row["why"]:
            text = f"{name}{aside}: cannot be told: {row['why']}"
        elif verdict in (HELPS, HURTS):
            text = f"{_decided(row)}: {self.change(row)}{phrase}{looks}"
        elif verdict == SAME:
            makes = "make" if _several(row) else "makes"
            text = f"{name} {makes} {SAME} ({self._rope(row)}){aside}"
        else:
            text = f"{name}{aside}: {self._open(row)}{looks}, {self._between(row)}"
            text += f"; {self.settle(row)}"
        return f"{capital(text)}.{_aliases(row)}"

    def clause(self, row: Row) -> str:
        """The answer as a part of a sentence, of an "it" that is named before."""
        phrase, verdict, looks = measured_on(row), row["verdict"], self._looks(row)
        if row["why"]:
            return f"{phrase} it cannot be told: {row['why']}"
        if verdict in (HELPS, HURTS):
            return f"{phrase} it {verdict}: {self.change(row)}{looks}"
        if verdict == SAME:
            return f"{phrase} it makes {SAME} ({self._rope(row)})"
        return f"{phrase} it is {self._open(row)}{looks}, {self._between(row)}; {self.settle(row)}"

    def brief(self, row: Row) -> str:
        """The answer without its numbers, for a table that has them."""
        if row["why"]:
            return f"{UNTOLD}: {row['why']}"
        verdict = row["verdict"]
        if verdict == UNDECIDED:
            settle = "" if row["kind"] == "placebo" else f"; {self.settle(row)}"
            return f"{OPEN}{self._looks(row)}{settle}"
        if row["kind"] == "interaction":
            verdict = TOGETHER.get(verdict, verdict)
        return f"{verdict}{self._looks(row)}"

    def cell(self, row: Row) -> str:
        """The answer with its numbers, as short as can be."""
        verdict = {UNDECIDED: OPEN}.get(row["verdict"], row["verdict"])
        return f"{UNTOLD if row['why'] else verdict}: {effect(row, self.m)}"

    def opening(self, rows: Sequence[Row]) -> str:
        """One sentence with the answers of all `rows`, of which the best come first: what helps and
        what hurts with its numbers, the rest by name."""
        parts = []
        for kind in ("alone", "removed"):
            of_kind = self._verdicts([row for row in rows if row["kind"] == kind])
            parts += [f"{PHRASES[kind]}, {part}" for part in of_kind[:1]] + of_kind[1:]
        parts += self._verdicts([row for row in rows if row["kind"] not in ("alone", "removed")])
        # The unit is said once.
        first, *rest = capital(f"{'; '.join(parts)}.").split(UNIT)
        return f"{first} {self.m.step}{''.join(rest)}" if rest else first

    def _verdicts(self, rows: Sequence[Row]) -> list[str]:
        """Parts of that sentence, a verdict or a pair each; `UNIT` stands where a unit may."""
        parts = []
        for verdict, one, some in (
            (HELPS, "helps", "help"),
            (HURTS, "hurts", "hurt"),
            (SAME, f"makes {SAME}", f"make {SAME}"),
            (UNDECIDED, f"is {OPEN}", f"are {OPEN}"),
        ):
            decided = verdict in (HELPS, HURTS)
            of_verdict = [row for row in rows if row["verdict"] == verdict and not row["why"]]
            pairs = [row for row in of_verdict if _pair(row)[1]]
            singles = [row for row in of_verdict if row not in pairs]
            if singles:
                each = [f"{_subject(r)}{self._number(r) if decided else ''}" for r in singles]
                single = len(singles) == 1 and not _several(singles[0])
                parts.append(f"{listed(each)} {one if single else some}")
            parts += [
                f"{_decided(row)}{self._number(row)}" if decided else f"{_subject(row)} {one}"
                for row in pairs
            ]
        for why in dict.fromkeys(row["why"] for row in rows if row["why"]):
            names = [_subject(row) for row in rows if row["why"] == why]
            parts.append(f"{listed(names)} cannot be told ({why})")
        return parts

    def _number(self, row: Row) -> str:
        number, _, interval = effect(row, self.m).partition(" ")
        about = ", approximate" if row["approximate"] else ""
        return f" ({number}{UNIT}{interval and f' {interval}'}{about})"

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

    def _open(self, row: Row) -> str:
        """That an effect is undecided; why, where it would be significant if asked about alone."""
        several = row["p"] < self.alpha <= row["p_holm"]
        return f"{OPEN} with several questions asked" if several else OPEN

    def _rope(self, row: Row) -> str:
        """What makes no practical difference, and what there is to know of the verdict."""
        parts = [f"±{amount(row['rope'], self.m)}", *["approximate interval"] * row["approximate"]]
        return "; ".join([*parts, *filter(None, [self._looked(row)])])

    def _between(self, row: Row) -> str:
        ends = (signed(_possible(row[end], self.m), self.m) for end in ("low", "high"))
        return f"between {' and '.join(ends)}{_approximate(row)}"

    def chances(self, row: Row) -> str:
        """How probable it is that an effect helps, makes no practical difference, hurts, in
        percent; to a tenth where a whole number would seem to be enough for an answer."""
        shares = [100 * row[name] for name in ("p_helps", "p_same", "p_hurts")]
        open_ = row["verdict"] == UNDECIDED and round(max(shares)) >= 100 * self.probability
        return " / ".join(f"{share:.{1 if open_ else 0}f}" for share in shares)

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


def measured_on(row: Row) -> str:
    """What an effect is measured on; "" where that goes without saying."""
    alone = row["kind"] == "start" and len(row["plus"].split()) == 1
    return ALONE if alone else PHRASES[row["kind"]]


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
    mean, low, high = map(m.plain, ends)
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
    """ "1 point", "2 points"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"; of many the first, and how many more."""
    names = list(names)
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def shortened(text: str, most: int) -> str:
    """A text with at most `most` characters, cut where a sentence or a part of one ends."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    ends = [(end, head.find(end, SHORTEST)) for end in (". ", "; ", ": ")]
    ends += [(end, head.rfind(end, SHORTEST)) for end in (", ", " ")]
    for end, at in ends:
        if at > 0:
            head = head[:at]
            return head if head[-1] in ".?!" else head + ("." if end == ". " else " …")
    return head + "…"


def amount(value: float, m: Metric) -> str:
    """A size in the metric's step: "1 point", "0.02 nats"."""
    number = f"{value * m.scale:g}"
    return f"{number} {m.step.removesuffix('s') if number == '1' else m.step}"


def estimate(row: Row, column: str, m: Metric) -> str:
    """A mean with its interval, which ends where the metric does."""
    least, most = m.bounds
    ends = (min(max(row[column + end], least), most) for end in ("_low", "_high"))
    low, high = map(m.plain, ends)
    return f"{m.plain(row[column])} [{low}, {high}]"


def effect(row: Row, m: Metric) -> str:
    """An effect with its interval, signed; without an interval where there is no spread, or none
    that the digits show."""
    number, interval = signed(row["effect"], m), bounds(row, m)
    alone = number.removeprefix("+")
    told = row["low"] < row["high"] and interval != f"[{alone}, {alone}]"
    return f"{number} {interval}" if told else number


def bounds(row: Row, m: Metric, which: str = "") -> str:
    """An interval of a difference, which ends where two values of the metric are furthest apart;
    `which` "_all": the one that holds for all effects of the kind."""
    low, high = (m.plain(_possible(row[end + which], m)) for end in ("low", "high"))
    return f"[{low}, {high}]"


def _possible(difference: float, m: Metric) -> float:
    most = m.bounds[1] - m.bounds[0]
    return min(max(difference, -most), most)


def signed(value: float, m: Metric) -> str:
    """A difference in the metric's step, with its sign and a true minus; 0 has no sign."""
    return m.signed(value)
