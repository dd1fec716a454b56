"""The data report."""

import pandas as pd
import pytest

from cnnlab import report
from cnnlab.report import dataset

INVENTORY = pd.DataFrame(
    {
        "source": [f"{i}.jpg" for i in range(10)],
        "label": ["cat", "d|og"] * 5,
        "problem": [""] * 9 + ["empty file"],
        "width": [10, 20, 30] * 3 + [None],
        "height": 20.0,
        "mode": ["RGB"] * 8 + ["L", ""],
        "format": ["JPEG"] * 9 + [""],
        "pool": ["dev"] * 6 + ["test"] * 3 + [""],
    }
)
FACTS = {
    "shape": [32, 32, 3],
    "classes": ["cat", "d|og"],
    "pretrain_classes": [],
    "pretrain_task": None,
    "pretrain_source": None,
    "images": {"dev": 6, "pretrain": 0, "test": 3},
}
ASKED = {"image_size": 32, "resize": "crop", "channels": None}
NONE = pd.DataFrame({c: [] for c in ("what", "where", "done", "detail")}, dtype=str)


def findings(*rows):
    return pd.DataFrame(rows, columns=["what", "where", "done", "detail"])


def page(found=NONE, inventory=INVENTORY, facts=FACTS, asked=ASKED, **coded):
    said = {"coded": "", "muted": "", "sheets": [], "by_label": True} | coded
    return dataset.render(facts, inventory, found, asked, ["![samples](data/samples.png)"], **said)


def test_findings_with_codes_are_a_table_and_sheets():
    assert "No development image is dark" in page()
    text = page(coded="| TABLE |", muted="MUTED.", sheets=[("IMG01 dark", "![d](d.png)")])
    assert "No development image is dark" not in text
    for told in (
        "\n\n| TABLE |\n",
        "\n\nMUTED.\n",
        "<summary>IMG01 dark</summary>\n\n![d](d.png)\n",
    ):
        assert told in text


def test_the_page_counts_images_by_class_and_pool():
    text = page()
    assert "10 images were found, 1 of which cannot be used. Each becomes 32×32×3 pixels" in text
    assert "| class | dev | test | usable |" in text
    assert "| cat | 3 | 2 | 5 |" in text
    assert "| d\\|og | 3 | 1 | 4 |" in text
    assert "| **all** | 6 | 3 | 9 |" in text
    assert "pretrain" not in text
    assert "![samples](data/samples.png)" in text
    assert "No file had to be left out" in text


def test_it_says_where_size_and_channels_come_from():
    assert "`data.resize: crop`" in page()
    assert "those of the data" in page()
    asked = {"image_size": None, "resize": "crop", "channels": 1}
    assert "stay as large as they are" in page(asked=asked)
    assert "as `data.channels` asks" in page(asked=asked)


def test_it_says_what_the_originals_were():
    text = page()
    for told in ("3 sizes: width 10 to 30", "median 20", "JPEG 9", "colour 8, grey 1"):
        assert told in text
    same = INVENTORY.assign(width=10)
    assert "all 10×20 pixels" in page(inventory=same)


def test_it_says_how_uneven_the_classes_are():
    assert "about as many" in page()
    uneven = INVENTORY.assign(label=["cat"] * 5 + ["d|og"] * 5)
    assert "5.0 times as many development images" in page(inventory=uneven)


def pools(dev, test):
    """An inventory with so many images of each class in the pools dev and test."""
    rows = [
        {"label": name, "pool": pool}
        for pool, counts in (("dev", dev), ("test", test))
        for name, count in zip(("cat", "d|og"), counts, strict=True)
        for _ in range(count)
    ]
    first = INVENTORY.iloc[:1].drop(columns=["label", "pool"]).to_dict("records")[0]
    return pd.DataFrame([{**first, **row} for row in rows])


@pytest.mark.parametrize(
    ("dev", "test", "words"),
    [
        ((80, 40), (20, 10), "Test images have the same shares."),  # by test_share
        ((81, 40), (20, 10), "Test images have the same shares."),  # but for rounding
        (
            (30, 30),
            (90, 50),
            "`data.dev_per_class` draws them so, 30 of each. Test images have the",
        ),
        ((80, 40), (20, 20), "Test images have other shares than development images, so accuracy"),
    ],
)
def test_classes_of_both_pools_are_compared_as_they_were_drawn(dev, test, words):
    counts = {"dev": sum(dev), "pretrain": 0, "test": sum(test)}
    text = page(inventory=pools(dev, test), facts={**FACTS, "images": counts})
    assert words in text
    assert ("same shares" in text) != ("accuracy on the two is not of the same mix" in text)


@pytest.mark.parametrize("by_label", [True, False])
def test_where_images_show_several_classes_nothing_is_said_of_one_label_each(by_label):
    counts = {"dev": 120, "pretrain": 0, "test": 40}
    inventory = pools((80, 40), (20, 20))
    text = page(inventory=inventory, facts={**FACTS, "images": counts}, by_label=by_label)
    assert "Test images have other shares" in text and "Folds keep" in text
    assert ("compare them class by class" in text) != by_label
    for said in ("none is in two classes", "balanced accuracy is", "accuracy alone flatters"):
        assert (said in text) == by_label


def test_without_test_images_there_is_nothing_to_compare():
    facts = {**FACTS, "images": {"dev": 60, "pretrain": 0, "test": 0}}
    assert "shares" not in page(inventory=pools((30, 30), (0, 0)), facts=facts)


def test_findings_are_listed_by_kind_and_conflicts_come_first():
    found = findings(
        *[("broken link", f"a_{i}", "left out", "") for i in range(25)],
        ("duplicate with another label", "<b>.jpg", "in one group with c", "labelled x and y"),
    )
    text = page(found)
    assert "**1 images appear under two labels.**" in text
    assert "broken link: 25" in text and "and 5 more." in text
    assert text.count("| left out |") == 20
    assert "\\<b\\>.jpg" in text
    assert text.index("duplicate with another label: 1") < text.index("broken link: 25")
    assert text.count("<details>") == text.count("</details>") == 2


@pytest.mark.parametrize("length", [10, 119, 121, 5000])
def test_long_names_are_cut_in_the_middle(length):
    text = page(findings(("hidden file", "x" * length + ".end", "left out", "")))
    assert ".end" in text
    assert max(len(line) for line in text.splitlines()) < 400


def test_a_page_becomes_part_of_another():
    assert report.included("# A\n\n## B\n#no heading\n") == "## A\n\n### B\n#no heading"
