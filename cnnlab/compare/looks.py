"""Looking after each repeat: how sure one must be at each look to be wrong no more often in all.

Whoever stops as soon as an effect is significant is wrong too often. The estimates after 1, 2, ...
repeats of one study are correlated as those of a growing sample are (their covariance is the later
one's variance), so bounds of group-sequential trials fit: the error that may have been spent by a
look is O'Brien and Fleming's, alpha(t) = 2 - 2 Phi(z / sqrt(t)) with z the quantile at alpha / 2
(K. Lan and D. DeMets, Biometrika 70, 1983; P. O'Brien and T. Fleming, Biometrics 35, 1979), where t
is the share of the information that the last repeat will bring.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

NODES = (81, 161, 321, MOST := 641)  # of the quadrature: the more, the smaller a step is
SMALLEST = 1e-4  # step of time
FARTHEST = 12.0  # standard errors


@functools.lru_cache(maxsize=4096)
def bounds(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """The bound of |z| at each look: crossing it, then or before, has probability `alpha` in all.

    times: share of the information at each look, rising, in (0, 1]; alpha: two-sided, in (0, 1).
    """
    spent = 2 * ndtr(ndtri(alpha / 2) / np.sqrt(times))
    # Where the sum that z grows from has got to without crossing, and how likely, by quadrature.
    places, masses = np.zeros(1), np.ones(1)
    limits = []
    steps, shares = np.diff(times, prepend=0), np.diff(spent, prepend=0)
    for time, step, share in zip(times, steps, shares, strict=True):
        z = _crossed_by(share, time, step, places, masses)
        edge = z * np.sqrt(time)
        nodes, weights = _gauss(
            next(n for n in NODES if n > 1.2 * edge / np.sqrt(step) or n == MOST)
        )
        away = nodes[:, None] * edge - places
        density = np.exp(-(away**2) / (2 * step)) / np.sqrt(2 * np.pi * step)
        places, masses = nodes * edge, weights * edge * (density @ masses)
        limits.append(float(z))
    return tuple(limits)


@functools.cache
def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the quadrature over -1 .. 1."""
    return np.polynomial.legendre.leggauss(count)


def _crossed_by(share: float, time: float, step: float, places, masses) -> float:
    """The bound that `share` of all studies crosses at this time for the first time."""

    def excess(z: float) -> float:
        edge = z * np.sqrt(time)
        out = ndtr((-edge - places) / np.sqrt(step)) + ndtr((places - edge) / np.sqrt(step))
        return float(masses @ out) - max(share, 1e-15)

    return FARTHEST if excess(FARTHEST) >= 0 else _root(excess, 0.0, FARTHEST, xtol=1e-6)


def level(times: Sequence[float], alpha: float) -> float:
    """The two-sided level of a single test at the last of these looks: p below it there is as good
    as p below `alpha` without looks."""
    return float(2 * ndtr(-bounds(_rounded(times), round(alpha, 9))[-1]))


def adjusted(p: float, times: Sequence[float]) -> float:
    """The smallest alpha at which the last of these looks would have crossed its bound with this
    two-sided p: what p is worth after looking before. At least p."""
    if len(times) == 1 and times[0] >= 1:
        return p
    if p >= 0.5:
        return 1.0
    top = 0.999
    if p > level(times, top):
        return 1.0
    low = max(p, 1e-8)  # as exact as the quadrature
    if level(times, low) >= p:
        return low
    ends = np.log(low), np.log(top)
    return float(np.exp(_root(lambda a: level(times, np.exp(a)) - p, *ends, rtol=1e-4)))


def _root(*args, **options) -> float:
    from scipy.optimize import brentq  # takes long, and every stage imports this module

    return brentq(*args, **options)


def _rounded(times: Sequence[float]) -> tuple[float, ...]:
    """Rising times in (0, 1], as keys of the cache."""
    rising = np.maximum.accumulate(np.clip(times, 0.02, 1.0))
    steps = rising + SMALLEST * (np.arange(len(rising)) - len(rising) + 1)
    return tuple(np.round(steps, 9).tolist())
