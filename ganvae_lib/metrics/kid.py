"""The kernel distance (KID): the maximum mean discrepancy between features under a cubic kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .frechet import are_parts, without_a_part
from .result import MetricError, MetricResult, checked_features
from .stats import MAX_THIRD_MOMENTS_DIM, FeatureStats

_ROWS = 1024  # a block of the kernel matrix is at most 1024², 8 MB


def kernel_distance(
    a: Any,
    b: Any,
    *,
    parts: int = 10,
    seed: int = 0,
    method: str | None = None,
    network: Any = None,
    reference: str | None = None,
) -> MetricResult:
    """The squared maximum mean discrepancy with k(x, y) = (xᵀy / d + 1)³, unbiased, from every pair of images.

        MMD² = mean_{i≠j} k(a_i, a_j) + mean_{i≠j} k(b_i, b_j) − 2 mean_{ij} k(a_i, b_j)

    Its expectation is 0 for independent draws of equal distributions at any N; it may come out below 0. With γ = 1/d
    the sum over all pairs of two sets needs only their sums of x, x⊗x and x⊗x⊗x,

        Σ_ij k(a_i, b_j) = γ³ ⟨Σa⊗a⊗a, Σb⊗b⊗b⟩ + 3γ² ⟨Σa⊗a, Σb⊗b⟩ + 3γ ⟨Σa, Σb⟩ + N_a N_b,

    so the distance is exact without a kernel matrix, in memory that does not grow with N (d ≤ 128).

    Args:
      a: Features (N_a, d), N_a ≥ 2, of the images measured; or a list of `FeatureStats` with third moments,
        one for each of several disjoint random parts of them.
      b: The same of the reference images.
      parts: Where features are given, into how many random parts they are cut for the standard error.
      seed: Of that cut.
      method: 'moments' or 'pairs' (a blocked sum over the kernel matrix, for any d); None takes what suits d.
      network: The feature network, or its description, for the record.
      reference: The reference set in words, for the record.

    Returns:
      `MetricResult` 'kernel distance' of the network's features; spread: standard error by the jackknife over the
      parts of both sets (none where a set is too small for two parts).

    Raises:
      MetricError: NaN or infinity, fewer than two vectors, differing d, d > 128 with 'moments'.

    Source: Bińkowski et al. (2018), arXiv:1801.01401, §4; Gretton et al. (2012), eq. 3.
    """
    if not any(isinstance(x, FeatureStats) or (are_parts(x) and x) for x in (a, b)):
        a, b = checked_features(a, "features measured"), checked_features(b, "reference features")
        if a.shape[1] != b.shape[1]:
            raise MetricError(f"features of d = {a.shape[1]} and d = {b.shape[1]}: use one feature network")
        method = method or ("moments" if a.shape[1] <= MAX_THIRD_MOMENTS_DIM else "pairs")
        if method not in ("moments", "pairs"):
            raise MetricError(f"method is 'moments' or 'pairs', not {method!r}")
        rng = np.random.default_rng(seed)
        a, b = (
            [x[part] for part in np.array_split(rng.permutation(len(x)), max(1, min(parts, len(x) // 2)))]
            for x in (a, b)
        )
        if method == "moments":
            a, b = ([FeatureStats.from_features(x, third_moments=True) for x in side] for side in (a, b))
    else:
        a, b = (x if isinstance(x, list) else [x] for x in (a, b))
        if not (are_parts(a) and are_parts(b)):
            raise MetricError("statistics have a distance to statistics: give FeatureStats, or features, on both sides")
        method = "moments"
    sizes = np.array([x.n if method == "moments" else len(x) for x in [*a, *b]], float)
    side = np.arange(len(sizes)) < len(a)  # which parts are of a
    if min(sizes[side].sum(), sizes[~side].sum()) < 2:
        raise MetricError("a kernel distance needs at least 2 images on each side")
    with np.errstate(over="ignore", invalid="ignore"):
        sums, diagonal = _moment_sums([*a, *b]) if method == "moments" else _pair_sums([*a, *b])
    if not np.isfinite(sums).all():
        raise MetricError("the features are too large for float64: scale them down")
    value = _mmd2(sums, diagonal, sizes, side)
    variance, enough = 0.0, True
    for of in (side, ~side):
        k = of.sum()
        enough = enough and k > 1 and sizes[of].sum() - sizes[of].max() >= 2
        if enough:
            without = [_mmd2(sums, diagonal, sizes, side, np.arange(len(sizes)) != i) for i in np.flatnonzero(of)]
            variance += without_a_part(value, without, sizes[of])[1]
    spread = float(np.sqrt(variance)) if enough else None
    return MetricResult.of(
        "kernel distance",
        value,
        int(sizes[side].sum()),
        network=network,
        n_reference=int(sizes[~side].sum()),
        reference=reference,
        better="lower",
        spread=spread,
        spread_kind=None if spread is None else "standard error",
        seed=seed,
        extra={"parts": [len(a), len(b)], "kernel": "(x·y / d + 1)³"},
    )


def _mmd2(
    sums: np.ndarray, diagonal: np.ndarray, sizes: np.ndarray, side: np.ndarray, kept: np.ndarray | bool = True
) -> float:
    """MMD² of the kept parts, from the sums of the kernel over each pair of parts and over the pairs (x, x)."""
    a, b = side & kept, ~side & kept
    n, m = sizes[a].sum(), sizes[b].sum()
    within_a = (sums[np.ix_(a, a)].sum() - diagonal[a].sum()) / (n * (n - 1))
    within_b = (sums[np.ix_(b, b)].sum() - diagonal[b].sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * sums[np.ix_(a, b)].sum() / (n * m))


def _moment_sums(parts: list[FeatureStats]) -> tuple[np.ndarray, np.ndarray]:
    """Σ k over each pair of parts, (p, p), and over each part's pairs (x, x), (p,), by the formula above."""
    d = parts[0].dim
    if any(not p.third_moments or p.dim != d or p.n == 0 for p in parts):
        raise MetricError("a kernel distance of statistics needs third moments of one feature network, none empty")
    second = np.stack([(p.factor.T @ p.factor + p.n * np.outer(p.mean, p.mean)).ravel() for p in parts])
    first = np.stack([p.n * p.mean for p in parts])
    n = np.array([[float(p.n)] for p in parts])
    norms = np.stack([p.norms for p in parts]) @ [3 / d, 3 / d**2, 1 / d**3]
    sums = n @ n.T + 3 * first @ first.T / d + 3 * second @ second.T / d**2
    for i in range(d):
        # Of the x_i x_j x_k with smallest index i, which has three places to stand in; where j = i or k = i it has
        # fewer, and the product is stored twice.
        third = np.stack([p.third[i, i:, i:] for p in parts])
        times = np.full(third.shape[1:], 3.0)
        times[0], times[:, 0], times[0, 0] = 1.5, 1.5, 1.0
        sums += (third * times).reshape(len(parts), -1) @ third.reshape(len(parts), -1).T / d**3
    return sums, n[:, 0] + norms


def _pair_sums(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same from the kernel matrix, block by block; of the equal blocks (x, y) and (y, x) one is computed."""
    d = parts[0].shape[1]
    # k(x, y) is the cube of a product of rows [x / √d, 1] and [y / √d, 1].
    parts = [np.column_stack([p / np.sqrt(float(d)), np.ones(len(p))]) for p in parts]
    sums = np.zeros((len(parts), len(parts)))
    blocks = [(p, x[r : r + _ROWS]) for p, x in enumerate(parts) for r in range(0, len(x), _ROWS)]
    for i, (p, x) in enumerate(blocks):
        for j, (q, y) in enumerate(blocks[: i + 1]):
            products = x @ y.T
            total = np.vdot(products * products, products)
            sums[p, q] += total
            if j < i:
                sums[q, p] += total
    return sums, np.array([np.sum(np.einsum("nd,nd->n", x, x) ** 3) for x in parts])
