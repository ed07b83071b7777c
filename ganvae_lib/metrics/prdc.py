"""Precision, recall, density and coverage: which images lie where the others do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .result import MetricError, MetricResult, checked_features

_BLOCK_ENTRIES = 2**21  # a block of distances is 16 MB


def precision_recall_density_coverage(
    a: Any, b: Any, k: int = 5, *, network: Any = None, reference: str | None = None
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

    Distances are taken in float64, in blocks: memory grows with N + M, time with (N + M)².

    Args:
      a: Features of the images measured, N > k.
      b: Features of the reference images, M > k.
      k: Which neighbour sets the radius.
      network: The feature network, or its description, for the record.
      reference: The reference set in words, for the record.

    Returns:
      Four `MetricResult`s. `extra["k"]` is k.

    Raises:
      MetricError: NaN, infinity, differing d, or k or fewer images on a side.

    Source: Kynkäänniemi et al. (2019), arXiv:1904.06991; Naeem et al. (2020), arXiv:2002.09797.
    """
    a = checked_features(a, "features measured").astype(np.float64)
    b = checked_features(b, "reference features", dim=a.shape[1]).astype(np.float64)
    if not 1 <= k < min(len(a), len(b)):
        raise MetricError(f"k = {k} needs k ≥ 1 and more than k images on each side, not {len(a)} and {len(b)}")
    # Neither changes which distance is the smaller, both what rounding costs: one far-off row does not move the median.
    centre = np.median(b, axis=0)
    with np.errstate(over="ignore"):
        a, b = a - centre, b - centre
    largest = max(np.abs(a).max(), np.abs(b).max())
    if not np.isfinite(largest):
        raise MetricError("the features are too large for float64: scale them down")
    a, b = (np.ldexp(x, -np.frexp(largest)[1]) for x in (a, b))
    radius_a, radius_b = _squared_radii(a, k), _squared_radii(b, k)

    in_b = np.zeros(len(a), int)  # balls of b that a_j lies in
    in_a = np.zeros(len(b), bool)  # whether b_i lies in a ball of a
    nearest = np.full(len(b), np.inf)  # squared distance from b_i to its nearest a
    for rows, squared in _squared_distances(a, b):
        in_b[rows] = np.count_nonzero(squared < radius_b, axis=1)
        in_a |= (squared < radius_a[rows, None]).any(axis=0)
        np.minimum(nearest, squared.min(axis=0), out=nearest)
    values = {
        "precision": np.mean(in_b > 0),
        "recall": np.mean(in_a),
        "density": np.mean(in_b) / k,
        "coverage": np.mean(nearest < radius_b),
    }
    known = {"network": network, "n_reference": len(b), "reference": reference, "extra": {"k": k}}
    return [
        MetricResult.of(name, float(v), len(a), better=None if name == "density" else "higher", **known)
        for name, v in values.items()
    ]


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance from each row to its k-th nearest other row, less the thickness of rounding."""
    radii = np.empty(len(x))
    for rows, squared in _squared_distances(x, x):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf  # itself
        radii[rows] = smallest(squared, k)[1][:, -1]
    rim = 64 * np.finfo(float).eps * (radii + np.einsum("nd,nd->n", x, x))  # more than rounding: a tie stays outside
    return np.maximum(radii - rim, 0.0)


def smallest(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k smallest entries of each row, (n, k) each, in no order but the k-th last.

    Partitioning 10,000 entries a row is what a nearest neighbour costs, so most are left out in one cheap pass: of the
    row folded to c × m, the k smallest entries lie in the k columns of smallest minima.
    """
    n, width = rows.shape
    m = max(8 * k, math.isqrt(width))
    c = width // m
    if c < 4:
        columns, values = None, rows
    else:
        folded = rows[:, : c * m].reshape(n, c, m)
        best = np.argpartition(folded.min(axis=1), k - 1, axis=1)[:, :k]
        values = np.take_along_axis(folded, best[:, None], axis=2).reshape(n, -1)
        values = np.concatenate([values, rows[:, c * m :]], axis=1)
        columns = (m * np.arange(c)[:, None] + best[:, None]).reshape(n, -1)
        columns = np.concatenate([columns, np.broadcast_to(np.arange(c * m, width), (n, width - c * m))], axis=1)
    found = np.argpartition(values, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(values, found, axis=1)
    return (found if columns is None else np.take_along_axis(columns, found, axis=1)), values


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of ‖x_i − y_j‖², each with its slice: one matrix product, [−2x, ‖x‖², 1]ᵀ[y, 1, ‖y‖²]."""
    one, x2, y2 = np.ones, np.einsum("nd,nd->n", x, x)[:, None], np.einsum("nd,nd->n", y, y)[:, None]
    left = np.concatenate([-2.0 * x, x2, one((len(x), 1))], axis=1)
    right = np.concatenate([y, one((len(y), 1)), y2], axis=1).T
    step = max(1, min(len(x), _BLOCK_ENTRIES // len(y)))
    buffer = np.empty((step, len(y)))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        squared = np.matmul(left[rows], right, out=buffer[: rows.stop - start])
        yield rows, np.maximum(squared, 0.0, out=squared)
