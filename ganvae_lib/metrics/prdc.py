"""Precision, recall, density and coverage: which images lie where the others do."""

from __future__ import annotations

from typing import Any

import numpy as np

from .neighbours import Distances, nearest_neighbours
from .result import MetricError, MetricResult, checked_features


def precision_recall_density_coverage(
    a: Any, b: Any, k: int = 5, *, radii_b: np.ndarray | None = None, network: Any = None, reference: str | None = None
) -> list[MetricResult]:
    """Four figures from balls around feature vectors: a of the images measured (N, d), b of real ones (M, d).

    With r(b_i) the distance from b_i to its k-th nearest other real vector, r(a_j) likewise among a, and
    balls without their rim,

        precision = share of a inside the ball of any b          realism; one far-off b with a huge ball spoils it
        recall    = share of b inside the ball of any a          diversity
        density   = mean over a of (balls of b it lies in) / k   1 for equal distributions, but no 'higher is better'
        coverage  = share of b with any a in its ball            diversity; 1 − 2⁻ᵏ or so for equal distributions

    Density rewards concentration: samples crowded where real images are dense lie in many balls. One typical image
    repeated has a density of several and recall 0, so a density above 1 is a warning, and `better` is None for it.

    Two departures from the authors' code: they take precision and recall with k = 3 and balls with their rim; here one
    k serves all four, and a sample on the rim is outside.

    Distances are taken in blocks: memory grows with N + M, time with (N + M)².

    Args:
      a: Features of the images measured, N > k.
      b: Features of the reference images, M > k.
      k: Which neighbour sets the radius.
      radii_b: `radii(b, k)`, where they are known.
      network: The feature network, or its description, for the record.
      reference: The reference set in words, for the record.

    Returns:
      Four `MetricResult`s. `extra["k"]` is k.

    Raises:
      MetricError: NaN, infinity, differing d, or k or fewer images on a side.

    Source: Kynkäänniemi et al. (2019), arXiv:1904.06991; Naeem et al. (2020), arXiv:2002.09797.
    """
    a = checked_features(a, "features measured")
    b = checked_features(b, "reference features", dim=a.shape[1])
    if not 1 <= k < min(len(a), len(b)):
        raise MetricError(f"k = {k} needs k ≥ 1 and more than k images on each side, not {len(a)} and {len(b)}")
    radii_a, radii_b = radii(a, k), radii(b, k) if radii_b is None else radii_b
    balls = np.zeros(len(a), int)  # balls of b that a_j lies in
    recalled, covered = np.zeros(len(b), bool), np.zeros(len(b), bool)
    between = Distances(a, b)
    for rows, squared, error in between.blocks():
        inside = between.nearer(rows, squared, error, radii_b)
        balls[rows] = np.count_nonzero(inside, axis=1)
        covered |= inside.any(axis=0)
        recalled |= between.nearer(rows, squared, error, radii_a[rows, None]).any(axis=0)
    values = {
        "precision": np.mean(balls > 0),
        "recall": np.mean(recalled),
        "density": np.mean(balls) / k,
        "coverage": np.mean(covered),
    }
    known = {"network": network, "n_reference": len(b), "reference": reference, "extra": {"k": k}}
    return [
        MetricResult.of(name, float(v), len(a), better=None if name == "density" else "higher", **known)
        for name, v in values.items()
    ]


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Distance from each row to its k-th nearest other row: of all rows, itself is the nearest."""
    return nearest_neighbours(x, x, k + 1)[1][:, k]
