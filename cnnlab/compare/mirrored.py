"""Whether a network should also be asked about an image's mirror image, judged out of fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.inference import Estimate, Split, crossed
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.scores import Outcomes

LESS_IS_BETTER, MORE_IS_BETTER = "nll", "accuracy"


@dataclass(frozen=True)
class Flips:
    """What the mean over an image and its mirror image does to answers, as changes."""

    nll: Estimate  # nats; less is better
    accuracy: Estimate  # a share
    confidence: float  # of the interval that decides

    @property
    def used(self) -> bool:
        """Whether it is done: clearly less negative log likelihood, and no fewer right answers."""
        return self.nll.interval(self.confidence)[1] < 0 and self.accuracy.mean >= 0


def judge_flips(
    plain: Outcomes, both: Outcomes, groups: NDArray, guard: float, confidence: float
) -> Flips:
    """Compare answers to the same images by the same networks, asked once and `both` ways.

    Outcomes of one repeat and member. `groups`: (images,), those of one group count as one.
    `guard`: as `inference.crossed` has it.
    """
    split = Split(both.fold, np.unique(groups, return_inverse=True)[1])

    def change(metric: str) -> Estimate:
        of_image = METRICS[metric].values
        return crossed((both.of_each(of_image) - plain.of_each(of_image))[..., 0], split, guard)

    return Flips(change(LESS_IS_BETTER), change(MORE_IS_BETTER), confidence)
