"""Whether a model repeats its training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from .neighbours import as_rows, nearest_neighbours
from .result import MetricError, MetricResult


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
    train = as_rows(train, "training images")
    if len(train) < 2:
        raise MetricError(f"memorisation needs at least 2 training images, not {len(train)}")
    samples, fresh = (as_rows(v, what, train.shape[1]) for v, what in ((samples, "samples"), (fresh, "fresh images")))
    n, m = len(samples), len(fresh)
    of, t = (v[:, 0] for v in nearest_neighbours(np.concatenate([samples, fresh]), train))
    used, where = np.unique(of, return_inverse=True)
    # Its nearest other: of two neighbours the one that is not itself; a duplicate of it is at distance 0 too.
    gap = nearest_neighbours(train[used], train, k=2)[1][:, 1][where]
    t_sample, t_fresh = t[:n], t[n:]
    median_sample, median_fresh = float(np.median(t_sample)), float(np.median(t_fresh))
    if median_fresh == 0:
        raise MetricError("the fresh images are among the training images: give images the model has not seen")
    ordered = np.sort(t_fresh)
    below, not_above = np.searchsorted(ordered, t_sample, "left"), np.searchsorted(ordered, t_sample, "right")
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
