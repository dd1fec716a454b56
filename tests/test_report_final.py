"""What the report and the model card say of the recommended recipe."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cnnlab.compare import METRICS, judge
from cnnlab.report import final as report

M = METRICS["accuracy"]
ROPE = "1 points"


def candidates(recommended="plain"):
    """Three variants; the best is `both`, 2 points before `plain` and 20 before `poor`."""
    rows = [
        ("plain", "", 0.90, 0.02, 0.6),
        ("poor", "x", 0.72, 0.2, 0.99),
        ("both", "x y", 0.92, 0, 0),
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


def test_it_says_what_is_given_up_for_simplicity():
    said = why("plain")
    assert said.startswith("**plain** is recommended: out of fold 90.0 [87.0, 93.0] %.")
    assert "the simplest of 2 variants that are level with the best, both (92.0" in said
    assert "leads it by +2.0 points [+1.0, +3.0], by more than 1 points" in said
    assert "a probability of 60%; 95% would pass it over" in said


def test_it_says_when_the_best_is_taken():
    assert why("both").endswith(
        "No variant has a better mean, and nothing simpler is level with it."
    )
    assert why("both", "best").endswith("No variant has a better mean.")


def test_the_table_of_variants_has_the_best_first():
    lines = report.candidates_table(candidates(), M, 0.95, ROPE).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("**both**", "**plain** (recommended)", "**poor**")
    ]
    assert "| 92.0 [89.0, 95.0] | – | 0% | yes | 4.00 × |" in lines[2]
    assert "| – | 90.0 [87.0, 93.0] | +2.0 [+1.0, +3.0] | 60% | yes | 1.00 × |" in lines[3]
    assert "| no | 2.00 × |" in lines[4]


@pytest.fixture
def found():
    labels, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    shares = np.where(np.eye(3)[said] > 0, 0.8, 0.1)
    names = ["cat", "d|g", "eel"]
    return judge(labels, shares, np.arange(4), names, confidence=0.95, draws=10, seed=0)


def test_the_table_of_classes_is_safe_and_holds_no_nan(found):
    lines = report.classes_table(found.classes, 0.95).splitlines()
    assert lines[2].startswith("| cat | 2 | 50.0 [9.5, 90.5] | 100.0 | 66.7 | d\\|g |")
    assert lines[3].startswith("| d\\|g | 2 | 100.0 [34.2, 100.0] | 66.7 | 80.0 | – |")
    assert lines[4] == "| eel | 0 | – | 0.0 | 0.0 | – |"


def test_every_metric_is_in_its_unit(found):
    table = report.metrics_table(found)
    assert "| accuracy | 75.0 % |" in table and "nats |" in table
    assert len(table.splitlines()) == 2 + len(METRICS)


def test_a_registry_gets_a_few_words(found):
    said = report.about("plain", found, ["cat", "dog", "eel"])
    assert "75.0 [30.1, 95.4] % (3 of 4 images)" in said and said.endswith(
        "cat, dog, eel, in this order."
    )
    assert len(report.about("plain", found, [f"class {i}" for i in range(2000)])) < 5000
