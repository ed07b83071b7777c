"""The inception score of a classifier's logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .result import MetricError, MetricResult


def inception_score(logits: Any, splits: int = 1, seed: int = 0, *, network: Any = None) -> MetricResult:
    """The exponential of the mutual information between an image and its class, as the classifier sees it, in [1, k].

        IS = exp( E_x KL( p(y|x) ‖ p(y) ) ) = exp( mean_x Σ_y p(y|x) log p(y|x) − Σ_y p(y) log p(y) )

    with p(y|x) the softmax of the logits in float64, p(y) its mean over the images, 0 · log 0 = 0. The images are
    shuffled with `seed` and cut into exactly `splits` parts whose sizes differ by at most one; the value is the
    mean over the parts. Small parts score too low: perfect digits reach 10 only as the parts grow, so the split
    count belongs to the number. The default is one part; `extra` holds the customary ten-part mean and
    standard deviation, where N ≥ 10.

    Args:
      logits: (N, k), k ≥ 2. −∞ is a probability of 0.
      splits: Number of parts, 1 ≤ splits ≤ N.
      seed: Of the shuffle.
      network: The classifier, or its description, for the record.

    Returns:
      `MetricResult` 'inception score' of the network; spread: standard deviation over the parts (splits ≥ 2).

    Raises:
      MetricError: Wrong shape, NaN, +∞, a row of −∞ only, or more splits than images.

    Source: Salimans et al. (2016), arXiv:1606.03498, §4; Barratt & Sharma (2018) on its limits.
    """
    log_p = log_softmax(logits)
    value, deviation = _score(log_p, splits, seed)
    extra = {"classes": log_p.shape[1]}
    if len(log_p) >= 10:
        extra["ten_split_mean"], extra["ten_split_std"] = _score(log_p, 10, seed)
    return MetricResult.of(
        "inception score",
        value,
        len(log_p),
        network=network,
        better="higher",
        spread=deviation if splits > 1 else None,
        spread_kind="standard deviation over splits" if splits > 1 else None,
        splits=splits,
        seed=seed,
        extra=extra,
    )


def log_softmax(logits: Any) -> np.ndarray:
    """Log-probabilities a − log Σ e^a along the last axis, (N, k) → (N, k) float64."""
    a = np.asarray(logits)
    if a.ndim != 2 or len(a) == 0 or a.shape[1] < 2 or a.dtype.kind not in "fiu":
        raise MetricError(f"logits must be numbers of shape (N, k), N ≥ 1, k ≥ 2, not {a.dtype} {a.shape}")
    a = a.astype(np.float64)
    top = a.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():  # NaN, +∞ or a row of −∞ only
        raise MetricError("logits hold NaN, +∞ or a row without any class: look at the classifier or the images")
    a -= top
    return a - np.log(np.sum(np.exp(a), axis=1, keepdims=True))


def _score(log_p: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the score over the parts."""
    n = len(log_p)
    if not 1 <= splits <= n:
        raise MetricError(f"{n} images cannot be cut into {splits} parts: use 1 to {n} splits")
    order = np.random.default_rng(seed).permutation(n)
    scores = []
    for part in np.array_split(order, splits):
        log_part = log_p[part]
        p = np.exp(log_part)
        information = entropy(p.mean(axis=0)) + np.mean(np.sum(p * np.where(p > 0, log_part, 0.0), axis=1))
        scores.append(np.exp(max(information, 0.0)))  # below 0 by rounding only
    return float(np.mean(scores)), float(np.std(scores))


def entropy(p: Any) -> float:
    """−Σ p log p in nats, 0 · log 0 = 0."""
    return float(-np.sum(p_log_p(np.asarray(p, np.float64))))


def p_log_p(p: np.ndarray) -> np.ndarray:
    """Of each p, p log p; elementwise, 0 · log 0 = 0."""
    return p * np.log(p, out=np.zeros_like(p), where=p > 0)
