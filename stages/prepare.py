"""prepare: draw the study's images from their source and bring them to one shape."""

import contextlib
import dataclasses
import functools
import json
import shutil

import pandas as pd

from cnnlab import params, paths
from cnnlab.data import decode, pool, prepare
from cnnlab.data.cache import Cache
from cnnlab.data.images import THUMB, Settings
from cnnlab.data.sources import SOURCES, Finding, Source
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError
from cnnlab.processes import cores
from cnnlab.progress import bar
from cnnlab.seeds import derive
from stages import run

ABOUT = ["source", "label", "split", "problem", "width", "height", "mode", "format", "bytes"]


def main() -> None:
    task, data, seed = params.load("task", "data", "seed")
    place = data.remote or data.raw
    source = _opened(data.source, place, data.bad.policy)
    decode.start_early(len(source.table), cores())
    table, classes = prepare.merged(source.table, data.classes)
    least, chosen = TRUTHS[task].LEAST, not TRUTHS[task].TRUTH
    table = prepare.select(table, classes, data.pretrain.taken, least, chosen)
    strata = []
    if TRUTHS[task].TRUTH and not data.pretrain.taken:
        table, strata = prepare.gathered(table)
        _say(strata)
    left = set(table["label"]) - set(data.pretrain.taken)
    if len(left) < least:
        raise UserError(
            f"params.yaml: data.pretrain.classes = {data.pretrain.classes}: allowed: what leaves at"
            f" least {least} classes to the study, not {sorted(left)}"
        )
    draw = functools.partial(
        prepare.draw,
        dev_per_class=data.dev_per_class,
        test_per_class=data.test_per_class,
        test_share=data.test_share,
        pretrain_classes=data.pretrain.taken,
        pretrain_images=data.pretrain.per_class if data.pretrain.from_own else 0,
        seed=derive(seed, "pools"),
    )
    draw(table)  # what cannot be drawn is said before the long work
    other = None
    if data.pretrain.source:
        with _said_of_pretrain():
            other = _other(data, derive(seed, "pretrain"))

    settings = Settings(data.image_size, data.resize, data.channels, data.bad.megapixels)
    inventory, images, findings, cache, scale = _decoded(source, table, settings, data, place)
    drawn = draw(images)
    channels = data.channels or int(images["channels"].max())
    shape = prepare.common_shape(drawn, data.image_size, channels)
    pools = {
        name: (drawn[drawn["split"] == name], cache, scale) for name in ("dev", "pretrain", "test")
    }
    caches = [cache]
    if other:
        with _said_of_pretrain():
            pools["pretrain"], more = _learnt(*other, drawn, shape, data)
        caches.append(pools["pretrain"][1])
        findings += more
    counts = {name: len(part) for name, (part, *_) in pools.items()}
    truth = _Truth(task, source, data.resize)
    learnt = _write_pools(pools, shape, data.pretrain.task, truth)
    findings += truth.seen()
    for opened in caches:
        opened.close()
    used = drawn.set_index("row")["split"]
    inventory[ABOUT].assign(pool=inventory["row"].map(used).fillna("")).to_csv(
        paths.INVENTORY, index=False
    )
    findings = sorted([*source.findings, *strata, *findings])
    pd.DataFrame(findings, columns=Finding._fields).to_csv(paths.FINDINGS, index=False)
    target = drawn["label"][drawn["split"] != "pretrain"]
    facts = {
        "shape": shape,
        "classes": sorted(set(target), key=pool.natural),
        "pretrain_task": data.pretrain.task,
        "pretrain_classes": learnt,
        "pretrain_source": data.pretrain.source,
        "images": counts,
    }
    paths.REPORTS.mkdir(exist_ok=True)
    paths.DATA_FACTS.write_text(json.dumps(facts, indent=2) + "\n")


def _opened(name, place, policy):
    """A source, whose findings have been said."""
    source = prepare.named(SOURCES[name].open_source(place))
    _say(source.findings)
    prepare.refuse_lost(source.findings, policy)
    return source


@dataclasses.dataclass(frozen=True)
class _Truth:
    """What images have besides a label."""

    task: str
    source: Source
    resize: str
    lost: list[Finding] = dataclasses.field(default_factory=list)
    there: dict = dataclasses.field(default_factory=dict)  # pool -> whether it has each class

    def of(self, name: str, part: pd.DataFrame, shape) -> dict:
        """What `pool.write` takes besides of a pool's images. Raises UserError where there is too
        little on the development images to learn from."""
        truths = TRUTHS[self.task]
        made = truths.truth(self.source, part, shape, self.resize)
        if made is None:
            return {}
        classes = truths.classes(self.source)
        self.lost.extend(truths.lost(self.source, part, made))
        self.there[name] = truths.there(made, len(classes)).any(axis=0)
        if name == "dev":
            held = [one for one, there in zip(classes, self.there[name], strict=True) if there]
            size = f"{shape[1]}x{shape[0]} pixels (data.resize = {self.resize})"
            of = f"the {len(part)} development images, brought to {size},"
            prepare.refuse_unheld(held, truths.HELD, of)
        return {"truth": made, "task": (self.task, classes)}

    def seen(self) -> list[Finding]:
        """What is to be said, and has been said, of pools that were written."""
        classes = TRUTHS[self.task].classes(self.source) if self.there else ()
        findings = [*self.lost, *prepare.unlearnt(classes, *self.there.values())] if classes else []
        _say(findings)
        return findings


def _write_pools(pools, shape, learnt_task, truth) -> list[str]:
    """Write data/prepared/POOL of each; returns the classes that a backbone learns."""
    height, width, channels = shape
    if learnt_task == "rotation" and height != width:
        raise UserError(
            f"params.yaml: data.image_size = null: images of {width}x{height} pixels, which "
            "data.pretrain.task = rotation turns by 90 degrees; give a size"
        )
    shutil.rmtree(paths.PREPARED, ignore_errors=True)
    first_free = max(part["image_id"].max() for part, *_ in pools.values() if len(part)) + 1
    with bar("prepare: pools", sum(len(part) for part, *_ in pools.values())) as progress:
        for name, (part, cache, scale) in pools.items():
            pixels = progress.each(prepare.in_channels(cache.pixels(part["id"]), channels))
            kept = part["digest"].where(part["channels"] == channels, "")  # of grey made colour
            part = part.assign(digest=kept)
            if name == "pretrain" and learnt_task == "rotation":
                part, pixels = prepare.turned(part, first_free), prepare.in_turns(pixels)
            also = truth.of(name, part, shape) if name != "pretrain" else {}
            pool.write(paths.PREPARED / name, pixels, part, shape, scale, **also)
            if name == "pretrain":
                learnt = sorted(set(part["label"]), key=pool.natural)
    return learnt


def _decoded(source, table, settings, data, place):
    """Bring a source's images into the cache: the inventory of all, the usable ones with their
    groups, what is to be said of them, the cache, and the scale of those of more than 8 bits."""
    facts, kept = _decode(source, table, settings)
    scale, deep = prepare.range_of(facts, place)
    if scale:
        facts, kept = _decode(source, table, dataclasses.replace(settings, scale=scale))
    inventory = table.join(facts)
    images, bad = prepare.without_bad(inventory, data.bad.policy, data.bad.limit)
    further = prepare.further_pictures(images)
    _say([*bad, *deep, *further])
    cache = Cache(kept)
    images, doubled = prepare.group_duplicates(
        images, data.near_duplicates, lambda ids: cache.thumbs(ids, THUMB)
    )
    findings = [*bad, *deep, *further, *doubled, *prepare.oddities(images)]
    return inventory, images, findings, cache, scale


def _decode(source, table, settings):
    """Facts of each image, and the file of the cache."""
    with bar("prepare: images", len(table)) as progress:
        facts, kept, counts = decode.decode_all(
            source, table["row"].to_numpy(), settings, paths.decoded(), cores(), progress.advance
        )
    print(f"prepare: {counts.decoded} images decoded, {counts.known} known from earlier runs")
    return facts, kept


def _say(findings):
    """A line in the terminal for each kind."""
    for line in prepare.lines(findings, str(paths.FINDINGS)):
        print(f"prepare: {line}")


def _other(data, seed):
    """The other source that a backbone learns from, its table, and what draws its images."""
    pretrain = data.pretrain
    source = _opened(pretrain.source, pretrain.raw, data.bad.policy)
    table = source.table
    if pretrain.task == "rotation" and pretrain.classes is None:
        table = prepare.without_labels(table)
    else:
        table = prepare.select(table, pretrain.classes, [])
    by_class = [] if pretrain.task == "rotation" else sorted(set(table["label"]))
    draw = functools.partial(
        prepare.draw,
        dev_per_class=0,
        test_per_class=None,
        test_share=0,
        pretrain_classes=by_class,
        pretrain_images=pretrain.per_class,
        seed=seed,
    )
    draw(table)
    return source, table, draw


@contextlib.contextmanager
def _said_of_pretrain():
    """What is wrong with the other source is said of its own keys: sources, and what looks at
    their classes, know those of the study's."""
    try:
        yield
    except UserError as error:
        said = str(error)
        for key in ("raw", "classes"):
            said = said.replace(f"params.yaml: data.{key}", f"params.yaml: data.pretrain.{key}")
        raise UserError(
            said.replace("params.yaml: data: ", "params.yaml: data.pretrain: ")
        ) from None


def _learnt(source, table, draw, drawn, shape, data):
    """Images of another source that a backbone learns from, in the shape of the study's, with their
    cache and scale; what is to be said of them."""
    height, width, channels = shape
    if height != width:
        raise UserError(
            f"params.yaml: data.image_size = null: images of {width}x{height} pixels; those of "
            "data.pretrain.source become square: give a size"
        )
    settings = Settings(height, data.resize, channels, data.bad.megapixels)
    _, images, findings, cache, scale = _decoded(source, table, settings, data, data.pretrain.raw)
    # An image of the study's own must not be learnt from beforehand.
    learnt = draw(images[~images["digest"].isin(drawn["digest"])])
    learnt = learnt[learnt["split"] == "pretrain"]
    learnt = learnt.assign(image_id=learnt["image_id"] + len(drawn))
    return (learnt, cache, scale), [*source.findings, *findings]


if __name__ == "__main__":
    run(main)
