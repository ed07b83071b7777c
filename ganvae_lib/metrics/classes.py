"""Which digits a model draws, and which it has lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from .inception_score import entropy, log_softmax
from .result import MetricError, MetricResult

MODE_SHARE = 0.01  # a class with a smaller share of the samples is lost: a tenth of its due, for ten digits


def class_metrics(
    logits: Any, reference_logits: Any = None, *, network: Any = None, reference: str | None = None
) -> list[MetricResult]:
    """Lost digits in two figures, from the class the classifier gives each sample (argmax of its logits).

        class entropy = −Σ_c p_c log p_c,  p_c = share of samples of class c      nats; log 10 = 2.303 for equal shares
        digit modes   = #{c: p_c ≥ 0.01}

    They see which digits come, not how many pictures of each: ten pictures again and again have log 10 and 10.

    Args:
      logits: (N, k) of the samples.
      reference_logits: (M, k) of real images; they give the floor.
      network: The classifier, or its description, for the record.
      reference: The real images in words.

    Returns:
      Two `MetricResult`s; `extra["counts"]` is the histogram. The entropy's spread is its standard error.

    Raises:
      MetricError: As in `log_softmax`, or k differs.
    """
    shares, n = _shares(logits)
    counts = [round(float(p) * n) for p in shares]
    how, real, known = None, None, {"network": network, "reference": reference, "better": "higher"}
    if reference_logits is not None:
        real, m = _shares(reference_logits)
        if len(real) != len(shares):
            raise MetricError(f"{len(shares)} and {len(real)} classes: use one classifier")
        how = f"the {m:,} reference images themselves"
        known["n_reference"] = m
    value = entropy(shares)
    seen = shares[shares > 0]
    variance = max(float(np.sum(seen * np.log(seen) ** 2)) - value**2, 0.0)
    return [
        MetricResult.of(
            "class entropy",
            value,
            n,
            unit="nats",
            spread=float(np.sqrt(variance / n)) if n > 1 else None,
            spread_kind="standard error" if n > 1 else None,
            floor=None if real is None else entropy(real),
            floor_how=how,
            extra={"counts": counts},
            **known,
        ),
        MetricResult.of(
            "digit modes",
            float(np.sum(shares >= MODE_SHARE)),
            n,
            unit=f"of {len(shares)}",
            floor=None if real is None else float(np.sum(real >= MODE_SHARE)),
            floor_how=how,
            extra={"counts": counts, "threshold": MODE_SHARE},
            **known,
        ),
    ]


def _shares(logits: Any) -> tuple[np.ndarray, int]:
    log_p = log_softmax(logits)
    return np.bincount(log_p.argmax(axis=1), minlength=log_p.shape[1]) / len(log_p), len(log_p)
