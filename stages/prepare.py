"""prepare: draw the study's images from their source and bring them to one shape."""

import json
import shutil

from cnnlab import params, paths
from cnnlab.data import pool, prepare
from cnnlab.data.sources import SOURCES
from cnnlab.progress import bar
from cnnlab.seeds import derive
from stages import run


def main() -> None:
    data, seed = params.load("data", "seed")
    source = SOURCES[data.source].open_source(data.raw)
    table, classes = prepare.merged(source.table, data.classes)
    drawn = prepare.draw(
        table,
        classes,
        data.dev_per_class,
        data.test_per_class,
        data.pretrain.classes,
        data.pretrain.per_class,
        derive(seed, "pools"),
    )
    with bar("prepare: images", len(drawn)) as progress:
        images, manifest = prepare.decode(
            source, drawn, data.image_size, data.channels, progress.advance
        )
    shutil.rmtree(paths.PREPARED, ignore_errors=True)
    facts = {"shape": images.shape[1:], "classes": sorted(set(manifest["label"]), key=pool.natural)}
    facts |= {"pretrain_classes": data.pretrain.classes, "images": {}}
    for split in ("dev", "pretrain", "test"):
        rows = (manifest["split"] == split).to_numpy()
        pool.write(paths.PREPARED / split, images[rows], manifest[rows])
        facts["images"][split] = int(rows.sum())
    paths.REPORTS.mkdir(exist_ok=True)
    paths.DATA_FACTS.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
