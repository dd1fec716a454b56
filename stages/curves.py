"""curves: how each variant and transfer strategy came to its score, epoch by epoch."""

import shutil

import pandas as pd

from cnnlab import params, paths, tracking
from cnnlab.compare.metrics import METRICS
from cnnlab.look.curves import Curve, curve_table, curves_figure
from cnnlab.look.figure import save
from cnnlab.plugins import chosen
from cnnlab.training import records
from stages import run

MEASURED = ("accuracy", "nll")  # while a net trains, on its fold and on clean training images


def main() -> None:
    study, variants, strategies = params.load("study", "variants", "strategies")
    shutil.rmtree(paths.CURVES, ignore_errors=True)
    paths.CURVES.mkdir(parents=True)
    plain = next((name for name, techniques in variants.items() if not techniques), None)
    _draw(study, {name: paths.RUNS / name for name in variants}, "variant", plain)
    places = {n: records.of_size(paths.TRANSFER / n, None) for n in chosen(strategies)}
    _draw(study, places, "strategy", "scratch")


def _draw(study, places, kind, reference) -> None:
    """Write reports/curves/KIND_METRIC.png, where `reference` is drawn into every panel, and the
    numbers as KIND.csv."""
    found = {name: records.read_all(place) for name, place in places.items()}
    files, tables = [], []
    for name in MEASURED if found else ():
        curves = {}
        for variant, done in found.items():
            epochs, held_out = records.curve(done, name)
            _, training = records.curve(done, f"train_{name}")
            curves[variant] = Curve(epochs, held_out, training)
        picture = curves_figure(f"{study}: each {kind}", METRICS[name], curves, reference)
        files.append(paths.CURVES / f"{kind}_{name}.png")
        save(picture, files[-1])
        tables.append(curve_table(name, curves))
    if tables:
        table = pd.DataFrame([row for rows in tables for row in rows])
        table.to_csv(
            paths.CURVES / f"{kind}.csv", index=False, float_format="%.6g", lineterminator="\n"
        )
    for name, done in found.items():
        with tracking.Run(study, kind, name, tracking.mark(done)) as parent:
            parent.attach(files, "curves")


if __name__ == "__main__":
    run(main)
