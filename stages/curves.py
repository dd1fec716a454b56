"""curves: how each variant came to its score, epoch by epoch."""

import shutil

import pandas as pd

from cnnlab import params, paths, records, tracking
from cnnlab.compare.metrics import METRICS
from cnnlab.look.curves import Curve, curve_table, curves_figure
from cnnlab.look.figure import save
from cnnlab.tasks import TASKS
from stages import run


def main() -> None:
    task, study, variants = params.load("task", "study", "variants")
    shutil.rmtree(paths.CURVES, ignore_errors=True)
    paths.CURVES.mkdir(parents=True)
    ended = records.without_diverged(variants.every, paths.RUNS)
    trials = {name: records.read_all(paths.RUNS / name) for name in ended}
    plain = next((name for name, on in ended.items() if not on), None)
    tables = []
    for name in TASKS[task].MEASURED:  # on the held-out fold and on clean training images
        curves = {}
        for variant, of_variant in trials.items():
            epochs, held_out = records.curve(of_variant, name)
            _, training = records.curve(of_variant, f"train_{name}")
            curves[variant] = Curve(epochs, held_out, training)
        picture = curves_figure(f"{study}: each variant", METRICS[name], curves, plain)
        save(picture, paths.CURVES / f"{name}.png")
        tables += curve_table(name, curves)
    pd.DataFrame(tables).to_csv(
        paths.CURVES / "curves.csv", index=False, float_format="%.6g", lineterminator="\n"
    )
    marks = {name: tracking.mark(of_variant) for name, of_variant in trials.items()}
    tracking.log_figures(study, marks, paths.CURVES)


if __name__ == "__main__":
    run(main)
