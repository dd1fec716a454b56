"""What a metric is, and how its values and differences are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = (0.0, 1.0)  # bounds of a share
NATS = (0.0, math.inf)  # bounds of a negative log likelihood

Values = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Metric:
    """A metric and how it is shown. A value times `scale` is in `unit`; a difference in `step`.

    `values`: `labels` int (n,), 0 .. classes - 1, and `outputs` float64, what the networks of the
    metric's task give for each image, (n, columns), to float64 (n,), of which the metric is the
    mean.
    """

    title: str
    higher_is_better: bool
    scale: float
    unit: str
    step: str
    digits: int
    values: Values
    bounds: tuple[float, float]  # the least and the largest value that is possible
    approximate: bool = False  # no mean over images, and not shown to be calibrated

    def score(self, labels: NDArray[np.int64], outputs: NDArray[np.floating]) -> float:
        """The metric of these images."""
        return float(np.mean(self.values(labels, np.asarray(outputs, np.float64))))

    def plain(self, value: float) -> str:
        """A value in `unit` as it is written, see `plain`."""
        return plain(value * self.scale, self.digits)

    def signed(self, value: float) -> str:
        """A difference in `step` as it is written, see `signed`."""
        return signed(value * self.scale, self.digits)


def plain(value: float, digits: int) -> str:
    """A number as it is written everywhere: with a true minus, and no sign where it is 0."""
    return signed(value, digits).removeprefix("+")


def signed(value: float, digits: int) -> str:
    """The same with its sign, as a difference is written; 0, which has none, without."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """A level that was asked for, such as of intervals, with as many digits as it was asked with:
    "95%", "99.9%"."""
    return f"{share * 100:.10g}%"


def influence(whole: float, without: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with mean `whole`, float64 (n,), from the metric without each image, (n,): the metric,
    plus what the jackknife says that the image adds (B. Efron and C. Stein, Annals of Statistics 9,
    1981)."""
    return whole + (len(without) - 1) * (without.mean() - without)
