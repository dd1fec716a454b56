"""The codes of findings, their table and their page."""

import pandas as pd
import pytest

from cnnlab.data import findings
from cnnlab.data.findings import CODES, Finding

SOME = [
    Finding("CUT01", None, "", "cat", 0.9, 0.7, "brightness alone"),
    Finding("IMG01", 7, "a,b/ü.jpg", "NA", 0.1, 0.25, 'dark, "very"'),
    Finding("DUP01", 3, "x.jpg", "01", None, None, "twin"),
    Finding("IMG01", 8, "c.jpg", "dog", 0.2, 0.25, "dark"),
]


def test_the_page_of_the_docs_is_made_from_the_codes(root):
    assert (root / "docs/findings.md").read_text() == findings.page()
    for key, code in CODES.items():
        assert f"## {key}: {code.name}\n" in findings.page()


def test_every_code_says_all_that_a_page_needs():
    for key, code in CODES.items():
        assert key[:3] in ("IMG", "DUP", "LAB", "CUT") and key[3:].isdecimal()
        for said in (code.name, code.detected, code.why, code.remedy, code.unit):
            assert said and not said.endswith(".")
    assert len({code.name for code in CODES.values()}) == len(CODES)


def test_the_table_is_in_the_order_of_the_codes_and_marks_what_is_muted():
    table = findings.table(SOME, ["IMG01"])
    assert list(table.columns) == findings.COLUMNS
    assert table["code"].tolist() == ["IMG01", "IMG01", "DUP01", "CUT01"]
    assert table["image_id"].tolist()[:3] == [7, 8, 3] and pd.isna(table["image_id"][3])
    assert table["muted"].tolist() == [True, True, False, False]
    assert findings.counted(table) == [
        "IMG01 dark (2), muted by data.mute",
        "DUP01 the same image in two classes (1)",
        "CUT01 shortcut: brightness predicts the label (1)",
    ]


@pytest.mark.parametrize("some", [SOME, SOME[:1], []])
def test_what_is_written_is_read(tmp_path, some):
    table = findings.table(some, [])
    findings.write(tmp_path / "f.csv", table)
    pd.testing.assert_frame_equal(findings.read(tmp_path / "f.csv"), table)
    again = findings.joined([findings.read(tmp_path / "f.csv"), findings.table([], [])])
    pd.testing.assert_frame_equal(again, table)
