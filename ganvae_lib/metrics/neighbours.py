"""Who is nearest, and who lies in a ball: distances between many rows, screened in float32, decided in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .result import MetricError, checked_features

_BLOCK_ENTRIES = 2**24  # a block of float32 distances is 64 MB
_EXACT_ENTRIES = 2**19  # differences in float64 at once, 4 MB


class Distances:
    """Distances between the rows of x (N, d) and those of y (M, d).

    `blocks` has the squares of all of them, by one matrix product for a block of rows of x,

        ‖x − y‖² = [−2x, ‖x‖², 1] · [y, 1, ‖y‖²],

    and bounds the error of their rounding: float32 is twice as fast as float64, and tells which pairs are in doubt.
    `exact` has the distances of a few pairs. Squares are in units of the square of `unit`, a power of 2, so that none
    overflows or vanishes; and of x and y less the mean of y, which brings them near 0.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, dtype: type = np.float32):
        self.x, self.y = x, y
        with np.errstate(over="ignore", invalid="ignore"):
            centre = y.mean(axis=0, dtype=np.float64)
            reach = max(float(np.abs(v[i : i + 1024] - centre).max()) for v in (x, y) for i in range(0, len(v), 1024))
        if not reach < 1e307:
            raise MetricError("the features are too large for float64: scale them down")
        self.unit = math.ldexp(1.0, math.frexp(reach)[1] - 1)
        self._left, self._right = (self._centred(v, centre, dtype) for v in (x, y))
        x2, y2 = (np.einsum("nd,nd->n", v[:, :-2], v[:, :-2]) for v in (self._left, self._right))
        self._left[:, :-2] *= -2
        self._left[:, -2], self._left[:, -1] = x2, 1
        self._right[:, -2], self._right[:, -1] = 1, y2
        # What rounding may cost a square, with a wide margin.
        self._error = 8 * np.sqrt(x.shape[1]) * np.finfo(dtype).eps * (np.sqrt(x2) + np.sqrt(y2.max())) ** 2

    def _centred(self, v: np.ndarray, centre: np.ndarray, dtype: type) -> np.ndarray:
        """(v − centre) / unit with room for two more columns."""
        out = np.empty((len(v), v.shape[1] + 2), dtype)
        for i in range(0, len(v), 1024):
            out[i : i + 1024, :-2] = (v[i : i + 1024] - centre) / self.unit
        return out

    def blocks(self) -> Iterator[tuple[slice, np.ndarray, float]]:
        """Rows i, (‖x_i − y_j‖ / unit)² for all j, and how far off these may be; the array is used again."""
        step = max(1, min(len(self.x), _BLOCK_ENTRIES // len(self.y)))
        buffer = np.empty((step, len(self.y)), self._left.dtype)
        for start in range(0, len(self.x), step):
            rows = slice(start, min(start + step, len(self.x)))
            squared = np.matmul(self._left[rows], self._right.T, out=buffer[: rows.stop - start])
            yield rows, squared, float(self._error[rows].max())

    def exact(self, i: Any, j: Any) -> np.ndarray:
        """‖x_i − y_j‖ of index arrays that broadcast, from the differences in float64: of equal rows exactly 0."""
        i, j = np.broadcast_arrays(i, j)
        out = np.empty(i.size)
        step = max(1, _EXACT_ENTRIES // self.x.shape[1])
        for start in range(0, i.size, step):
            part = slice(start, start + step)
            difference = np.subtract(self.x[i.flat[part]], self.y[j.flat[part]], dtype=np.float64)
            difference /= self.unit
            out[part] = self.unit * np.sqrt(np.sum(np.square(difference, out=difference), axis=1))
        return out.reshape(i.shape)

    def nearer(self, rows: slice, squared: np.ndarray, error: float, radius: np.ndarray) -> np.ndarray:
        """Whether ‖x_i − y_j‖ < radius, which broadcasts, for a block: the pairs in doubt are looked at in float64."""
        limit = (radius / self.unit) ** 2
        inside = squared < (limit - error).astype(squared.dtype)
        doubt = np.flatnonzero(inside != (squared < (limit + error).astype(squared.dtype)))
        i, j = np.unravel_index(doubt, squared.shape)  # ten times faster than `nonzero` of two axes
        inside[i, j] = self.exact(rows.start + i, j) < np.broadcast_to(radius, squared.shape)[i, j]
        return inside


def nearest_neighbours(queries: Any, base: Any, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of `base` to each row of `queries`, by Euclidean distance.

    Candidates are found in float32, block by block, and their distances then computed from the differences in
    float64, so that a copy is at distance 0 exactly. Rows of which float32 cannot tell that all others are farther
    are searched again in float64, and those of which that cannot tell, by the differences alone, which is slow.

    Args:
      queries: (N, d) features, or images of any shape (N, …).
      base: (M, d) or (M, …), M ≥ k.
      k: How many neighbours.

    Returns:
      Indices into `base` (N, k), nearest first, and the distances (N, k), float64. Of more than k + 8 copies of a
      query any k may be the ones.

    Raises:
      MetricError: NaN, infinity, differing d, k < 1 or k > M.
    """
    q = as_rows(queries, "queries")
    x = as_rows(base, "base", dim=q.shape[1])
    if not 1 <= k <= len(x):
        raise MetricError(f"k = {k} neighbours need 1 ≤ k ≤ {len(x)}, the number of rows in base")
    indices, distances, left = np.empty((len(q), k), np.int64), np.empty((len(q), k)), np.arange(len(q))
    for dtype in (np.float32, np.float64):
        if len(left):
            between = Distances(q[left], x, dtype)
            indices[left], distances[left], sure = _nearest(between, k)
            left = left[~sure]
    everything = np.arange(len(x))
    for i, row in zip(left, np.flatnonzero(~sure), strict=True):
        exact = between.exact(row, everything)
        indices[i] = np.lexsort((everything, exact))[:k]
        distances[i] = exact[indices[i]]
    return indices, distances


def _nearest(between: Distances, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k rows of y that are nearest to each row of x, their distances, and whether rounding leaves no doubt."""
    found = min(k + 8, len(between.y))  # more than k: rounding may swap near ties
    indices, distances, sure = [], [], []
    for rows, squared, error in between.blocks():
        near, values = smallest(squared, found)
        exact = between.exact(np.arange(rows.start, rows.stop)[:, None], near)
        order = np.lexsort((near, exact), axis=1)[:, :k]
        indices.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.take_along_axis(exact, order, axis=1))
        last = distances[-1][:, -1]
        sure.append((last == 0) | ((last / between.unit) ** 2 < values[:, -1] - error) | (found == len(between.y)))
    return np.concatenate(indices), np.concatenate(distances), np.concatenate(sure)


def smallest(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k smallest entries of each row, (n, k) each, in no order but the k-th last.

    Partitioning 10,000 entries a row is what a nearest neighbour costs, so most are left out in one cheap pass: of the
    row folded to c × m, the k smallest entries lie in the k columns of smallest minima.
    """
    n, width = rows.shape
    m = math.isqrt(k * width)
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


def as_rows(x: Any, what: str, dim: int | None = None) -> np.ndarray:
    """Features or images as (N, d)."""
    try:
        x = np.asarray(x)
    except ValueError:
        raise MetricError(f"{what} must have shape (N, d); these are lists of unequal lengths") from None
    return checked_features(x.reshape(len(x), -1) if x.ndim > 2 and x.size else x, what, dim)
