"""What may be compared: the metrics of a record, and how they read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is shown. A value times `scale` is in `unit`; a difference in `step`."""

    title: str
    higher_is_better: bool
    scale: float
    unit: str
    step: str
    digits: int


METRICS = {
    "accuracy": Metric("accuracy", True, 100, "%", "points", 1),
    "nll": Metric("negative log likelihood", False, 1, "nats", "nats", 3),
}
