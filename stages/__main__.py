"""All stages one after another, in one process and without DVC, in the current folder:
`python -m stages`, which `make try` runs. Their order is that of dvc.yaml."""

import importlib
import time
from pathlib import Path

from ruamel.yaml import YAML

from cnnlab import params
from stages import run


def main() -> None:
    contents = Path(__file__).parents[1] / "dvc.yaml"
    variants, train = params.load("variants", "train")
    variants = dict(variants)

    from cnnlab.train.fit import set_up  # imports TensorFlow

    # Some stages look into networks before others say how TensorFlow computes, which is then fixed.
    set_up(train.threads, train.deterministic)
    for name, stage in YAML(typ="safe").load(contents.read_text())["stages"].items():
        script = (stage.get("do") or stage)["cmd"].split()[2]
        for given in [[variant] for variant in variants[name]] if "foreach" in stage else [[]]:
            began = time.monotonic()
            importlib.import_module(script).main(*given)
            print(f"{' '.join([script, *given])}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    run(main)
