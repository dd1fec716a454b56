"""The HTML report: of a made-up study, and in a browser."""

import io
import json
import re
import shutil

import html5lib
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab import report
from cnnlab.look import Picture, feature_sheets, kernel_sheets, save, save_sheet
from cnnlab.look.curves import Curve, curve_table
from cnnlab.look.peaks import Peaks
from cnnlab.report import charts, html

VARIANTS = ["baseline", "a_b"]
RED = np.array([200, 30, 30])
LINKS = r"data:image/|#|(compare|findings)/\w+.csv$|screen/screening.md$|$"
WORDS = {"alone": "Added", "removed": "Removed"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def effects():
    common = {"p_holm": 0.2, "rope": 0.01, "verdict": "undecided", "clear": False, "low": -0.02}
    common |= {"why": "", "high": 0.04, "low_all": -0.03, "high_all": 0.05, "effect": 0.01}
    return pd.DataFrame(
        {"metric": metric, "technique": technique, "kind": kind, **common}
        for metric in ("accuracy", "nll")
        for technique in ("a_b", "c")
        for kind in WORDS
    )


def curves():
    values = np.linspace(0.2, 0.9, 8).reshape(2, 4)
    both = {name: Curve(np.arange(1, 5), values, values + 0.05) for name in VARIANTS}
    return pd.DataFrame(curve_table("accuracy", both) + curve_table("nll", both))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Reports' folder with the figures of two nets of two layers, the second without kernels."""
    root = tmp_path_factory.mktemp("reports")
    rng = np.random.default_rng(0)

    def drawn(path, alt):
        path.parent.mkdir(parents=True, exist_ok=True)
        save(Picture(matplotlib.figure.Figure((1, 1)), alt), path)
        return path

    for image in ("0_cat", "1_dog"):
        for layer in ("00_conv", "01_pool"):
            maps = {v: rng.normal(size=(2, 4, 4, 3)).astype(np.float32) for v in VARIANTS}
            maps["a_b"][..., 1] = 0
            tops = {v: Peaks.of(m) for v, m in maps.items()}
            for v, sheet in feature_sheets(maps, tops, layer, image, 1).items():
                path = root / f"figures/sheets/features/{image}/{layer}/{v}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                save_sheet(sheet, path)
        for v in VARIANTS:
            drawn(root / f"figures/overview/{v}_{image}.png", f"overview {v} {image}")
    nets = {
        (v, s): rng.normal(size=(3, 3, 5, 2)) for v in VARIANTS for s in ("trained", "untrained")
    }
    for (v, state), sheet in kernel_sheets(nets, "conv").items():
        path = root / f"figures/sheets/kernels/{state}/00_conv/{v}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sheet(sheet, path)
    for v in VARIANTS:
        drawn(root / f"figures/peaks/{v}/00_conv.png", f"peaks {v}")
        drawn(root / f"figures/gradcam/{v}.png", f"gradcam {v}")
    drawn(root / "compare/ablation_effects.png", "forest plot")
    drawn(root / "compare/ablation_scores.png", 'scores "<b>" & more')
    for name in ("ablation_calibration", "classes"):
        drawn(root / f"compare/{name}.png", name)
    figure = matplotlib.figure.Figure((4, 4), dpi=100)
    figure.figimage(np.full((100, 100, 3), RED) / 255, 100, 200)  # a quarter from left and top
    save(Picture(figure, "sides_c"), root / "compare/sides_c.png")
    drawn(root / "curves/accuracy.png", "curves")
    return root


def facts(root):
    lists = ("overview", "augmentation", "features", "kernels", "peaks", "grad_cam")
    lists += ("mechanism_figures", "overtaking", "inside", "everywhere", "interactions_figures")
    lists += ("losses_figures", "views_figures")
    text = dict.fromkeys(("shape", "backbone", "rope", "probability", "score_rope"), "T")
    text |= {"score": "accuracy", "by_label": True, "by_class": None, "labels_asked": True}
    text |= {"predicted": [], "predicted_words": ""}
    text |= {"convergence": "| | held-out |\n|---|---|\n| **c** | level |", "scheduled": False}
    text |= {"final": "## The recommended recipe\n\n**c** is recommended."}
    text |= {"estimate": "crossed", "evidence": "300 images", "cross_validation": "5 folds"}
    text |= {"primary": "accuracy", "placebo": True, "looks": False, "looked_at": True}
    text |= {
        "inspected": "a_b",
        "labels": "| code |\n|---|\n| **LAB01** |",
        "labels_muted": "",
        "labels_why": "",
        "screening": "The first look misled of none.",
    }
    table = "| | change |\n|---|---|\n| **c** | +1.0 [−2.0, 3.0] |"
    names = ("effects", "scores", "calibration")
    pictures = {n: [report.picture(root / f"compare/ablation_{n}.png", root)] for n in names}
    classes = report.picture(root / "compare/classes.png", root)
    return {
        **{name: [] for name in lists},
        **text,
        **dict.fromkeys(("classes", "alpha", "guard", "trainings", "effects"), 3),
        **dict.fromkeys(("mechanisms", "sizes", "affinity"), 0),
        "study": "tiny",
        "opening": "**c** (+1.0 points [−2.0, 3.0]) helps.",
        "recommendation": "Recommended: **a_b**.",
        "answer": "- Best mean: **a_b**, 97.2 [94.5, 99.9] %.",
        "model_card": "## Model card: tiny, c\n\nSee [the data](data.md), [the report](report.md).",
        "images": {"dev": 1, "test": 2},
        "data": "## The images\n\n| class | dev |\n|---|---:|\n| \\<script\\>x | 30 |",
        "variants": "| | score |\n|---|---|\n| **a_b** | 1.0 |",
        "first": [("Added", table, "0 of 1 effect is decided.", [])],
        "behind": [("Removed", table, "0 of 1 effect is decided.", [])],
        "views": "| | alone |\n|---|---|\n| **c** | nothing |",
        "every_metric": "| | accuracy |\n|---|---|\n| **c** | +1.0 |",
        "asked_besides": ["nll", "brier"],
        "questions": "| | NLL |\n|---|---|\n| **c** | helps: +1.0 |",
        "class_effects": "| | gain |\n|---|---|\n| **c** | 7 +1.0 |",
        "classes_figures": [classes],
        "sides": [("c", report.picture(root / "compare/sides_c.png", root))],
        **{f"{name}_figures": found for name, found in pictures.items()},
        "curves": [report.picture(root / "curves/accuracy.png", root)],
    }


def drawn(root):
    return {
        "effects": html.Chart(
            charts.effects_chart(effects(), WORDS, 0.95), [root / "compare/ablation_effects.png"]
        ),
        "curves": html.Chart(
            charts.curves_chart(curves(), VARIANTS[:1], "variant"),
            [root / "curves/accuracy.png"],
        ),
    }


def losses(images=3):
    """The table of losses: `images` rows, the first of a label that is likely wrong."""
    n = np.arange(images)
    table = pd.DataFrame(
        {
            "image_id": n * 10,
            "source": [f"a/<{i}>.jpg" for i in n],
            "label": "cat",
            "predicted": ["dog", "cat", "eel"][:images] if images <= 3 else "dog",
            "loss": np.linspace(3, 0, images),
            "probability": np.linspace(0.05, 1, images),
            "other": np.linspace(0.9, 0, images),
            "wrong": images - 1 - n,
            "of": images,
            "suspect": n == 0,
        }
    )
    pixels = np.random.default_rng(1).integers(0, 256, (8, 6, 3), np.uint8)
    return html.Losses(table, dict.fromkeys((n * 10).tolist(), pixels))


@pytest.fixture(scope="module")
def page(study):
    nets = html.Explorer(study / "figures", VARIANTS)
    return html.render(facts(study), drawn(study), nets, losses(), study)


@pytest.fixture(scope="module")
def tree(page):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_the_same_study_makes_the_same_bytes(study, page):
    nets = html.Explorer(study / "figures", VARIANTS)
    assert html.render(facts(study), drawn(study), nets, losses(), study) == page


def test_it_is_valid_and_asks_for_nothing_from_elsewhere(page, tree):
    for element in tree.iter():
        for name in ("src", "href", "srcset", "action", "data"):
            assert re.match(LINKS, element.get(name, "")), element.attrib
    styles = "".join(element.text for element in tree.iter("style"))
    assert "url(" not in styles and "@import" not in styles
    policy = tree.find(".//meta[@http-equiv]").get("content")
    assert policy.startswith("default-src 'none'; img-src data:") and "unsafe-eval" not in policy
    runs = [s for s in tree.iter("script") if s.get("type") is None]
    assert [html._digest(s.text) in policy for s in runs] == [True, True]


def test_each_block_of_the_report_is_on_the_page():
    blocks = re.findall(r"{% block (\w+) %}", (html.HERE / "report.md.j2").read_text())
    shown = re.findall(r"sections\.(\w+)", (html.HERE / "report.html.j2").read_text())
    assert sorted(shown) == sorted(blocks)


def test_a_screen_reader_finds_its_way(tree):
    assert tree.get("lang") == "en"
    assert (
        len(list(tree.iter("main")))
        == len(list(tree.iter("nav")))
        == len(list(tree.iter("h1")))
        == 1
    )
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    links = [a.get("href")[1:] for a in tree.iter("a") if a.get("href").startswith("#")]
    assert set(links) <= set(ids)
    headings = [e for e in tree.iter() if e.tag in ("h1", "h2", "h3")]
    assert {h.get("id") for h in headings if h.tag == "h2"} <= set(links)
    assert all(image.get("alt") for image in tree.iter("img"))
    for table in tree.iter("table"):
        assert all(th.get("scope") == "col" for th in table.find("thead").iter("th"))
        for row in table.find("tbody").iter("tr"):
            assert [cell.tag for cell in row] == ["th"] + ["td"] * (len(row) - 1)
            assert row[0].get("scope") == "row"
    for control in (*tree.iter("select"), *tree.iter("input")):
        assert any(control in list(label) for label in tree.iter("label"))


def test_words_and_figures_are_those_of_the_markdown_report(tree):
    text = " ".join("".join(tree.find(".//main").itertext()).split())
    for told in ("Best mean: a_b, 97.2 [94.5, 99.9] %", "c nothing", "<script>x", "How sure is"):
        assert told in text
    alts = [image.get("alt") for image in tree.iter("img")]
    assert 'scores "<b>" & more' in alts
    assert all(alts.count(name) == 1 for name in ("ablation_calibration", "classes", "sides_c"))
    assert alts.count("gradcam a_b") == alts.count("peaks a_b") == 1
    # What charts show is there as a figure only where scripts are not run.
    instead = [image.get("alt") for part in tree.iter("noscript") for image in part.iter("img")]
    assert instead == ["forest plot", "curves"]
    assert alts.count("forest plot") == alts.count("curves") == 1


def test_without_charts_it_holds_the_figures_and_no_script(study):
    nets = html.Explorer(study / "figures", VARIANTS)
    page = html.render(facts(study), {}, nets, losses(), study)
    assert "<script" not in page.replace("&lt;script", "") and "script-src 'none'" in page
    assert 'alt="forest plot"' in page and 'alt="curves"' in page


def test_where_networks_look_is_left_out_where_no_picture_says_it(study):
    nets = html.Explorer(study / "figures", VARIANTS)
    page = html.render(facts(study) | {"looked_at": False}, {}, nets, losses(), study)
    assert "Where do the networks look?" not in page and "What excites each filter?" in page


def _rows(spec):
    """The data of a chart."""
    return [row for layer in spec["layer"] for row in layer["data"].get("values", ())] or [
        row for rows in spec["datasets"].values() for row in rows
    ]


def test_charts_hold_what_the_tables_say():
    spec = charts.effects_chart(effects(), WORDS, 0.95)
    rows = [row for row in _rows(spec) if row.get("technique") == "a_b"]
    assert {r["kind"] for r in rows} == {"Added", "Removed"}
    boxes = [p for p in spec["params"] if p["name"].startswith("kind")]
    assert [(p["bind"]["name"], p["value"]) for p in boxes] == [("Added", True), ("Removed", False)]
    assert {(r["effect"], r["change"], r["interval"]) for r in rows} == {
        (1.0, "+1.0 points", "[−2.0, 4.0]"),
        (0.01, "+0.010 nats", "[−0.020, 0.040]"),
    }
    spec = charts.curves_chart(curves(), ["a_b"], "variant")
    boxes = {p["bind"]["name"]: p["value"] for p in spec["params"] if p["name"].startswith("show")}
    assert boxes == {"baseline": False, "a_b": True}


def test_a_chart_says_what_cannot_be_told():
    untold = effects().head(1).assign(why="all folds are alike")
    rows = _rows(charts.effects_chart(untold, WORDS, 0.95))
    told = {row["verdict"] for row in rows if "verdict" in row}
    assert told == {"cannot be told: all folds are alike"}


def test_what_company_does_to_a_technique_stands_beside_its_other_effects():
    company = effects().head(1).assign(kind="interaction", technique="a_b × the others")
    words = {**WORDS, "interaction": "Interactions: half"}
    spec = charts.effects_chart(pd.concat([effects(), company]), words, 0.95)
    rows = _rows(spec)
    (found,) = {r["technique"] for r in rows if r.get("kind") == "Interactions"}
    assert found == "a_b"


def test_a_number_that_json_lacks_is_refused():
    bad = curves()
    bad.loc[0, "held_out"] = np.inf
    with pytest.raises(AssertionError, match="JSON"):
        charts.curves_chart(bad, [], "variant")


def test_a_name_cannot_end_a_script():
    assert json.loads(html._json({"x": "</script>"})) == {"x": "</script>"}
    assert "</script>" not in html._json({"x": "</script>"})


# In a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser, page, tmp_path):
    """Opens the page at a width in a scheme of colours; fails for what it said or asked for."""
    path = tmp_path / "report.html"
    path.write_text(page)
    said, asked = [], []

    def make(width=1200, scheme="light", unfolded=True):
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.set_default_timeout(120_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        if unfolded:
            tab.evaluate("for (const d of document.querySelectorAll('main details')) d.open = true")
        for name in ("effects", *["curves"] * unfolded):
            tab.wait_for_selector(f"#{name}-chart svg")
        return tab

    yield make
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} <= {path.as_uri()}


@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_the_screen_and_only_tables_scroll_sideways(opened, width):
    tab = opened(width)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    wide = """[...document.querySelectorAll('body *')]
        .filter((e) => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX))
        .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.className)"""
    assert set(tab.evaluate(wide)) <= {"table"}


@pytest.mark.parametrize("width", [390, 1280])
def test_the_sentence_and_the_chart_are_seen_first(opened, width):
    tab = opened(width, unfolded=False)
    assert tab.get_by_text("(+1.0 points [−2.0, 3.0]) helps.").is_visible()
    assert tab.locator("#effects-chart").bounding_box()["y"] < 700
    assert tab.locator("main table").filter(visible=True).count() <= 8


def test_the_contents_stay_in_reach_and_open_the_section_that_they_lead_to(opened):
    tab = opened(390, unfolded=False)
    tab.mouse.wheel(0, 1500)
    tab.locator("nav summary").click()
    tab.get_by_role("link", name="How sure is this?").click()
    tab.get_by_text("What an interval speaks of").wait_for()
    assert not tab.locator("nav ol").is_visible()
    wide = opened(1400, unfolded=False)
    assert wide.locator("nav ol").is_visible()


def test_on_paper_all_is_open(opened):
    tab = opened(unfolded=False)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("main details:not([open])").count() == 0
    assert not tab.locator("nav").is_visible()
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("main details:not([open])").count() > 10


def test_a_long_table_of_losses_is_printed_in_part_and_says_so(opened):
    tab = opened()
    rows, note = tab.locator(".losses tbody tr"), tab.get_by_text("At most 40 are printed")
    tab.evaluate(
        """() => {
            const body = document.querySelector(".losses tbody");
            while (body.rows.length < 45) body.append(body.rows[0].cloneNode(true));
        }"""
    )
    assert rows.filter(visible=True).count() == 45 and not note.is_visible()
    tab.emulate_media(media="print")
    assert rows.filter(visible=True).count() == 40 and note.is_visible()


def test_axe_finds_nothing(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width, scheme in ((1280, "light"), (390, "dark")):
        found = axe.run(opened(width, scheme)).response["violations"]
        assert [(f["id"], [n["html"][:200] for n in f["nodes"][:3]]) for f in found] == []


def test_it_is_dark_where_the_reader_wants_that(opened):
    look = "getComputedStyle(document.querySelector('{}')).{}"
    seen = {}
    for scheme in ("light", "dark"):
        tab = opened(scheme=scheme)
        seen[scheme] = [
            tab.evaluate(look.format("body", "backgroundColor")),
            tab.evaluate(look.format("#effects-chart svg text", "fill")),
        ]
    assert all(a != b for a, b in zip(seen["light"], seen["dark"], strict=True))


def test_in_the_dark_drawings_turn_and_photographs_do_not(opened):
    filters = """[...document.querySelectorAll('.figure img')].map((image) => {
        const turned = image.nextElementSibling && getComputedStyle(image.nextElementSibling);
        return [image.alt, [getComputedStyle(image).filter,
            turned && turned.display != 'none' ? turned.backdropFilter : 'none']];
    })"""
    light, dark = (dict(opened(scheme=s).evaluate(filters)) for s in ("light", "dark"))
    assert set(map(tuple, light.values())) == {("none", "none")}
    turn = "invert(1) hue-rotate(180deg)"
    assert dark["classes"] == dark["ablation_calibration"] == [turn, "none"]
    assert dark["sides_c"] == dark["gradcam a_b"] == ["none", turn]  # all but pictures in it


@pytest.mark.parametrize(("scheme", "paper"), [("light", [255] * 3), ("dark", [13, 17, 23])])
def test_what_is_around_pictures_is_the_page_s(opened, scheme, paper):
    shown = opened(scheme=scheme).locator('img[alt="sides_c"]')
    shown.scroll_into_view_if_needed()
    seen = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("RGB")).astype(int)
    height, width = seen.shape[:2]
    red = seen[int(0.27 * height) : int(0.48 * height), int(0.27 * width) : int(0.48 * width)]
    assert np.abs(red - RED).max() < 25  # in the dark a little of the page shines through
    assert np.abs(seen[:, int(0.6 * width) : -8][8:-8] - paper).max() < 4
    assert np.abs(seen[int(0.6 * height) : -8, 8:-8] - paper).max() < 4


def test_the_explorer_shows_what_is_chosen(opened):
    tab = opened()

    def shown():
        found = tab.locator(".explorer .panels:not(.wide) img").all()
        return [image.get_attribute("alt").split(":")[0] for image in found if image.is_visible()]

    assert shown() == [
        *("baseline, 00_conv, feature maps of 0_cat", "a_b, 00_conv, feature maps of 0_cat"),
        *("baseline trained, conv", "a_b trained, conv"),
    ]
    tab.locator("#variant0").focus()
    tab.keyboard.press("Space")
    tab.locator("#image").focus()
    tab.keyboard.press("ArrowDown")
    tab.select_option("#state", label="before training")
    assert shown() == ["a_b, 00_conv, feature maps of 1_dog", "a_b untrained, conv"]
    tab.select_option("#layer", label="pool")
    assert shown() == ["a_b, 01_pool, feature maps of 1_dog"]
    assert tab.get_by_text("This layer has no kernels").filter(visible=True).count() == 1


def test_the_charts_answer(opened):
    tab = opened()
    labels = "[...document.querySelectorAll('#effects-chart [aria-label*=\"too close\"]')]"
    labels += ".map((mark) => mark.getAttribute('aria-label'))"
    assert "a_b, Added: +1.0 points [−2.0, 4.0], too close to call" in tab.evaluate(labels)
    tab.select_option("#effects-controls select", index=1)
    tab.wait_for_function(f"{labels}[0].includes('nats')")
    lines = "document.querySelectorAll('#curves-chart .mark-line path[aria-label]').length"
    assert tab.evaluate(lines) == 2  # held out and training, of the variant chosen at first
    tab.locator("#curves-controls").get_by_label("a_b").check()
    tab.wait_for_function(f"{lines} == 4")
    tab.locator("#curves-controls").get_by_label("training images too").uncheck()
    tab.wait_for_function(f"{lines} == 2")


def test_the_table_of_losses_says_what_was_predicted(tree):
    table = next(t for t in tree.iter("table") if t.get("data-sortable") is not None)
    texts = [["".join(cell.itertext()) for cell in row] for row in table.find("tbody")]
    assert texts[0] == ["a/<0>.jpg", "cat", "dog", "3.00", "0.050", "0.900", "2", "yes"]
    assert [row[-1] for row in texts] == ["yes", "", ""]
    image = table.find("tbody/tr/th/img")
    assert image.get("alt") == "cat" and image.get("width") == "36"  # of 6x8 pixels, 48 high


def test_of_many_images_the_first_are_listed_and_the_number_is_said(monkeypatch):
    monkeypatch.setattr(html, "MOST_LOSSES", 2)
    many = losses(5)
    assert len(many.rows) == 2 and many.heading.startswith("2 of 5 held-out images")
    assert losses(2).heading.startswith("2 held-out images")


@pytest.mark.parametrize(
    ("head", "once", "twice"),
    [
        ("loss", "210", "012"),  # it is sorted so to begin with
        ("predicted", "102", "201"),
        ("repeats wrong", "012", "210"),
    ],
)
def test_it_is_sorted_by_the_head_that_is_pressed(opened, head, once, twice):
    tab = opened(1600)

    def order():
        cells = tab.locator("[data-sortable] tbody th").all_inner_texts()
        return "".join(re.search(r"<(.)>", cell)[1] for cell in cells)

    assert order() == "012"
    button = tab.locator("[data-sortable] thead button", has_text=re.compile(f"^{head}$"))
    for expected in (once, twice):
        button.click()
        assert order() == expected
    assert tab.locator("[data-sortable] th[aria-sort]").all_inner_texts() == [head]
