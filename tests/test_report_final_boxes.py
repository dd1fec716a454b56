"""What the report says of the test of boxes by size."""

import math

import pandas as pd
import pytest

from cnnlab.compare.detected import CLASS_COLUMNS, SIZE_COLUMNS, BoxesJudgement
from cnnlab.compare.masked import Ends
from cnnlab.params import read
from cnnlab.report import final_boxes

NAN = math.nan


def row(name, least, most, objects, *values):
    return dict(zip(SIZE_COLUMNS, (name, least, most, 3, objects, *values), strict=True))


COCOS = [
    row("small", 0, 1024, 7, 0.25, 0.125, 0.375, 0.5, 1.0),
    row("medium", 1024, 9216, 0, NAN, NAN, NAN, NAN, NAN),
    row("large", 9216, math.inf, 9, 0.5, 0.4, 0.6, 0.75, 0.875),
]
THIRDS = [row("smaller", 0, 52.5, 7, *[0.5] * 5), row("larger", 52.5, math.inf, 8, *[0.5] * 5)]


def test_a_row_a_size():
    lines = final_boxes.sizes_table(COCOS, 0.95).split("\n")
    assert lines[2:] == [
        "| small | up to 1024 | 3 | 7 | 25.0 [12.5, 37.5] | 50.0 | 100.0 |",
        "| medium | 1024 to 9216 | 3 | 0 | – | – | – |",
        "| large | from 9216 | 3 | 9 | 50.0 [40.0, 60.0] | 75.0 | 87.5 |",
    ]
    assert "95% CI" in lines[0] and len({line.count("|") for line in lines}) == 1
    assert final_boxes.sizes_table([], 0.95) == ""


@pytest.fixture
def said(root):
    whole = read(root / "studies/boxes/params.yaml")
    candidates = pd.read_csv(root / "studies/boxes/reports/compare/recommended.csv")
    candidates = candidates.fillna("")
    ends = Ends(0.5, 0.4, 0.6)
    metrics = dict.fromkeys(("map", "map50", "recall50", "detection_loss"), ends)
    classes = [dict(zip(CLASS_COLUMNS, ("cat", 3, 5, 0.5, 0.4, 0.6, 1.0), strict=True))]

    def section(sizes, regions=0):
        judged = BoxesJudgement(metrics, "bootstrap over 3 images", 3, 16, classes, sizes)
        text = final_boxes.section(
            candidates, judged, whole.compare, whole.final, [], (64, 96), regions
        )
        return " ".join(text.split())

    return section


def test_it_says_which_sizes_these_are(said):
    assert "The sizes are COCO's" in said(COCOS) and "images of 96x64 pixels" in said(COCOS)
    thirds = said(THIRDS)
    assert "All objects are of one of COCO's sizes" in thirds and "up to 52.5" in thirds
    assert "All objects are of one size." in said([]) and "square pixels" not in said([])


def test_it_says_what_is_ignored(said):
    assert "neither" not in said(COCOS)
    assert "there is 1 region, crowds or difficult objects" in said(COCOS, 1)
    assert "there are 12 regions, crowds or difficult objects" in said(COCOS, 12)
    assert "computed by pycocotools" in said(COCOS)
