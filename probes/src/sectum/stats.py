"""Counts -> rates with their uncertainty; pure."""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from statistics import NormalDist

_Z95 = NormalDist().inv_cdf(0.975)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Two-sided 95 % Wilson score interval of a rate (Wilson 1927); (0, 1) for no trials."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = hits / trials, _Z95**2
    middle = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 / (1 + z2 / trials) * sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(hits: int, trials: int, before: int, trials_before: int) -> tuple[float, float]:
    """Two-sided 95 % interval of the difference of two rates, hits/trials less the one before (Newcombe 1998, no. 10).

    As if the two samples were independent; (-1, 1) where one is empty.
    """
    if not trials or not trials_before:
        return -1.0, 1.0
    rate, earlier = hits / trials, before / trials_before
    (low, high), (low_before, high_before) = wilson(hits, trials), wilson(before, trials_before)
    down = sqrt((rate - low) ** 2 + (high_before - earlier) ** 2)
    up = sqrt((high - rate) ** 2 + (earlier - low_before) ** 2)
    return max(-1.0, rate - earlier - down), min(1.0, rate - earlier + up)


def upper_bound(hits: int, trials: int) -> float:
    """One-sided 95 % upper bound of a rate (Clopper and Pearson 1934): the largest rate that could hide behind `hits`.

    For no hits it is 1 - 0.05^(1/trials), about 3/trials. Bisection on the binomial distribution's lower tail.
    """
    if hits >= trials:
        return 1.0
    if hits == 0:
        return float(1 - 0.05 ** (1 / trials))
    low, high = hits / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, trials, middle) > 0.05 else (low, middle)
    return high


def _at_most(hits: int, trials: int, rate: float) -> float:
    """P(X <= hits) for X ~ Binomial(trials, rate), 0 < rate < 1; in logarithms, as (1 - rate)^trials underflows."""
    term, total = trials * log1p(-rate), 0.0
    odds = log(rate) - log1p(-rate)
    for count in range(hits + 1):
        total += exp(term)
        term += log((trials - count) / (count + 1)) + odds
    return total
