"""The Fréchet distance between two Gaussians fitted to features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .result import MetricError, MetricResult, checked_features
from .stats import NEGATIVE, FeatureStats, factor_of

_ROUNDING = 1e-10  # of the trace: what a shortcut may cost, and what may be clamped at 0
_EPS = np.finfo(np.float64).eps


def frechet_distance(
    a: FeatureStats | list[FeatureStats] | Any,
    b: FeatureStats | list[FeatureStats] | Any,
    *,
    network: Any = None,
    reference: str | None = None,
) -> MetricResult:
    """The squared 2-Wasserstein distance between N(m_a, C_a) and N(m_b, C_b), the Gaussians of the features.

        d² = ‖m_a − m_b‖² + tr C_a + tr C_b − 2 ‖A Bᵀ‖_*,    C_a = AᵀA,  C_b = BᵀB

    ‖·‖_* is the nuclear norm, the sum of the singular values: tr (C_a^½ C_b C_a^½)^½ = ‖A Bᵀ‖_* for *any* factors
    A, B, so no matrix square root is taken, and a covariance without an inverse is no special case. Covariances
    have divisor n − 1. Units: squared feature units. At finite N the value is too large, by about c / N: compare
    at equal N only, or use the extrapolation (`jackknife`).

    Args:
      a: Features (N_a, d), N_a ≥ 2, or their `FeatureStats`: the images that are measured. A list of
        `FeatureStats`, one for each of several disjoint random parts of the images, gives the spread and the
        extrapolation to infinite N as well.
      b: The same of the reference images.
      network: The feature network, or its description, for the record.
      reference: The reference set in words, for the record.

    Returns:
      `MetricResult` 'Fréchet distance' of the network's features; spread: standard error by the jackknife over
      the parts; `extra`: `infinite_n`, the value extrapolated to infinitely many images (of each side that came
      in parts), its standard error `infinite_n_spread`, and the numbers of `parts`.

    Raises:
      MetricError: NaN or infinity, fewer than two vectors, differing d, features too large to square.

    Source: Heusel et al. (2017), arXiv:1706.08500, eq. 6; Dowson & Landau (1982).
    """
    more = {}
    a, b = (x if are_parts(x) or not isinstance(x, list) else checked_features(x) for x in (a, b))
    if are_parts(a) or are_parts(b):
        a_parts, b_parts = (p if are_parts(p) else [as_stats(p)] for p in (a, b))
        value, spread, infinite = jackknife(a_parts, b_parts)
        n_a, n_b = (sum(part.n for part in side) for side in (a_parts, b_parts))
        parts = [len(a_parts), len(b_parts)]
        more = {"spread": spread, "spread_kind": "standard error"}
        more["extra"] = {"infinite_n": infinite, "infinite_n_spread": spread, "parts": parts}
    else:
        a, b = as_stats(a), as_stats(b)
        value, n_a, n_b = frechet_value(a, b), a.n, b.n
    return MetricResult.of(
        "Fréchet distance",
        value,
        n_a,
        network=network,
        n_reference=n_b,
        reference=reference,
        better="lower",
        **more,
    )


def are_parts(x) -> bool:
    """A list of statistics, not features written as nested lists."""
    return isinstance(x, list) and all(isinstance(part, FeatureStats) for part in x)


def frechet_value(a: FeatureStats, b: FeatureStats) -> float:
    """The formula of `frechet_distance` on statistics, as a float."""
    if a.dim != b.dim:
        raise MetricError(f"features of d = {a.dim} and d = {b.dim} have no distance: use one feature network")
    if min(a.n, b.n) < 2:
        raise MetricError(f"a covariance needs at least 2 images, not {min(a.n, b.n)}")
    with np.errstate(over="ignore", invalid="ignore"):
        difference = a.mean_difference(b)
        traces = a.total_variance + b.total_variance
        total = float(difference @ difference) + traces
    if not math.isfinite(total):
        raise MetricError("the features are too large for float64: scale them down")
    # A covariance that was given may have small negative variances (`from_covariance`), and each counts in the trace.
    rounding = _ROUNDING if a.given is b.given is None else NEGATIVE * a.dim
    value = total - 2.0 * nuclear_norm(a, b, _ROUNDING * traces)
    if value < -rounding * total:
        raise ArithmeticError(f"Fréchet distance {value} of a total {total}: please report this")
    return max(value, 0.0)


def nuclear_norm(a: FeatureStats, b: FeatureStats, tolerance: float) -> float:
    """Sum of the singular values σ of M = A Bᵀ, C_a = AᵀA, C_b = BᵀB, to `tolerance`.

    The eigenvalues of M Mᵀ are σ², in a quarter of the time, but with an error δ of rounding each: up to √δ in a
    small σ. They are taken when those errors, δ / σ or √δ, stay within `tolerance`; else the SVD of M. Where it is
    the covariances that are known, M Mᵀ = A C_b Aᵀ spares one factorisation.
    """
    m = None
    if 1e-130 < tolerance < 1e130:  # else squares vanish or overflow
        if a.given is not None and b.given is not None:
            factor = factor_of(a.given)
            squares = np.maximum(np.linalg.eigvalsh(factor @ b.given @ factor.T), 0.0)
            largest = np.linalg.norm(a.given) * np.linalg.norm(b.given)
        else:
            m = _product(a, b)
            squares = np.maximum(np.linalg.eigvalsh(m @ m.T), 0.0)
            largest = squares[-1]
        if largest == 0.0:
            return 0.0
        delta = 8.0 * _EPS * largest
        if np.sqrt(np.sum(delta**2 / np.maximum(squares, delta))) <= tolerance:
            return float(np.sum(np.sqrt(squares)))
    return float(np.sum(np.linalg.svd(_product(a, b) if m is None else m, compute_uv=False)))


def _product(a: FeatureStats, b: FeatureStats) -> np.ndarray:
    """M, lying rather than standing."""
    m = a.factor @ b.factor.T / (math.sqrt(a.n - 1) * math.sqrt(b.n - 1))
    return m if len(m) <= len(m.T) else m.T


def as_stats(features: FeatureStats | Any) -> FeatureStats:
    """`features` if it is a `FeatureStats`, else the statistics of the (N, d) array."""
    return features if isinstance(features, FeatureStats) else FeatureStats.from_features(features)


def jackknife(a: list[FeatureStats], b: list[FeatureStats]) -> tuple[float, float, float]:
    """The distance θ between the unions of the parts, its standard error, and θ extrapolated to infinite N.

    With θ₍ᵢ₎ the distance without part i of K equal parts, the pseudo-values pᵢ = K θ − (K − 1) θ₍ᵢ₎ scatter like
    K independent measurements, so the standard error is std(p) / √K; and their mean is free of the bias c / N: it
    is the line through the distances at N and at N (K − 1) / K, drawn on to 1/N = 0. Chong & Forsyth (2020) draw
    the same line through fifteen N. Parts of unequal size have weights (`without_a_part`). Both sides are extrapolated
    where both come in parts. The standard error is one of the scatter: it says nothing of the bias of θ, and where the
    two distributions are equal, or nearly so, it is too large: of ten parts by a third or so.

    Source: Quenouille (1956), Tukey (1958); Busing, Meijer & van der Leeden (1999); Chong & Forsyth (2020),
    arXiv:1911.07023.
    """
    whole_a, whole_b = merged(a), merged(b)
    theta = frechet_value(whole_a, whole_b)
    variance, shift = 0.0, 0.0
    for parts, whole, other in ((a, whole_a, whole_b), (b, whole_b, whole_a)):
        if len(parts) > 1:
            sizes = [part.n for part in parts]
            if min(sizes) == 0 or whole.n - max(sizes) < 2:
                raise MetricError("a part is empty, or all but one have fewer than 2 images: use fewer parts")
            base, *without = _without_each(parts, whole, other)
            more, scatter = without_a_part(base, without, sizes)
            shift, variance = shift + more, variance + scatter
    return theta, float(np.sqrt(variance)), float(theta + shift)


def without_a_part(theta: float, without: Any, sizes: Any) -> tuple[float, float]:
    """The jackknife's correction of θ for its bias c / N, and its variance, from θ₍ᵢ₎ without part i of n_i images.

        correction = Σ (1 − n_i / N) (θ − θ₍ᵢ₎),    pᵢ = h_i θ − (h_i − 1) θ₍ᵢ₎,  h_i = N / n_i
        variance = mean of (pᵢ − θ − correction)² / (h_i − 1)

    Of equal parts it is Tukey's. Source: Busing, Meijer & van der Leeden (1999), the delete-m_j jackknife.
    """
    without, share = np.asarray(without), np.asarray(sizes) / np.sum(sizes)
    correction = np.sum((1 - share) * (theta - without))
    pseudo = theta + (1 / share - 1) * (theta - without)
    return float(correction), float(np.mean((pseudo - theta - correction) ** 2 / (1 / share - 1)))


def _without_each(parts: list[FeatureStats], whole: FeatureStats, other: FeatureStats) -> Iterator[float]:
    """θ, then θ without each part, from the whole's scatter S less the part's: no part is visited twice.

    The nuclear norm is Σ √λ(B S Bᵀ), good to 10⁻⁸ of the trace: ample for differences between the θ's.
    """
    r_b = other.factor / np.sqrt(other.n - 1.0)
    scatter = whole.scatter
    nothing = FeatureStats()
    for part in [nothing, *parts]:
        n, difference, rest = whole.n - part.n, whole.mean_difference(other), scatter
        if part.n:
            step = part.mean_difference(whole)  # leaving it out moves the mean by −step · n_part / n
            difference = difference - step * (part.n / n)
            rest = scatter - part.scatter
            rest -= np.outer(step, step) * (whole.n * part.n / n)
        rest = rest / (n - 1.0)
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(r_b @ rest @ r_b.T), 0.0))
        yield float(difference @ difference + np.trace(rest) + np.vdot(r_b, r_b) - 2.0 * roots.sum())


def merged(parts: list[FeatureStats]) -> FeatureStats:
    """The statistics of the union; the parts stay as they are."""
    if not parts:
        raise MetricError("no parts: the set is empty")
    total = FeatureStats(parts[0].third_moments)
    for part in parts:
        total.merge(part)
    return total
