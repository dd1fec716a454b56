"""prepare: draw the study's images from their source and bring them to one shape."""

import functools
import json
import shutil

import pandas as pd

from cnnlab import params, paths
from cnnlab.data import decode, pool, prepare
from cnnlab.data.cache import Cache
from cnnlab.data.images import THUMB, Settings
from cnnlab.data.sources import SOURCES, Finding
from cnnlab.processes import cores
from cnnlab.progress import bar
from cnnlab.seeds import derive
from stages import run

ABOUT = ["source", "label", "split", "problem", "width", "height", "mode", "format"]


def main() -> None:
    data, seed = params.load("data", "seed")
    source = SOURCES[data.source].open_source(data.remote or data.raw)
    table, classes = prepare.merged(source.table, data.classes)
    table = prepare.select(table, classes, data.pretrain.classes)
    draw = functools.partial(
        prepare.draw,
        dev_per_class=data.dev_per_class,
        test_per_class=data.test_per_class,
        test_share=data.test_share,
        pretrain_classes=data.pretrain.classes,
        pretrain_per_class=data.pretrain.per_class,
        seed=derive(seed, "pools"),
    )
    draw(table)  # what cannot be drawn is said before the long work

    settings = Settings(data.image_size, data.resize, data.channels, data.bad.megapixels)
    with bar("prepare: images", len(table)) as progress:
        facts, kept, counts = decode.decode_all(
            source, table["row"].to_numpy(), settings, paths.decoded(), cores(), progress.advance
        )
    print(f"prepare: {counts.decoded} images decoded, {counts.known} known from earlier runs")
    inventory = table.join(facts)
    images, bad = prepare.without_bad(inventory, data.bad.policy, data.bad.limit)
    cache = Cache(kept)
    images, doubled = prepare.group_duplicates(
        images, data.near_duplicates, lambda ids: cache.thumbs(ids, THUMB)
    )
    drawn = draw(images)
    channels = data.channels or int(images["channels"].max())
    shape = prepare.common_shape(drawn, data.image_size, channels)

    shutil.rmtree(paths.PREPARED, ignore_errors=True)
    with bar("prepare: pools", len(drawn)) as progress:
        for split in ("dev", "pretrain", "test"):
            part = drawn[drawn["split"] == split]
            pixels = prepare.in_channels(cache.pixels(part["id"]), channels)
            pool.write(paths.PREPARED / split, progress.each(pixels), part, shape)
    cache.close()
    used = drawn.set_index("row")["split"]
    inventory[ABOUT].assign(pool=inventory["row"].map(used).fillna("")).to_csv(
        paths.INVENTORY, index=False
    )
    findings = [*source.findings, *bad, *doubled, *prepare.oddities(images)]
    pd.DataFrame(sorted(findings), columns=Finding._fields).to_csv(paths.FINDINGS, index=False)
    counted = drawn["split"].value_counts()
    facts = {
        "shape": shape,
        "classes": sorted(set(drawn["label"]), key=pool.natural),
        "pretrain_classes": data.pretrain.classes,
        "images": {split: int(counted.get(split, 0)) for split in ("dev", "pretrain", "test")},
    }
    paths.REPORTS.mkdir(exist_ok=True)
    paths.DATA_FACTS.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
