"""Which learning rate: `python -m cnnlab.find_lr [VARIANT]` in a study's folder (`make find-lr`).

Trains a variant (the first, unless one is named) once on the training images of the first fold,
while the learning rate rises geometrically, and looks at the training loss (L. Smith, "Cyclical
Learning Rates for Training Neural Networks", WACV 2017). Prints where the smoothed loss falls most
steeply and a tenth of the rate at which it diverges, beside the rate in params.yaml, and draws
learning_rate/VARIANT.png, which no stage reads. Needs what `dvc repro kfold` makes, and for a
variant with a start what `dvc repro pretrain` does. It is a hint where to try: trials decide.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cnnlab import params, paths, records
from cnnlab.data import folds, pool
from cnnlab.errors import UserError, run_command
from cnnlab.processes import import_keras
from cnnlab.recipe.variants import Sections
from cnnlab.run import choice, device

OUT = Path("learning_rate")
LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 300
SMOOTH = 6.0  # steps; standard deviation of the weights of the mean over steps before and after
FEWEST = 20  # steps in which the loss must be a number
FALLEN = 0.9  # times the first loss; one that is never below it has not fallen


@dataclass(frozen=True)
class Found:
    """What a course of the loss suggests."""

    smooth: np.ndarray  # (steps,), up to where it is no number
    steepest: float  # learning rate at which it falls fastest
    diverges: float | None  # at which it leaves; None: at none that was tried

    @property
    def tenth(self) -> float | None:
        """A tenth of the rate at which it diverges."""
        return self.diverges / 10 if self.diverges else None


def suggest(rates: np.ndarray, losses: np.ndarray) -> Found:
    """What losses, (steps,), at rates that rise geometrically suggest. It diverges where a loss is
    no number, or where its smoothed course, past its lowest value, is half-way back to its first.

    Raises UserError where it does so before there is anything to see, or never falls.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    known = losses[: bad[0]] if len(bad) else losses
    if len(known) < FEWEST:
        raise UserError(f"the loss diverged after {len(known)} steps: --lowest must be lower")
    first = float(np.median(known[: FEWEST // 2]))
    # Single steps far up would show in the mean of steps long before.
    smooth = gaussian_filter1d(np.minimum(known, 2 * first), SMOOTH, mode="nearest")
    lowest = int(smooth.argmin())
    if smooth[lowest] > FALLEN * first:
        raise UserError("the loss falls at no rate that was tried: --highest must be higher")
    back = np.flatnonzero(smooth[lowest:] > (smooth[lowest] + first) / 2)
    end = lowest + int(back[0]) if len(back) else len(known)
    diverges = float(rates[end]) if len(back) or len(bad) else None
    slope = np.gradient(smooth, np.log(rates[: len(smooth)]))[: lowest + 1]
    return Found(smooth, float(rates[slope.argmin()]), diverges)


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises UserError for a name that is no variant, and where stages have to run before."""
    asked = _parse(arguments)
    study, seed, model, train, techniques, backbone, variants, execution = params.load(
        "study", "seed", "model", "train", "techniques", "backbone", "variants", "execution"
    )
    name = asked.variant or next(iter(variants.every))
    recipe = Sections(model, train, techniques, backbone).recipe(params.variant(name))
    network = paths.BACKBONE / records.MODEL
    _require(paths.FOLDS, "kfold")
    if recipe.phases:
        _require(network, "pretrain")
    dev = pool.read(paths.PREPARED / "dev")
    kind = choice.kind(execution, recipe, dev.images.shape[1:], dev.task)

    import_keras(device.is_gpu(kind))
    from cnnlab.recipe.network import weights_of
    from cnnlab.train import phases, rates
    from cnnlab.train.fit import set_up
    from cnnlab.train.input import Data

    set_up(recipe.threads, recipe.deterministic)
    split = folds.read(paths.FOLDS)
    first = split[split["repeat"] == split["repeat"].min()].set_index("image_id")["fold"]
    fold = first.reindex(dev.manifest["image_id"]).to_numpy()
    at = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    data = Data(dev.images, dev.labels, *at, len(dev.classes))
    start = None
    if recipe.phases:
        start = phases.body_weights(recipe, data, weights_of(records.load_model(network)))
    tried = np.geomspace(asked.lowest, asked.highest, asked.steps)
    losses = []
    for loss in rates.rising(recipe, data, seed, tried, start):
        losses.append(loss)
        if not np.isfinite(loss):
            break
    found = suggest(tried, np.array(losses))
    now = recipe.learning_rate
    for line in said(name, found, now, asked.highest):
        print(line)
    print(_draw(study, name, tried, np.array(losses), found, now))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cnnlab.find_lr", description=__doc__)
    parser.add_argument("variant", nargs="?", metavar="VARIANT", help="the first without it")
    parser.add_argument("--lowest", type=float, default=LOWEST, help="learning rate, > 0")
    parser.add_argument("--highest", type=float, default=HIGHEST, help="learning rate")
    parser.add_argument("--steps", type=int, default=STEPS, help="at least 100")
    asked = parser.parse_args(arguments)
    if not 0 < asked.lowest < asked.highest:
        raise UserError(f"--lowest {asked.lowest:g}: allowed: above 0, below {asked.highest:g}")
    if asked.steps < 100:
        raise UserError(f"--steps {asked.steps}: allowed: at least 100")
    return asked


def _require(path: Path, stage: str) -> None:
    if not path.exists():
        raise UserError(f"{path} is not there: run `dvc repro {stage}` first")


def said(name: str, found: Found, now: float, highest: float) -> list[str]:
    """What was found, in words, a line each. `now`: the variant's learning rate."""
    lines = [f"{name}: the loss falls most steeply at a learning rate of {found.steepest:.2g}"]
    if found.diverges:
        lines.append(
            f"it diverges at {found.diverges:.2g}; a tenth of that, {found.tenth:.2g}, "
            "is the highest rate to try"
        )
    else:
        lines.append(f"it diverges at no rate up to {highest:g}")
    return [*lines, f"params.yaml has {now:g} for it"]


def _draw(study: str, name: str, tried, losses, found: Found, now: float) -> str:
    from cnnlab.look.figure import save
    from cnnlab.look.rates import rates_figure

    marks = {"the loss falls most steeply": found.steepest}
    if found.tenth:
        marks["a tenth of where it diverges"] = found.tenth
    marks["in params.yaml"] = now
    shown = len(found.smooth)
    title = f"{study}: {name} while the learning rate rises"
    picture = rates_figure(title, tried[:shown], losses[:shown], found.smooth, marks)
    OUT.mkdir(exist_ok=True)
    save(picture, OUT / f"{name}.png")
    return f"drawn: {OUT / f'{name}.png'}"


if __name__ == "__main__":
    run_command(main)
