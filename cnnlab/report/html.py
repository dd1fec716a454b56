"""The report as one HTML file that needs nothing else: no network, no other file.

Its words, tables and figures are the blocks of `report.md.j2`, so each is written once;
`report.html.j2` adds what Markdown cannot do: charts that answer, and the explorer of networks.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup, escape
from PIL import Image

from cnnlab.processes import cores
from cnnlab.report import alt, blocks, described, put
from cnnlab.report.ground import outline

HERE = Path(__file__).parent
MOST_LOSSES = 2000  # images of the table of losses: a page of some megabytes
THUMBNAIL = 48  # pixels
# Figures with photographs in them among folders of drawings, and drawings among such figures.
PHOTOGRAPHS = ("sides_", "extremes", "boxes")
DRAWINGS = {("inside", "changes.png"), ("figures", "errors.png")}
DRAWINGS |= {("figures", "precision_recall.png")}
# Links to pages that are on this one too -> ids there.
INSIDE = {"report.md": "main", "data.md": "data", "model_card.md": "model-card"}
INTERVAL = re.compile(r" ?\[[−+]?[\d.]+, [−+]?[\d.]+\]")  # stays on one line


@dataclass(frozen=True)
class Chart:
    """A chart, and the figures that stand for it where scripts are not run."""

    spec: Mapping[str, Any]  # Vega-Lite
    instead: Sequence[Path]
    note: str = ""  # how to read it


@dataclass(frozen=True)
class Explorer:
    """The networks to look at; their files are under `figures` (see `look.view`)."""

    figures: Path
    variants: Sequence[str]

    @property
    def images(self) -> list[str]:
        """The images shown, as I_LABEL."""
        return sorted(path.name for path in (self.figures / "sheets/features").iterdir())

    @property
    def layers(self) -> list[str]:
        """The layers shown, as NN_LAYER."""
        return sorted({p.name for p in (self.figures / "sheets/features").glob("*/*")})

    def panels(self, pattern: str, **where: str) -> list[tuple[int, str, Path]]:
        """(Number of the variant, its name, file) of the variants that have one."""
        files = [
            (i, v, self.figures / pattern.format(variant=v, **where))
            for i, v in enumerate(self.variants)
        ]
        return [(i, v, path) for i, v, path in files if path.exists()]


@dataclass(frozen=True)
class Losses:
    """Held-out images by their loss, a table that can be sorted."""

    table: pd.DataFrame  # `source`, and some of what COLUMNS names, the worst first
    images: Mapping[int, np.ndarray]  # image_id -> uint8 (height, width, 1 or 3)

    # Names of columns on the page -> of the table, and how numbers are written.
    COLUMNS: ClassVar = {
        "label": ("label", None),
        "IoU": ("iou", ".3f"),
        "found worst": ("worst", None),
        "predicted": ("predicted", None),
        "loss": ("loss", ".2f"),
        "probability of the label": ("probability", ".3f"),
        "of the other class": ("other", ".3f"),
        "repeats wrong": ("wrong", "d"),
        "label likely wrong": ("suspect", "d"),
    }

    @property
    def columns(self) -> list[str]:
        """The heads of the columns that the table has."""
        return [head for head, (name, _) in self.COLUMNS.items() if name in self.table]

    @property
    def heading(self) -> str:
        """What the table is, and how much of it."""
        shown = min(len(self.table), MOST_LOSSES)
        of = f" of {len(self.table)}" if shown < len(self.table) else ""
        first = f"{shown}{of} held-out images, the worst first"
        return f"{first}, sorted by the column whose head is pressed"

    @property
    def rows(self) -> list[tuple[Markup, str, list[tuple[str | None, str]]]]:
        """A row an image: its element, its source, and of each column the number that it is sorted
        by (None: by the text) and the text."""
        rows = []
        for row in self.table.head(MOST_LOSSES).to_dict("records"):
            cells = [
                (None, row[name])
                if form is None
                else (f"{float(row[name]):.6g}", self._text(name, row[name], form))
                for name, form in map(self.COLUMNS.__getitem__, self.columns)
            ]
            image = _thumbnail(self.images[row["image_id"]], row["label"])
            rows.append((image, row["source"], cells))
        return rows

    @staticmethod
    def _text(name: str, value: Any, form: str) -> str:
        if name == "suspect":
            return "yes" if value else ""
        return format(int(value) if form == "d" else float(value), form)


class _Images:
    """Image elements of a page. What they hold is encoded side by side, outside of Python's lock,
    while the page is written: that takes longest."""

    PLACE = re.compile("\ue000([0-9]+)\ue000")  # characters that no text has

    def __init__(self):
        self._pool, self._codes = ThreadPoolExecutor(cores()), []

    def image(self, path: Path, text: str | None = None) -> Markup:
        """An image element that will hold its image; `text`: instead of the file's own alt text."""
        with Image.open(path) as image:
            width, height = image.size
        return Markup(
            '<img src="data:image/webp;base64,{}" width="{}" height="{}" alt="{}" decoding="async">'
        ).format(self._later(_webp, path), width, height, alt(path) if text is None else text)

    def figure(self, path: Path, text: str | None = None) -> Markup:
        """An image of a figure's width, whose colours dark pages turn: all of it where it is of
        class `lines`, else what is under its `i`, as photographs, kernels and maps stay."""
        folder, name = path.parts[-2:]
        lines = folder in ("compare", "curves", "final") and not name.startswith(PHOTOGRAPHS)
        image = self.image(path, text)
        if lines or (folder, name) in DRAWINGS:
            return Markup('<span class="figure lines">{}</span>').format(image)
        ground = Markup('<i style="clip-path:{}"></i>').format(self._later(outline, path))
        return Markup('<span class="figure">{}{}</span>').format(image, ground)

    def _later(self, made: Callable[[Path], str], path: Path) -> str:
        """The place of what is made of a file while the page is written."""
        self._codes.append(self._pool.submit(made, path))
        return f"\ue000{len(self._codes) - 1}\ue000"

    def put_into(self, page: str) -> str:
        """The whole page, with what its image elements hold."""
        with self._pool:
            return self.PLACE.sub(lambda place: self._codes[int(place[1])].result(), page)


def _webp(path: Path) -> str:
    """What an image element holds of an image."""
    with Image.open(path) as image:
        data = io.BytesIO()
        # Lossless, and a third smaller than PNG.
        image.convert("RGBA" if "A" in image.mode else "RGB").save(
            data, "WEBP", lossless=True, quality=40, method=3, exact=True
        )
    return base64.b64encode(data.getvalue()).decode()


def render(
    facts: Mapping[str, Any],
    charts: Mapping[str, Chart],
    explorer: Explorer,
    losses: Losses,
    root: Path,
) -> str:
    """The page.

    Args:
        facts: What `report.md.j2` names.
        charts: By name: "effects", "curves"; one that is missing is left out.
        explorer: The networks.
        losses: Held-out images by loss.
        root: The folder that figures in `facts` are relative to.
    """
    elements = _Images()
    # What charts and the explorer show is not shown twice.
    again = {path.relative_to(root).as_posix() for c in charts.values() for path in c.instead}
    images = [image for image in facts["effects_figures"] if not any(a in image for a in again)]
    changed: dict[str, Any] = dict.fromkeys(
        ("overview", "features", "peaks", "grad_cam", "kernels"), ()
    )
    changed |= {"effects_figures": images, "curves": () if "curves" in charts else facts["curves"]}
    reader = _reader(root, elements)
    sections = {
        name: Markup(reader.render(text, reader.options["seen"]))
        for name, text in blocks("report.md.j2", **{**facts, **changed}).items()
    }
    scripts = [Markup(_engine()), Markup((HERE / "report.js").read_text())] if charts else []
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    environment.filters |= {"alt": alt, "caption": _caption}
    environment.filters |= {"image": elements.image, "figure": elements.figure}
    environment.filters |= {"scale": _scale, "json": _json, "put": _put}
    page = environment.get_template("report.html.j2").render(
        study=facts["study"],
        sections=sections,
        contents=[heading for heading in reader.options["seen"]["headings"] if heading[0] == 2],
        charts=charts,
        explorer=explorer,
        losses=losses,
        scripts=scripts,
        script_source=Markup(" ".join(map(_digest, scripts)) or "'none'"),
        style=Markup((HERE / "report.css").read_text()),
    )
    return elements.put_into(page)


def _engine() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script that sets `vegaEmbed`."""
    code = vl_convert.javascript_bundle()
    return re.sub(r"</(?=script)", r"<\\/", code)


def _digest(script: str) -> str:
    """What a content security policy names a script by."""
    code = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{code}'"


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def _caption(path: Path) -> str:
    """The numbers of a sheet."""
    return described(path).rsplit(": ", 1)[-1]


def _put(section: Markup, name: str, part: Markup) -> Markup:
    """A section with a part in the place that Markdown left for it."""
    place = put(name)
    assert place in section, f"report.md.j2 has no place for {name}"
    # As plain text: the `replace` of a Markup escapes what it puts in.
    return Markup(str(section).replace(place, str(part).strip()))


def _thumbnail(pixels: np.ndarray, text: str) -> Markup:
    """A small image element; `text`: what it shows."""
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    factor = THUMBNAIL / max(picture.size)
    size = [max(1, round(side * factor)) for side in picture.size]
    way = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    data = io.BytesIO()
    picture.resize(size, way).save(data, "WEBP", quality=75, method=4)
    code = base64.b64encode(data.getvalue()).decode()
    return Markup(
        '<img src="data:image/webp;base64,{}" width="{}" height="{}" alt="{}" loading="lazy">'
    ).format(code, *size, text)


def _scale(path: Path) -> dict[str, Any]:
    """The colour scale of a sheet (`look.sheets`)."""
    with Image.open(path) as image:
        return json.loads(image.info["Scale"])


def _reader(root: Path, elements: _Images) -> MarkdownIt:
    """Renders Markdown of the report; what it came across is in `options["seen"]`."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    reader.options["seen"] = {"headings": [], "tables": []}
    reader.core.ruler.push("accessible", _accessible)

    def image(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        path = root / unquote(str(tokens[i].attrs["src"]))
        text = self.renderInlineAsText(tokens[i].children or [], options, env)
        return str(elements.figure(path, text))

    reader.add_render_rule("image", image)
    reader.add_render_rule("table_open", _open_table)
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return reader


def _open_table(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    label = escape(tokens[i].meta["label"])
    # It can be scrolled where it is wider than the page: by keyboard too.
    return f'<div class="table" role="region" aria-label="{label}" tabindex="0"><table>\n'


def _accessible(state: StateCore) -> None:
    """Headings have ids, tables a name, and their cells say what they are the heads of."""
    headings, tables = state.env["headings"], state.env["tables"]
    first = False
    for i, token in enumerate(state.tokens):
        for child in token.children or ():
            if child.type == "link_open":
                target = str(child.attrs["href"])
                child.attrs["href"] = f"#{INSIDE[target]}" if target in INSIDE else target
            child.content = INTERVAL.sub(lambda m: m[0].replace(" ", "\u00a0"), child.content)
        if token.type == "heading_open":
            text = _text(state.tokens[i + 1])
            slug = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
            taken = {name for _, name, _ in headings}
            slug = slug if slug not in taken else f"{slug}-{len(headings)}"
            headings.append((int(token.tag[1]), slug, text))
            token.attrSet("id", slug)
        elif token.type == "table_open":
            label = f"Table: {headings[-1][2]}" if headings else "Table"
            tables.append(label)
            again = tables.count(label)
            token.meta["label"] = label if again == 1 else f"{label} ({again})"
        elif token.type == "tr_open":
            first = True
        elif token.type == "th_open":
            if _text(state.tokens[i + 1]):
                token.attrSet("scope", "col")
            else:
                token.tag = state.tokens[i + 2].tag = "td"
            first = False
        elif token.type == "td_open" and first:
            token.tag = state.tokens[i + 2].tag = "th"
            token.attrSet("scope", "row")
            first = False


def _text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())
