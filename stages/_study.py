"""What the stage `compare` makes its tables and figures from."""

from collections.abc import Mapping
from dataclasses import dataclass

from cnnlab.compare import comparison, designs, tables
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.options import Compare
from cnnlab.compare.scores import Grid
from cnnlab.data import pool
from cnnlab.records import Record


@dataclass(frozen=True)
class Study:
    """What the tables and figures are made from; dicts are by variant."""

    name: str
    options: Compare
    techniques: Mapping[str, list[str]]
    trials: Mapping[str, list[Record]]  # of all repeats, those of `decide` too
    grids: Mapping[str, Grid]
    costs: Mapping[str, float]  # of training
    dev: pool.Pool
    compared: comparison.Comparison

    @property
    def metric(self):
        """The primary one."""
        return METRICS[self.options.metric]

    @property
    def primary(self) -> list[dict]:
        """The effects on it."""
        return self.compared.of(self.options.metric)

    @property
    def real(self) -> list[str]:
        """The variants that may be the best: not the placebo, unless all hold it."""
        real = [name for name, on in self.techniques.items() if designs.PLACEBO not in on]
        return real or list(self.techniques)

    @property
    def headlines(self) -> list:
        """The contrasts that answer first."""
        contrasts = self.compared.contrasts
        first = tables.watched({c.kind for c in contrasts})
        return [c for c in contrasts if c.kind in first]
