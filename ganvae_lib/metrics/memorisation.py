"""Whether a model repeats its training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from .prdc import smallest
from .result import MetricError, MetricResult, checked_features

_BLOCK_ENTRIES = 2**23  # a block of distances is 32 MB


def nearest_neighbours(queries: Any, base: Any, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of `base` to each row of `queries`, by Euclidean distance.

    Candidates are found in float32, block by block, and their distances then computed from the differences in
    float64, so that a copy is at distance 0 exactly. A row of which float32 cannot tell that all others are farther is
    compared with the whole of `base` in float64: slow where rows of `base` are repeated more than k + 8 times.

    Args:
      queries: (N, d) features, or images of any shape (N, …).
      base: (M, d) or (M, …), M ≥ k.
      k: How many neighbours.

    Returns:
      Indices into `base` (N, k), nearest first, and the distances (N, k), float64.

    Raises:
      MetricError: NaN, infinity, differing d, k < 1 or k > M.
    """
    q = _rows(queries, "queries")
    x = _rows(base, "base", dim=q.shape[1])
    if not 1 <= k <= len(x):
        raise MetricError(f"k = {k} neighbours need 1 ≤ k ≤ {len(x)}, the number of rows in base")
    with np.errstate(over="ignore"):
        centre = x.mean(axis=0, dtype=np.float64)
        scale = max(float(max(v.max() - centre.min(), centre.max() - v.min())) for v in (q, x))
    if not scale < 1e150:
        raise MetricError("the features are too large for their squares in float64: scale them down")
    scale = max(scale, 1e-150)  # so that squares neither overflow nor vanish
    q32, x32 = (_scaled(v, centre, scale) for v in (q, x))
    half_squares = 0.5 * np.einsum("nd,nd->n", x32, x32)
    # What rounding may cost a value of `near`, with a wide margin: it grows with the squares of distances from centre.
    widest = np.sqrt(2 * half_squares.max())
    cost = 16 * np.sqrt(x.shape[1]) * 2.0**-24 * widest * (widest + np.sqrt(np.einsum("nd,nd->n", q32, q32)))
    found = min(k + 8, len(x))  # more than k: float32 may swap near ties
    indices, distances = np.empty((len(q), k), np.int64), np.empty((len(q), k))
    step, step_all = (max(1, _BLOCK_ENTRIES // size) for size in (len(x), 2 * x.shape[1]))
    for start in range(0, len(q), step):
        rows = slice(start, start + step)
        near = half_squares - q32[rows] @ x32.T  # half the squared distance, less a constant of the row
        near, values = smallest(near, found)
        exact = np.stack([_distances(x[i], v) for i, v in zip(near, q[rows], strict=True)])
        order = np.lexsort((near, exact), axis=1)[:, :k]
        indices[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        if found < len(x):
            own = 0.5 * np.einsum("nd,nd->n", q32[rows], q32[rows], dtype=np.float64)
            farthest = 0.5 * (distances[rows, -1] / scale) ** 2 - own  # on the scale of `near`
            for i in start + np.flatnonzero(farthest > values[:, -1] - cost[rows]):
                exact = np.concatenate([_distances(x[j : j + step_all], q[i]) for j in range(0, len(x), step_all)])
                indices[i] = np.lexsort((np.arange(len(x)), exact))[:k]
                distances[i] = exact[indices[i]]
    return indices, distances


def _scaled(v: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """(v − centre) / scale in float32, without a copy in float64."""
    out = np.empty(v.shape, np.float32)
    for start in range(0, len(v), 1024):
        rows = slice(start, start + 1024)
        out[rows] = (v[rows] - centre) / scale
    return out


def _distances(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum((x.astype(np.float64) - v.astype(np.float64)) ** 2, axis=1))


def _rows(x: Any, what: str, dim: int | None = None) -> np.ndarray:
    """Features or images as (N, d)."""
    try:
        x = np.asarray(x)
    except ValueError:
        raise MetricError(f"{what} must have shape (N, d); these are lists of unequal lengths") from None
    return checked_features(x.reshape(len(x), -1) if x.ndim > 2 and x.size else x, what, dim)


def memorisation_metrics(
    samples: Any, train: Any, fresh: Any, *, network: Any = None, reference: str | None = None
) -> list[MetricResult]:
    """How near samples come to the training images, beside real images that the model has not seen.

    With t(v) the distance from v to its nearest training image,

        distance ratio = median t(sample) / median t(fresh)       1: as far as fresh real images; 0: copies
        copying score  = (U − E U) / sd U, U = #{(i, j): t(sample_i) > t(fresh_j)} + ½ #ties    in standard deviations:
                         far below 0, samples are nearer to the training images than fresh ones are (data-copying)
        authenticity   = share of samples s whose nearest training image t has another training image nearer to it
                         than s is       about ½ or more for fresh images, 0 for copies

    Far-off samples also score high, noise in all three: none is 'higher is better', and each is to be read beside a
    distance between distributions.

    Args:
      samples: Features (N, d) of the samples, or images.
      train: Features of the training images, M ≥ 2.
      fresh: Features of real images not trained on, e.g. the test set.
      network: The feature network, or its description, for the record.
      reference: The training images in words, for the record.

    Returns:
      Three `MetricResult`s, with the fresh images' own authenticity as floor, and in `extra` the medians, the
      number of exact copies, and of samples nearer to a training image than any fresh image is.

    Raises:
      MetricError: As in `nearest_neighbours`.

    Source: Meehan, Chaudhuri & Dasgupta (2020), arXiv:2004.05675 (the copying score, here of one cell);
    Alaa et al. (2022), arXiv:2102.08921, §4.3 (authenticity).
    """
    train = _rows(train, "training images")
    if len(train) < 2:
        raise MetricError(f"memorisation needs at least 2 training images, not {len(train)}")
    of_sample, t_sample = (v[:, 0] for v in nearest_neighbours(samples, train))
    of_fresh, t_fresh = (v[:, 0] for v in nearest_neighbours(fresh, train))
    used, where = np.unique(np.concatenate([of_sample, of_fresh]), return_inverse=True)
    # Its nearest other: of two neighbours the one that is not itself; a duplicate of it is at distance 0 too.
    gap = nearest_neighbours(train[used], train, k=2)[1][:, 1][where]
    median_sample, median_fresh = float(np.median(t_sample)), float(np.median(t_fresh))
    if median_fresh == 0:
        raise MetricError("the fresh images are among the training images: give images the model has not seen")
    ordered = np.sort(t_fresh)
    below, not_above = np.searchsorted(ordered, t_sample, "left"), np.searchsorted(ordered, t_sample, "right")
    n, m = len(t_sample), len(t_fresh)
    score = (0.5 * np.sum(below + not_above) - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
    authentic = t_sample > gap[:n]
    extra = {
        "median_distance": median_sample,
        "median_distance_fresh": median_fresh,
        "exact_copies": int(np.sum(t_sample == 0)),
        "nearer_than_any_fresh": int(np.sum(t_sample < ordered[0])),
        "fresh": m,
    }
    known = {"network": network, "n_reference": len(train), "reference": reference, "extra": extra}
    rate = float(authentic.mean())
    return [
        MetricResult.of("nearest-training-image distance ratio", median_sample / median_fresh, n, **known),
        MetricResult.of("data-copying score", float(score), n, unit="standard deviations", **known),
        MetricResult.of(
            "authenticity",
            rate,
            n,
            spread=float(np.sqrt(rate * (1 - rate) / n)),
            spread_kind="standard error",
            floor=float(np.mean(t_fresh > gap[n:])),
            floor_how=f"{m:,} real images not trained on",
            **known,
        ),
    ]
