"""The page reports/validity/README.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from cnnlab.compare.metrics import METRICS
from cnnlab.compare.options import Compare
from cnnlab.compare.validity import share
from cnnlab.look.validity import FRESH, missed, simulated_missed
from cnnlab.report import picture
from cnnlab.report.words import amount

HEAD = """# How often is the comparison wrong?

`make validate` made this page. It counts errors in studies whose true effects are known. Each study
is evaluated as `stages.compare` does it, by `params.yaml`: guard {guard:g}, {confidence:.10g} %
intervals; significant: p after Holm's correction below {alpha:g}; no practical difference: up to
±{rope}.
{lacking}
{answer}

{figure}
"""

RECORDED = """
## A small CNN, recorded

Outcomes of 164,700 trainings of a small CNN on deformed digits, which lie beside the clone
(`../shared/data/validity`) where they are counted, and not in it. Every study has
images of its own, so an effect's mean over all studies of a set is its true size, to about 0.1
points. Sets a, b and c (131,100 trainings) chose the guard. Set d, of fresh seeds,
confirmed it.

**Studies that reject the true effect at 5 % (%)**: mean over effects ± its standard error, in
brackets the worst effect. One effect's rate of 5 % has a Monte Carlo error of {error:.1f} points.

{missed}

Effects: each technique on average over the others (least squares over all variants of the star, or
over the full factorial), alone, removed from the full recipe; all together; and the same recipe
under other seeds.
{fresh}"""

FRESH_EFFECTS = """
**Each effect of set {fresh}, {repeats} repeats, {studies} studies (%)**

{effects}

*rejects*: the interval misses the true effect; one minus that is the coverage. *significant*: after
Holm's correction over the effects of one kind. *decided*: with a verdict.
{verdicts}
"""

SEQUENTIAL = """
## Repeats only where needed, recorded

Set b has ten repeats. A repeat is added until the effect is decided, until images alone seem too
few to decide it, or until there are ten; bounds of O'Brien and Fleming at each look. Each effect is
a study of its own.

**Studies that reject the true effect (%)**: with those bounds, by a test that does not know of
looks, and by one test after ten repeats. One rate of 5 % has a Monte Carlo error of {error:.1f}
points.

{errors}

**Studies in which it is significant (%), and repeats that it took.** *To the end*: repeats go on
although images alone seem too few.

{power}

{saved}
"""

RECOMMENDED = """
## The variant to take home, recorded

True accuracy that the recommended variant loses against the truly best one, in points: mean ±
standard error, and what one study in twenty exceeds. *best* and *simplest* are the rules of
`final.rule`, *best mean* takes the highest score.

{recommended}
"""

SIMULATED = """
## Simulated studies

Networks are small (random ReLU features with a ridge regression) but really trained on really
overlapping folds; a wider one is better, by a known amount. Near duplicates: groups of four images
that are alike and are split together. Rare classes: 60, 25, 10 and 5 % of the images. McNemar's
test is of the first repeat. A rate of 5 % in 1,000 studies has a Monte Carlo error of 0.7 points.

**Studies that reject the true effect at 5 % (%)**

{missed}

**Studies in which it is significant (%)**

{power}

Of five techniques that have no effect, any is significant after Holm's correction in {family} of
studies (crossed).

**Metrics that are no mean over images**, by influence values (crossed): studies that reject the
true effect at 5 % (%), mean over settings, in brackets the worst.

{influence}

{calibrated}
"""

CORRELATED = """
## Where it would be wrong

No estimate sees how much other training images would change: it has only these (Bengio and
Grandvalet 2004). The corrected t allows for that by assuming a correlation of folds of 1 / folds.
Were it so, in normal differences without any network, a test at 5 % would see an effect of nothing
in so many studies (%):

{correlated}

The trained networks above, whose true effects are over all training sets, show no such correlation.
The guard is the crossed estimate's allowance for it. A learner that depends much more on its
training images needs a larger one, or `compare.estimate: corrected_t`.
"""

TRAINED = """
## This study's trainer, no effect

The network of `params.yaml` without techniques, under two names with fresh seeds, on the dev images
of the study: {studies} studies of one repeat, folds drawn anew for each. Studies that see an effect
(%), with exact binomial {confidence:.10g} % intervals:

{trained}
"""


def page(
    tables: Mapping[str, pd.DataFrame], options: Compare, figure: Path, lacking: Sequence[str]
) -> str:
    """The page in Markdown. `tables`: those of `cnnlab.validate` that there are; `lacking`: sets of
    recorded studies that were not there when it was made."""
    text = HEAD.format(
        guard=options.guard,
        alpha=options.alpha,
        rope=amount(options.rope.accuracy, METRICS["accuracy"]),
        confidence=options.confidence * 100,
        lacking=_lacking(lacking, tables.get("recorded")),
        answer=textwrap.fill(_answer(tables), 100, break_on_hyphens=False),
        figure=picture(figure, figure.parent),
    )
    if "recorded" in tables:
        table = tables["recorded"]
        error = 100 * (0.05 * 0.95 / table["studies"].max()) ** 0.5
        fresh = _fresh(table) if FRESH in set(table["set"]) else ""
        text += RECORDED.format(missed=_missed(table), error=error, fresh=fresh)
    if "sequential" in tables:
        table = tables["sequential"]
        errors, power = _sequential(table)
        error = 100 * (0.05 * 0.95 / table["studies"].max()) ** 0.5
        text += SEQUENTIAL.format(errors=errors, power=power, error=error, saved=_saved(table))
    if "recommended" in tables:
        text += RECOMMENDED.format(recommended=_recommended(tables["recommended"]))
    text += _simulated(tables["simulated"], options)
    text += CORRELATED.format(correlated=_by_method(tables["correlated"], options))
    if "trained" in tables:
        table = tables["trained"]
        text += TRAINED.format(
            studies=table["studies"].iloc[0],
            confidence=options.confidence * 100,
            trained=_by_method(table, options),
        )
    return text


def _lacking(sets: Sequence[str], recorded: pd.DataFrame | None) -> str:
    if not sets:
        return ""
    kept = sorted(set(recorded["set"].str[0]) & set(sets)) if recorded is not None else []
    lines = f"Recorded outcomes were lacking: set{'s' * (len(sets) > 1)} {', '.join(sets)} of"
    lines += " `../shared/data/validity`."
    if kept:
        lines += f" What is said of {', '.join(kept)} was counted before."
    if set(sets) - set(kept):
        lines += f" Of {', '.join(sorted(set(sets) - set(kept)))} nothing can be said."
    return f"\n> {lines}\n"


def _answer(tables: Mapping[str, pd.DataFrame]) -> str:
    """The first paragraph."""
    accuracy = tables["simulated"][tables["simulated"]["metric"] == "accuracy"]
    simulated = simulated_missed(accuracy).set_index(["setting", "repeats", "method"])
    real = simulated.loc["true effects", "more", "crossed"]
    text = ""
    recorded = tables.get("recorded")
    if recorded is not None and FRESH in set(recorded["set"]):
        text += _answer_recorded(recorded) + _answer_more(tables) + " "
    return text + (
        f"Of simulated studies with a true effect {_percent(real['mean'])} reject it (worst "
        f"{_percent(real['worst'])}), of those without one "
        f"{_percent(simulated.loc['no effect', 'more', 'crossed']['mean'])}."
    )


def _answer_recorded(table: pd.DataFrame) -> str:
    rows = table[table["set"] == FRESH]
    rows = rows[rows["repeats"] == rows["repeats"].max()]
    single = rows[rows["kind"] != "all"]
    rates = missed(rows, "set").set_index("method")
    crossed = single[single["method"] == "crossed"]
    real = crossed[crossed["effect"] != 0]
    main = real[real["kind"] == "main"]
    largest = main.loc[main["effect"].abs().idxmax()]
    other = single[(single["contrast"] == largest["contrast"]) & (single["kind"] == "main")]
    other = other.set_index("method")["clear"]
    clear, wrong = ((real[name] * real["studies"]).sum() for name in ("clear", "wrong"))
    same = (crossed["same_wrong"] * crossed["studies"]).sum()
    r = rates["mean"]
    return (
        f"**Of {int(rates['studies'].iloc[0])} fresh studies of a small CNN, whose true effects are"
        f" known, {_percent(r['crossed'])} reject the true effect at 5 %** (mean over "
        f"{len(crossed)} effects; worst {_percent(rates['worst']['crossed'])}; corrected t "
        f"{_percent(r['corrected t'])}, plain t {_percent(r['plain t'])}). A true "
        f"{_points(largest['effect'])} points ({largest['contrast']}, main effect) is significant "
        f"in {_whole(largest['clear'])} of them; by the corrected t in "
        f"{_whole(other['corrected t'])}. Of {clear:.0f} significant true effects {wrong:.0f} had "
        f"the wrong sign, and {same:.0f} effects beyond the rope were called no practical "
        "difference. "
    )


def _answer_more(tables: Mapping[str, pd.DataFrame]) -> str:
    text = ""
    if "sequential" in tables:
        rows = tables["sequential"]
        rows = rows[rows["first"] == rows["first"].max()]
        most = rows["most"].iloc[0]
        false, repeats = rows["false"].mean(), rows["repeats"].mean()
        text += (
            "Where repeats are added only while an effect is undecided, "
            f"{_percent(false)} reject it, with {repeats:.1f} repeats instead of {most}. "
        )
    if "recommended" in tables:
        rows = tables["recommended"]
        rows = rows[(rows["set"] == FRESH) & (rows["method"] == "crossed")]
        rows = rows[rows["repeats"] == rows["repeats"].max()].set_index("rule")["loss"] * 100
        if "best" in rows:
            text += f"The recommended variant loses {rows['best']:.2f} points of true accuracy."
    return text


def _missed(table: pd.DataFrame) -> str:
    """Rejections by set, repeats and method."""
    rates, images = missed(table, "set"), table.groupby("set")["images"].first()
    methods = list(dict.fromkeys(rates["method"]))
    rows = []
    for (name, repeats), group in rates.groupby(["set", "repeats"]):
        of = group.set_index("method")
        fresh = " (fresh)" if name == FRESH else ""
        cells = [f"{name}{fresh}", f"{images[name]}", f"{repeats}", f"{of['studies'].iloc[0]}"]
        for method in methods:
            row = of.loc[method] if method in of.index else None
            cells.append(
                "–"
                if row is None
                else f"{_rate(row['mean'])} ± {_rate(row['se'])} ({_rate(row['worst'])})"
            )
        rows.append(cells)
    return _table(["set", "images", "repeats", "studies", *methods], rows)


def _fresh(table: pd.DataFrame) -> str:
    rows = table[table["set"] == FRESH]
    rows = rows[rows["repeats"] == rows["repeats"].max()]
    cells = []
    columns = {"crossed": ["missed", "clear", "decided"]}
    columns |= {"corrected t": ["missed", "clear", "decided"], "plain t": ["missed", "clear"]}
    of = {method: group.set_index(["kind", "contrast"]) for method, group in rows.groupby("method")}
    for key, row in of["crossed"].iterrows():
        if key[0] != "all":
            values = [of[m].loc[key, c] for m, names in columns.items() for c in names]
            cells.append([*key, _points(row["effect"]), *map(_rate, values)])
    names = {"missed": "rejects", "clear": "significant", "decided": "decided"}
    head = [f"{m}: {names[c]}" for m, columns_of in columns.items() for c in columns_of]
    return FRESH_EFFECTS.format(
        fresh=FRESH,
        repeats=rows["repeats"].iloc[0],
        studies=rows["studies"].iloc[0],
        effects=_table(["kind", "effect", "points", *head], cells),
        verdicts=_verdicts(table),
    )


def _verdicts(table: pd.DataFrame) -> str:
    """What the star decides by main effects, by effects of techniques alone, and as it was."""
    parts = []
    for name in ("a", FRESH):
        rows = table[(table["set"] == name) & (table["repeats"] == 3)]
        if len(rows):
            of = rows.groupby(["kind", "method"])["decided"].mean()
            parts.append(
                f"in set {name} {_whole(of['main', 'crossed'])} of the main effects have a verdict "
                f"(corrected t: {_whole(of['main', 'corrected t'])}), of the effects alone "
                f"{_whole(of['alone', 'crossed'])} ({_whole(of['alone', 'corrected t'])})"
            )
    text = "; ".join(parts)
    sentence = f"After three repeats of the star, 180 trainings, {text}."
    return f"\n{textwrap.fill(sentence, 100)}" if parts else ""


def _sequential(table: pd.DataFrame) -> tuple[str, str]:
    """Errors, and what is found at what cost."""
    lead = ["first look after", "effect", "points"]
    errors = {"with bounds": "false", "without bounds": "false_unbounded"}
    errors |= {"ten fixed": "false_fixed", "wrong sign": "wrong"}
    power = {"as needed": "found", "to the end": "found_on", "first look only": "found_first"}
    power |= {"ten fixed": "found_fixed"}
    counts = {"repeats, as needed": "repeats", "repeats, to the end": "repeats_on"}
    rows: tuple[list, list] = [], []
    for row in table.sort_values(["first", "effect"], ascending=False).to_dict("records"):
        cells = [f"{row['first']}", f"{row['contrast']} ({row['kind']})", _points(row["effect"])]
        rows[0].append([*cells, *(_rate(row[name]) for name in errors.values())])
        used = [f"{row[name]:.1f}" for name in counts.values()]
        rows[1].append([*cells, *(_rate(row[name]) for name in power.values()), *used])
    return _table([*lead, *errors], rows[0]), _table([*lead, *power, *counts], rows[1])


def _saved(table: pd.DataFrame) -> str:
    parts = []
    for first, rows in table.groupby("first"):
        less = 1 - rows["repeats"].mean() / rows["most"].mean()
        parts.append(f"{_whole(less)} where the first look is after {first}")
    return f"Trainings saved against ten fixed repeats: {', '.join(parts)}."


def _recommended(table: pd.DataFrame) -> str:
    head = ["set", "repeats", "rule", "estimate", "loss", "exceeded in 1 of 20", "techniques"]
    rows = []
    for row in table.to_dict("records"):
        if row["method"] == "corrected t" and not row["rule"].startswith("simplest, 0.9"):
            continue  # its other choices are nearly the crossed estimate's
        loss = f"{row['loss'] * 100:.2f} ± {row['loss_se'] * 100:.2f}"
        rows.append([row["set"], f"{row['repeats']}", row["rule"], row["method"], loss])
        rows[-1] += [f"{row['loss_95'] * 100:.1f}", f"{row['techniques']:.1f}"]
    return _table(head, rows)


def _simulated(table: pd.DataFrame, options: Compare) -> str:
    accuracy = table[table["metric"] == "accuracy"]
    single = accuracy[accuracy["kind"] != "all"]
    methods = ("crossed", "corrected t", "plain t")
    head = ["", "points", "studies", "repeats", *methods, "crossed, 1 repeat", "McNemar"]
    rows: dict[str, list] = {"missed": [], "clear": []}
    for setting, group in single.groupby("setting", sort=False):
        first, repeats = group.iloc[0], group["repeats"].max()
        lead = [setting, _points(first["effect"]), f"{first['studies']}", f"{repeats}"]
        of = group.groupby(["method", "repeats"])[["missed", "clear"]].mean()
        asked = [*((m, repeats) for m in methods), ("crossed", 1), ("McNemar", 1)]
        for column, cells in rows.items():
            if column == "missed" or first["effect"] != 0:
                cells.append([*lead, *(_rate(of.loc[key, column]) for key in asked)])
    five = accuracy[
        accuracy["setting"].str.contains("five")
        & (accuracy["kind"] == "all")
        & (accuracy["method"] == "crossed")
    ]
    influence, calibrated = _influence(table, options)
    return SIMULATED.format(
        missed=_table(head, rows["missed"]),
        power=_table(head, rows["clear"]),
        family=_percent(five.loc[five["repeats"].idxmax(), "clear"]),
        influence=influence,
        calibrated=calibrated,
    )


def _influence(table: pd.DataFrame, options: Compare) -> tuple[str, str]:
    """The table of metrics that are no mean, and whether they are calibrated."""
    rows, bad = [], []
    for metric in dict.fromkeys(table["metric"]):
        of_metric = table[(table["metric"] == metric) & (table["method"] == "crossed")]
        rates = simulated_missed(of_metric)
        means = rates.to_dict("records")
        rows.append([metric, *(f"{_rate(r['mean'])} ({_rate(r['worst'])})" for r in means)])
        single = of_metric[of_metric["kind"] != "all"]
        ends = [
            share(round(rate * of), int(of), options.confidence)[1]
            for rate, of in zip(single["missed"], single["studies"], strict=True)
        ]
        if metric != "accuracy" and max(ends) > options.alpha:
            bad.append(metric)
    rates = simulated_missed(table[table["metric"] == "accuracy"])
    names = [
        f"{setting}, {'1 repeat' if repeats == '1' else 'more'}"
        for setting, repeats in dict.fromkeys(zip(rates["setting"], rates["repeats"], strict=True))
    ]
    others = [m for m in dict.fromkeys(table["metric"]) if m not in ("accuracy", *bad)]
    text = f"Calibrated (nowhere significantly above 5 %): {', '.join(others)}." if others else ""
    if bad:
        text += f" Not calibrated: {', '.join(bad)}."
    return _table(["metric", *names], rows), text.strip()


def _by_method(table: pd.DataFrame, options: Compare) -> str:
    """Rejections of no effect, by method and repeats."""
    single = table[table["kind"] != "all"]
    methods = list(dict.fromkeys(single["method"]))
    rows = []
    for repeats, group in single.groupby("repeats"):
        of = group.set_index("method")
        cells = [f"{repeats}"]
        for method in methods:
            if method not in of.index:
                cells.append("–")
                continue
            rate, count = of.loc[method, "missed"], int(of.loc[method, "studies"])
            cells.append(_with_interval(share(round(rate * count), count, options.confidence)))
        rows.append(cells)
    return _table(["repeats", *methods], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _points(effect: float) -> str:
    """An effect on accuracy, in points."""
    return f"{effect * 100:+.1f}".replace("-", "−") if effect else "0"


def _rate(share: float) -> str:
    """In %, in a table whose title says so."""
    return f"{share * 100:.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _whole(share: float) -> str:
    return f"{share * 100:.0f} %"


def _with_interval(shares: Sequence[float]) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(value * 100 for value in shares))
