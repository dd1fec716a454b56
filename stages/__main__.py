"""Stages one after another, in one process and without DVC, in the current folder: all, in their
order in dvc.yaml, by `python -m stages` (`make try`), some by `python -m stages check "train NAME"`
(`make track`)."""

import importlib
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

from cnnlab import params
from cnnlab.processes import import_keras
from stages import run


def main(*asked: str) -> None:
    """`asked`: names of stages, each with its variant where it has one."""
    train = params.load("train")

    import_keras()
    from cnnlab.train.fit import set_up

    # Some stages look into networks before others say how TensorFlow computes, which is then fixed.
    set_up(train.threads, train.deterministic)
    for stage in asked or _all():
        name, *given = stage.split(maxsplit=1)
        began = time.monotonic()
        module = importlib.import_module(f"stages.{name}")
        sys.argv = [module.__file__, *given]  # what MLflow shows as the source of a run
        module.main(*given)
        print(f"stages.{stage}: {time.monotonic() - began:.0f} s", flush=True)


def _all() -> list[str]:
    contents = Path(__file__).parents[1] / "dvc.yaml"
    variants = dict(params.load("variants"))
    stages = []
    for name, stage in YAML(typ="safe").load(contents.read_text())["stages"].items():
        script = (stage.get("do") or stage)["cmd"].split()[2].removeprefix("stages.")
        of = [f" {variant}" for variant in variants[name]] if "foreach" in stage else [""]
        stages += [f"{script}{variant}" for variant in of]
    return stages


if __name__ == "__main__":
    run(main)
