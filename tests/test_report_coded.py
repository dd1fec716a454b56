"""Findings with codes, in Markdown."""

from cnnlab.data.findings import Finding, table
from cnnlab.report import coded

FOUND = [Finding("IMG01", i, f"a/d_{i}.jpg", "c|t", 0.1, 0.25, f"text {i}") for i in range(5)]
CUT = Finding("CUT01", None, "", "cat", 0.9, 0.7, "brightness alone tells cat")


def test_each_code_is_a_row_with_its_count_the_worst_and_what_to_do():
    text = coded.table(table([*FOUND, CUT], []))
    dark, cut = text.splitlines()[2:]
    assert dark.startswith("| **IMG01** dark | 5 | a/d\\_0.jpg (c\\|t): text 0<br>")
    assert "text 2<br>and 2 more | Brighten it" in dark and "text 3" not in dark
    assert cut.startswith("| **CUT01** shortcut: brightness predicts the label | 1 | brightness a")


def test_what_is_muted_is_counted_alone():
    found = table([*FOUND, CUT], ["IMG01"])
    assert "IMG01" not in coded.table(found) and "CUT01" in coded.table(found)
    assert coded.muted(found) == "Muted by `data.mute`: IMG01 (5)."
    assert coded.muted(table(FOUND, [])) == coded.table(table([], [])) == ""
