"""How often is the comparison wrong? Counted in studies whose true effects are known.

Every number here is a share of studies. Estimates, verdicts, looks and recommendations are the
product's own functions; besides, there are two tests that are in wide use, for comparison.

Columns of the table of rates, one row a contrast; and one over all contrasts, whose `kind` is
"all" and `contrast` "mean":

    method      crossed, corrected t, plain t or McNemar
    repeats     how many repeats it is given: the first ones
    kind        whose family Holm's correction goes over
    contrast    whose effect
    effect      the true one, in the metric's units; over all: empty
    studies     how many
    missed      share in which the interval misses the true effect; over all: mean over contrasts
    missed_se   its standard error, from the spread of studies
    clear       share in which it is significant after Holm's correction; over all: share in which
                any effect is that is truly none
    wrong       share in which it is significant and has the wrong sign
    decided     share with a verdict
    same_wrong  share with the verdict "no practical difference" though the true effect is beyond
                the rope

Columns of the table of sequential repeats, one row a contrast: `first`, `most` (looks after each
repeat from the first to the last); `contrast`, `effect`, `studies`; shares in which the true effect
is rejected: `false` (at any look), `false_unbounded` (at any look, by tests that do not know of
looks), `false_fixed` (by one test after `most` repeats); shares in which the effect is significant:
`found`, `found_on` (where repeats go on although images alone seem too few to decide),
`found_first` (one test after `first` repeats), `found_fixed` (after `most`); `wrong` and
`same_wrong` as above; `missed` (the interval at the end misses the true effect); `repeats`,
`repeats_on` (mean number used, for `found` and `found_on`).

Columns of the table of recommendations, one row a rule and method: `repeats`, `method`, `rule`,
`studies`, `loss` (mean loss of true score against the truly best variant, in the metric's units),
`loss_se`, `loss_95` (exceeded in one study of twenty), `techniques` (mean number recommended).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv

from cnnlab.compare.contrasts import Contrast, differences
from cnnlab.compare.inference import Estimate, Split
from cnnlab.compare.recommend import recommend
from cnnlab.compare.tables import Looks, Rules, Values, effect_rows, open_effects

RATE_COLUMNS = ["method", "repeats", "kind", "contrast", "effect", "studies", "missed", "missed_se"]
RATE_COLUMNS += ["clear", "wrong", "decided", "same_wrong"]


@dataclass(frozen=True)
class Study:
    """What one study measured."""

    values: Values  # variant -> (repeats, images)
    split: Split

    def first(self, repeats: int) -> Study:
        """The same after its first repeats."""
        short = {name: values[:repeats] for name, values in self.values.items()}
        return Study(short, Split(self.split.fold[:repeats], self.split.group))


class PlainT(Rules):
    """The paired t test of folds, which takes folds for independent."""

    def prior(self, values: Sequence[np.ndarray], split: Split) -> None:
        return None

    def estimate_of(self, values: np.ndarray, split: Split, prior: float | None) -> Estimate:
        means = split.means(values)
        repeats, folds = means.shape
        sd = float(means.std(ddof=1))

        def after(repeats: float) -> tuple[float, float]:
            return sd / math.sqrt(repeats * folds), repeats * folds - 1

        return _estimate(float(values.mean()), after, repeats, split)


class McNemar(Rules):
    """McNemar's test of the first repeat, which takes the networks for all there could be.

    Its statistic is that of chi-squared without a correction, (b - c) / sqrt(b + c) for the images
    that just one of two variants got right; for any other contrast the same formula holds.
    """

    def prior(self, values: Sequence[np.ndarray], split: Split) -> None:
        return None

    def estimate_of(self, values: np.ndarray, split: Split, prior: float | None) -> Estimate:
        first = values[0]
        error = math.sqrt(float((first**2).sum())) / len(first)
        return _estimate(float(first.mean()), lambda repeats: (error, math.inf), 1, split)


def _estimate(mean: float, after, repeats: int, split: Split) -> Estimate:
    error, df = after(repeats)
    why = "" if error else "all folds are alike"
    n = len(split.group)
    return Estimate(
        mean=mean,
        error=error,
        df=df,
        n=n,
        repeats=repeats,
        folds=split.folds,
        why=why,
        after=after,
    )


def methods_of(rules: Rules) -> dict[str, Rules]:
    """The estimates that are compared, by name, all with the same levels, rope and guard."""
    given = vars(rules)
    return {
        "crossed": Rules(**{**given, "estimate": "crossed"}),
        "corrected t": Rules(**{**given, "estimate": "corrected_t"}),
        "plain t": PlainT(**given),
        "McNemar": McNemar(**given),
    }


def effect_of(contrast: Contrast, truth: Mapping[str, float]) -> float:
    """The true effect; `truth`: variant -> its true score."""
    return math.fsum(weight * truth[v] for v, weight in contrast.weights.items())


def rates(
    studies: Iterable[Study],
    contrasts: Sequence[Contrast],
    truth: Mapping[str, float],
    methods: Mapping[str, Rules],
    repeats: Sequence[int],
) -> list[dict]:
    """The table of rates. McNemar's test is made of the first repeat, once."""
    effects = np.array([effect_of(contrast, truth) for contrast in contrasts])
    asked = [(m, r) for m in methods for r in repeats if m != "McNemar" or r == 1]
    seen: dict[tuple[str, int], list] = {key: [] for key in asked}
    for study in studies:
        for method, number in asked:
            short = study.first(number)
            rows = effect_rows(contrasts, short.values, short.split, methods[method])
            outcomes = [_outcome(*each) for each in zip(rows, effects, strict=True)]
            seen[method, number].append(outcomes)
    table = []
    for (method, number), outcomes in seen.items():
        counted = np.array(outcomes, float)  # studies, contrasts, columns
        base = {"method": method, "repeats": number}
        for i, contrast in enumerate(contrasts):
            names = {"kind": contrast.kind, "contrast": contrast.name, "effect": effects[i]}
            table.append({**base, **names, **_shares(counted[:, i])})
        whole = _shares(counted.mean(axis=1))
        whole["clear"] = counted[:, effects == 0, 1].any(axis=1).mean()
        names = {"kind": "all", "contrast": "mean", "effect": math.nan}
        table.append({**base, **names, **whole})
    return [{column: row[column] for column in RATE_COLUMNS} for row in table]


def _outcome(row: Mapping, effect: float) -> tuple[bool, ...]:
    """missed, clear, wrong, decided, same_wrong."""
    same = row["verdict"] == "no practical difference"
    return (
        not row["low"] <= effect <= row["high"],
        row["clear"],
        row["clear"] and row["effect"] * effect < 0,
        row["verdict"] != "undecided",
        same and abs(effect) > row["rope"],
    )


def _shares(counted: np.ndarray) -> dict[str, float]:
    """Means over studies of columns as `_outcome` gives them, (studies, columns)."""
    missed, clear, wrong, decided, same_wrong = counted.mean(axis=0).tolist()
    return {
        "studies": len(counted),
        "missed": missed,
        "missed_se": float(counted[:, 0].std() / math.sqrt(len(counted))),
        "clear": clear,
        "wrong": wrong,
        "decided": decided,
        "same_wrong": same_wrong,
    }


def sequential(
    studies: Sequence[Study], contrast: Contrast, effect: float, rules: Rules, looks: Looks
) -> dict:
    """One row of the table of sequential repeats. `effect`: the true one."""
    counted = []
    for study in studies:
        gain = differences(contrast, study.values)[: looks.most]
        shifted = [_p(gain[:r] - effect, study.split, rules) for r in _looks(looks)]
        plain = [_p(gain[:r], study.split, rules) for r in (looks.first, looks.most)]
        tested = _row(gain - effect, study.split, replace(rules, rope=0.0, looks=looks))
        last = stopped(gain, study.split, replace(rules, looks=looks))
        on = _row(gain, study.split, replace(rules, looks=looks))
        sure = on["verdict"] != "undecided"
        counted.append(
            {
                "false": tested["clear"],
                "false_unbounded": min(shifted) < rules.alpha,
                "false_fixed": shifted[-1] < rules.alpha,
                "found": last["clear"],
                "found_on": on["clear"],
                "found_first": plain[0] < rules.alpha,
                "found_fixed": plain[1] < rules.alpha,
                "wrong": last["clear"] and last["effect"] * effect < 0,
                "same_wrong": last["verdict"] == "no practical difference"
                and abs(effect) > rules.rope,
                "missed": not last["low"] <= effect <= last["high"],
                "repeats": last["repeats"],
                "repeats_on": looks.first + on["look"] - 1 if sure else looks.most,
            }
        )
    row = {"first": looks.first, "most": looks.most, "contrast": contrast.name, "effect": effect}
    row["studies"] = len(counted)
    return row | {name: float(np.mean([c[name] for c in counted])) for name in counted[0]}


def stopped(gain: np.ndarray, split: Split, rules: Rules) -> dict:
    """The row of one effect when no further repeat is added, as `stages.decide` adds them.

    `gain`: (repeats, images), of all repeats there could be."""
    for repeats in _looks(rules.looks):
        row = _row(gain[:repeats], Split(split.fold[:repeats], split.group), rules)
        if not open_effects([row], rules.looks.most):
            break
    return row


def _looks(looks: Looks) -> range:
    return range(looks.first, looks.most + 1)


def _p(gain: np.ndarray, split: Split, rules: Rules) -> float:
    return rules.estimates([gain], split)[0].p


def _row(gain: np.ndarray, split: Split, rules: Rules) -> dict:
    values = {"with": gain, "without": np.zeros_like(gain)}
    contrast = Contrast("gain", "pair", {"with": 1.0, "without": -1.0})
    return effect_rows([contrast], values, split, rules)[0]


def losses(
    studies: Sequence[Study],
    techniques: Mapping[str, Sequence[str]],
    truth: Mapping[str, float],
    rules: Rules,
    probability: float,
) -> list[dict]:
    """The table of recommendations by one method; `techniques`: of the variants that may be
    recommended. `probability`: of the rule simplest, which is asked at even odds, too. More is
    better."""
    top = max(truth[name] for name in techniques)
    asked = {
        "best": ("best", probability),
        f"simplest, {probability:g}": ("simplest", probability),
        "simplest, 0.5": ("simplest", 0.5),
    }
    chosen: dict[str, list[str]] = {"best mean": [], **{name: [] for name in asked}}
    costs = dict.fromkeys(techniques, 1.0)
    for study in studies:
        values = {name: study.values[name] for name in techniques}
        for name, (rule, level) in asked.items():
            at = replace(rules, probability=level)
            rows = recommend(rule, values, techniques, costs, study.split, at)
            chosen[name] += [row["name"] for row in rows if row["recommended"]]
        chosen["best mean"].append(min(rows, key=lambda row: row["behind"])["name"])
    table = []
    for name, variants in chosen.items():
        lost = np.array([top - truth[variant] for variant in variants])
        table.append(
            {
                "repeats": len(studies[0].split.fold),
                "rule": name,
                "studies": len(lost),
                "loss": float(lost.mean()),
                "loss_se": float(lost.std() / math.sqrt(len(lost))),
                "loss_95": float(np.quantile(lost, 0.95)),
                "techniques": float(np.mean([len(techniques[v]) for v in variants])),
            }
        )
    return table


def share(count: int, of: int, confidence: float) -> tuple[float, float, float]:
    """A share with its exact binomial interval (Clopper and Pearson 1934), all in [0, 1]."""
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return count / of, low, high
