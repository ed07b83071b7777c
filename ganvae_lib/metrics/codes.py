"""What a discrete code says about the digit, judged by a classifier that never saw the code.

NumPy and SciPy alone. A code is an integer a sample (N,), and so is the digit that the classifier sees in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .result import MetricError, MetricResult, checked_features


def code_table(code: Any, digit: Any, k: int = 10) -> np.ndarray:
    """How often code c goes with digit d: integers (N,), (N,) in 0 … k − 1 → counts (k, k), row c, column d.

    Raises:
      MetricError: they are no integers of one length, or outside 0 … k − 1, or there are none.
    """
    code, digit = np.asarray(code), np.asarray(digit)
    if code.shape != digit.shape or code.ndim != 1 or code.size == 0 or code.dtype.kind + digit.dtype.kind not in (
        "ii", "iu", "ui", "uu"):  # fmt: skip
        raise MetricError(
            f"code {code.dtype} {code.shape} and digit {digit.dtype} {digit.shape} must be integers, one of each a "
            "sample"
        )
    if min(code.min(), digit.min()) < 0 or max(code.max(), digit.max()) >= k:
        raise MetricError(f"codes and digits must lie in 0 … {k - 1}: give k, their number")
    pairs = code.astype(np.int64) * k + digit.astype(np.int64)  # a product of uint8 would wrap around at 256
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def mutual_information(table: Any) -> tuple[float, float]:
    """I(c; d) = Σ p(c, d) log [p(c, d) / (p(c) p(d))] of a table of counts, nats, and its standard error.

    The plug-in estimate: of independent codes it is not 0 but about (K − 1)(D − 1) / 2N, 0.004 nats for ten codes, ten
    digits and 10,000 samples. The standard error is that of the mean of log [p(c, d) / (p(c) p(d))] over samples.

    Raises:
      MetricError: a negative count, or no sample.
    """
    p, n = _shares(table)
    both = p > 0
    ratio = np.zeros_like(p)
    ratio[both] = np.log(p[both] / np.outer(p.sum(axis=1), p.sum(axis=0))[both])
    value = float(np.sum(p * ratio))
    variance = max(float(np.sum(p * ratio**2)) - value**2, 0.0)
    return max(value, 0.0), float(np.sqrt(variance / n))


def matched_digits(table: Any) -> np.ndarray:
    """The digit that each code stands for: the one-to-one matching under which most samples agree. (K, K) → (K,).

    Hungarian algorithm (Kuhn 1955), SciPy's. A code that takes no digit of its own still gets the one that is left.
    """
    from scipy.optimize import linear_sum_assignment

    p, _ = _shares(table)
    return linear_sum_assignment(p, maximize=True)[1]


def code_metrics(
    code: Any, digit: Any, *, real: tuple[Any, Any] | None = None, network: Any = None, reference: str | None = None,
    seed: int | None = None, k: int = 10,
) -> list[MetricResult]:  # fmt: skip
    """Whether a code of the samples means digit, by what a classifier sees in them.

        mutual information I(c; d) = Σ p(c, d) log [p(c, d) / (p(c) p(d))]         nats; at most log k
        purity = share of samples whose digit is the one matched to their code     one digit a code, one code a digit

    Args:
      code: what was asked of the generator, integers (N,).
      digit: what the classifier sees in each sample, integers (N,).
      real: labels and what the classifier sees of real images: what a code that is the digit would score (the floor).
      network: the classifier, or its description.
      reference: the real images in words.
      seed: of the samples.
      k: number of codes, and of digits.

    Returns:
      Two `MetricResult`s. `extra["digit_of_code"]` is the matching.

    Raises:
      MetricError: as in `code_table`.
    """
    found, n = {}, np.size(code)
    for who, (c, d) in {"samples": (code, digit), **({"real": real} if real is not None else {})}.items():
        table = code_table(c, d, k)
        match, (information, error) = matched_digits(table), mutual_information(table)
        found[who] = (match, information, error, float(table[np.arange(k), match].sum() / table.sum()))
    match, information, error, purity = found["samples"]
    known = {"network": network, "reference": reference, "seed": seed, "better": "higher",
             "spread_kind": "standard error", "extra": {"digit_of_code": [int(d) for d in match]}}  # fmt: skip
    floors = ({}, {})
    if real is not None:
        how = f"the labels of {len(real[0]):,} real images in the place of the code"
        known["n_reference"] = len(real[0])
        floors = tuple({"floor": found["real"][i], "floor_how": how} for i in (1, 3))
    return [
        MetricResult.of("mutual information of code and digit", information, n, unit="nats", spread=error,
                        **floors[0], **known),
        MetricResult.of("purity of the code", purity, n, unit="share", spread=_share_error(purity, n),
                        **floors[1], **known),
    ]  # fmt: skip


def accuracy_metric(quantity: str, asked: Any, seen: Any, *, k: int = 10, **known: Any) -> MetricResult:
    """The share of rows where `seen` is `asked`, integers (N,), (N,), as a `MetricResult` named `quantity`.

    `extra["by_class"]` is the share for each class, 0 too for one that was never asked for. Other fields of the result
    go through `known`.

    Raises:
      MetricError: as in `code_table`.
    """
    table = code_table(asked, seen, k)
    share, n = float(np.trace(table) / table.sum()), int(table.sum())
    by_class = (np.diag(table) / np.maximum(table.sum(axis=1), 1)).tolist()
    extra = {"by_class": by_class} | known.pop("extra", {})
    return MetricResult.of(quantity, share, n, unit="share", better="higher", spread=_share_error(share, n),
                           spread_kind="standard error", extra=extra, **known)  # fmt: skip


def correlation_metric(quantity: str, codes: Any, values: Any, **known: Any) -> MetricResult:
    """The correlation of the continuous code that goes most with a measured attribute, signs left off.

        max_j |ρ_j|,   ρ_j = Pearson's correlation of coordinate j of the codes and the attribute

    Args:
      quantity: the name of the result.
      codes: (N, C).
      values: the attribute of each sample, (N,).
      **known: other fields of the result.

    Returns:
      `MetricResult`; `extra["correlations"]` are the C signed ones. Spread: (1 − ρ²)/√N. A coordinate or an attribute
      that does not vary has correlation 0.

    Raises:
      MetricError: shapes that do not match, fewer than three samples, NaN or infinity.
    """
    codes = checked_features(codes, "codes").astype(float)
    values = checked_features(np.reshape(values, (-1, 1)) if np.ndim(values) == 1 else values, "the attribute")
    if values.shape != (len(codes), 1) or len(codes) < 3:
        raise MetricError(f"codes {codes.shape} must be (N, C) and the attribute {values.shape[:1]} (N,), N ≥ 3")
    # On a scale where squares are numbers.
    a, b = (x / np.maximum(np.abs(x).max(axis=0), 1e-300) for x in (codes, values.astype(float)))
    a, b = a - a.mean(axis=0), (b - b.mean())[:, 0]
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum())
    rho = np.where(scale > 0, (a * b[:, None]).sum(axis=0) / np.maximum(scale, 1e-300), 0.0)
    best = float(np.abs(rho).max())
    extra = {"correlations": rho.tolist()} | known.pop("extra", {})
    return MetricResult.of(quantity, best, len(codes), better="higher", spread=(1 - best**2) / np.sqrt(len(codes)),
                           spread_kind="standard error", extra=extra, **known)  # fmt: skip


def _shares(table: Any) -> tuple[np.ndarray, float]:
    table = np.asarray(table, dtype=float)
    n = table.sum()
    if table.ndim != 2 or not np.isfinite(n) or n <= 0 or table.min() < 0:
        raise MetricError(f"a table of counts (K, D) with at least one sample is needed, not {table.shape}")
    return table / n, float(n)


def _share_error(share: float, n: int) -> float:
    return float(np.sqrt(share * (1 - share) / n))
