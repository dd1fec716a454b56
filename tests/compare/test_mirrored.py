"""Mirror images are asked about only where that is better out of fold."""

import numpy as np
import pytest

from cnnlab.compare.mirrored import judge_flips
from cnnlab.compare.scores import Outcomes

N, RNG = 200, np.random.default_rng(3)
LABELS = RNG.integers(0, 2, N)
FOLD = np.arange(N)[None] % 5


def outcomes(true):
    """A network that gives the true class these probabilities, (n,)."""
    shares = np.stack([1 - true, true], axis=1)
    shares = np.where(LABELS[:, None] == 1, shares, shares[:, ::-1])
    return Outcomes(np.arange(N), LABELS, FOLD, shares[None, None].astype(np.float32))


PLAIN = RNG.uniform(0.3, 0.9, N)


@pytest.mark.parametrize(
    ("both", "used"),
    [
        (PLAIN + 0.05, True),  # better of nearly every image
        (PLAIN, False),  # the same
        (PLAIN - 0.05, False),
        (PLAIN + RNG.normal(0, 0.1, N).clip(-0.25, 0.09), False),  # nothing but noise
        # Surer of what it was sure of, and more often wrong.
        (np.where(PLAIN > 0.55, 0.97, np.where(PLAIN > 0.5, 0.49, PLAIN)), False),
    ],
)
def test_they_are_used_where_they_help(both, used):
    flips = judge_flips(outcomes(PLAIN), outcomes(both), np.arange(N), 1.25, 0.95)
    assert flips.used == used
    expected = np.mean(np.log(PLAIN) - np.log(both))
    assert flips.nll.mean == pytest.approx(expected, abs=1e-6)
    right = np.mean((both > 0.5) * 1.0 - (PLAIN > 0.5))
    assert flips.accuracy.mean == pytest.approx(right, abs=0.006)  # ties of one half


def test_images_of_a_group_count_as_one():
    both = PLAIN + 0.05 * RNG.normal(0.2, 1, N)
    alone = judge_flips(outcomes(PLAIN), outcomes(both), np.arange(N), 1.25, 0.95)
    groups = np.arange(N) % 5  # a fold is a group
    grouped = judge_flips(outcomes(PLAIN), outcomes(both), groups, 1.25, 0.95)
    assert alone.nll.n == N and grouped.nll.n == 5
