"""How well a VAE gives images back, and what its latent code costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..checks import real_numbers
from .inception_score import p_log_p
from .result import MetricError, MetricResult

PIXEL_RANGE = (-1.0, 1.0)
ACTIVE_THRESHOLD = 0.01
_BLOCK = 500  # images in float64 at once


def reconstruction_metrics(
    x: Any,
    x_hat: Any,
    *,
    logits: Any = None,
    mu: Any = None,
    log_var: Any = None,
    z: Literal["mean", "sample"] = "mean",
    reference: str | None = None,
    seed: int | None = None,
) -> list[MetricResult]:
    """All reconstruction figures of images x and their reconstructions x̂, both on [−1, 1], t = (x + 1) / 2 on [0, 1].

        MSE = mean (x − x̂)²        on [−1, 1]; a quarter of it on [0, 1]. Mean over pixels and images.
        MAE = mean |x − x̂|         on [−1, 1]; half of it on [0, 1].
        BCE = mean −t log t̂ − (1 − t) log(1 − t̂)     nats per pixel; its floor, at t̂ = t, is the entropy of the greys
        reconstruction = 784 · BCE                    nats per image (sum over pixels)
        KL = mean Σ_j ½ (mu_j² + e^log_var_j − 1 − log_var_j)      nats per image, against N(0, I)
        ELBO = −reconstruction − KL                   nats per image; a bound only for a sampled z
        active units = #{j: Var_x mu_j > 0.01}        Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519, §5.2

    Args:
      x: Images (N, 28, 28, 1), float, in [−1, 1].
      x_hat: Reconstructions of the same shape and range.
      logits: The decoder's outputs a before t̂ = σ(a), same shape: BCE is then exact. Without them t̂ comes from
        x̂, clipped to [10⁻⁷, 1 − 10⁻⁷] as Keras does.
      mu: The posterior's means (N, d); with `log_var` gives KL, ELBO and active units.
      log_var: The posterior's log-variances (N, d).
      z: Whether the decoder was given the posterior's mean or a sample of it.
      reference: What x is, in words, e.g. 'MNIST test set'.
      seed: Of the sample.

    Returns:
      A `MetricResult` each; spread: the standard error over images. `extra["z"]` says what z was.

    Raises:
      MetricError: Shapes that do not match, NaN, infinity, or values outside [−1, 1].
    """
    x, x_hat = _images(x, "x"), _images(x_hat, "x_hat")
    if x.shape != x_hat.shape:
        raise MetricError(f"x {x.shape} and x_hat {x_hat.shape} must have the same shape")
    if (mu is None) != (log_var is None):
        raise MetricError("mu and log_var come together")
    if z not in ("mean", "sample"):
        raise MetricError(f"z is 'mean' or 'sample', not {z!r}")
    n, pixels = len(x), x[0].size
    a = None if logits is None else real_numbers(logits, "logits", error=MetricError)
    if a is not None and (a.shape != x.shape or not np.isfinite(a).all()):
        raise MetricError(f"logits {a.shape} must be finite and have the shape of x, {x.shape}")

    # One number an image, each a mean over its pixels.
    rows = {"mse": [], "mae": [], "bce": [], "grey": []}
    for s in range(0, n, _BLOCK):
        t, t_hat = (
            np.clip((v[s : s + _BLOCK].reshape(-1, pixels).astype(np.float64) + 1) / 2, 0, 1) for v in (x, x_hat)
        )
        rows["mse"].append(np.mean((2 * (t - t_hat)) ** 2, axis=1))
        rows["mae"].append(np.mean(np.abs(2 * (t - t_hat)), axis=1))
        if a is None:
            p = np.clip(t_hat, 1e-7, 1 - 1e-7)
            bce = -t * np.log(p) - (1 - t) * np.log1p(-p)
        else:
            b = a[s : s + _BLOCK].reshape(-1, pixels).astype(np.float64)
            bce = np.maximum(b, 0) - b * t + np.log1p(np.exp(-np.abs(b)))
        rows["bce"].append(bce.mean(axis=1))
        rows["grey"].append(-np.mean(p_log_p(t) + p_log_p(1 - t), axis=1))
    per_image = {name: np.concatenate(parts) for name, parts in rows.items()}
    grey = float(np.mean(per_image["grey"]))

    common = {"n": n, "reference": reference, "seed": seed, "better": "lower"}
    told = {"z": z, "of_logits": a is not None}

    def result(name, values, unit, pixel_range, **more):
        return MetricResult.of(
            name,
            float(np.mean(values)),
            unit=unit,
            pixel_range=pixel_range,
            **_standard_error(values),
            extra=told,
            **(common | more),
        )

    mse, mae, bce = per_image["mse"], per_image["mae"], per_image["bce"]
    how = "x as its own reconstruction: the entropy of its grey pixels"
    results = [
        result("reconstruction MSE on [−1, 1]", mse, "per pixel", PIXEL_RANGE),
        result("reconstruction MSE on [0, 1]", mse / 4, "per pixel", (0.0, 1.0)),
        result("reconstruction MAE on [−1, 1]", mae, "per pixel", PIXEL_RANGE),
        result("reconstruction MAE on [0, 1]", mae / 2, "per pixel", (0.0, 1.0)),
        result("reconstruction BCE", bce, "nats per pixel", (0.0, 1.0), floor=grey, floor_how=how),
        result(
            "reconstruction BCE, summed",
            bce * pixels,
            "nats per image",
            (0.0, 1.0),
            floor=grey * pixels,
            floor_how=how,
        ),
    ]
    if mu is None:
        return results
    mu, log_var = (real_numbers(v, what, error=MetricError) for v, what in ((mu, "mu"), (log_var, "log_var")))
    kl_units = gaussian_kl_units(mu, log_var)
    if len(mu) != n:
        raise MetricError(f"mu {mu.shape} must have one row for each of the {n} images")
    kl = kl_units.sum(axis=1)
    variances = mu.var(axis=0)
    elbo = -bce * pixels - kl
    name = "ELBO" if z == "sample" else "ELBO with z at its mean (no bound)"
    results += [
        result("KL to the prior", kl, "nats per image", None, better=None),
        result(name, elbo, "nats per image", (0.0, 1.0), better="higher", floor=None),
        MetricResult.of(
            "active latent units",
            float(np.sum(variances > ACTIVE_THRESHOLD)),
            unit=f"of {mu.shape[1]}",
            extra={
                "threshold": ACTIVE_THRESHOLD,
                "variance_of_means": [float(v) for v in variances],
                "kl_of_units": [float(v) for v in kl_units.mean(axis=0)],
            },
            **(common | {"better": None}),
        ),
    ]
    return results


def gaussian_kl_units(mu: Any, log_var: Any) -> np.ndarray:
    """½ (mu² + e^log_var − 1 − log_var): the KL of each latent coordinate against N(0, 1), nats, (N, d) → (N, d)."""
    mu, log_var = (real_numbers(v, what, error=MetricError) for v, what in ((mu, "mu"), (log_var, "log_var")))
    if mu.ndim != 2 or 0 in mu.shape or mu.shape != log_var.shape:
        raise MetricError(f"mu {mu.shape} and log_var {log_var.shape} must both be (N, d), N ≥ 1")
    if not (np.isfinite(mu).all() and np.isfinite(log_var).all()):
        raise MetricError("mu or log_var holds NaN or infinity: look at the encoder")
    return 0.5 * (mu**2 + np.expm1(log_var) - log_var)


def gaussian_log_weights(log_p_x_given_z: Any, z: Any, mu: Any, log_var: Any) -> np.ndarray:
    """The log-weights log p(x|z) + log p(z) − log q(z|x) for z ~ q = N(mu, e^log_var), p(z) = N(0, I). → (N, K) nats.

    Args:
      log_p_x_given_z: (N, K) nats.
      z: Samples (N, K, d).
      mu: (N, d).
      log_var: (N, d).

    Raises:
      MetricError: Other shapes, or no numbers.
    """
    log_p, z, mu, log_var = (
        real_numbers(v, what, error=MetricError)
        for v, what in ((log_p_x_given_z, "log p(x|z)"), (z, "z"), (mu, "mu"), (log_var, "log_var"))
    )
    if log_p.ndim != 2 or z.shape[:-1] != log_p.shape or not mu.shape == log_var.shape == (len(z), z.shape[-1]):
        raise MetricError(
            f"log p(x|z) {log_p.shape}, z {z.shape}, mu {mu.shape} and log_var {log_var.shape} must be (N, K), "
            "(N, K, d), (N, d) and (N, d)"
        )
    eps2 = (z - mu[:, None]) ** 2 * np.exp(-log_var)[:, None]
    # The log 2π of p(z) and of q(z|x) cancel.
    return log_p + 0.5 * np.sum(eps2 + log_var[:, None] - z**2, axis=-1)


def importance_weighted_bound(
    log_weights: Any | Callable[[slice, slice], Any],
    n: int | None = None,
    k: int | None = None,
    *,
    image_block: int = 500,
    sample_block: int = 50,
    reference: str | None = None,
    seed: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> MetricResult:
    """A lower bound on log p(x) from K samples of the posterior an image, tighter as K grows; the ELBO at K = 1.

        L_K = mean_x log (1/K Σ_k w_k),    w_k = p(x|z_k) p(z_k) / q(z_k|x),  z_k ~ q(z|x)

    Args:
      log_weights: log w as an (N, K) array, or a function of (slice of images, slice of samples) that returns
        that block, called for each block once: memory does not grow with N or K.
      n: N, where `log_weights` is a function.
      k: K, where `log_weights` is a function.
      image_block: Images a call.
      sample_block: Samples a call.
      reference: What x is, in words.
      seed: Of the samples.
      progress: Called with ('importance samples', images done, N).

    Returns:
      `MetricResult` in nats per image; spread: the standard error over images. `extra`: K, `elbo`, the mean of
      log w (the ELBO of the same images from the same samples), the mean effective sample size (Σw)² / Σw², and
      `bias_estimate` = mean of −½ (1/ESS − 1/K), the leading term of E[L_K] − log p(x):
      where it is not small, log p(x) is higher than the value says. It is −½ at most in size, however far off the
      value is, and 0 at K = 1: it says nothing where the effective sample size is near 1.

    Raises:
      MetricError: Shapes that do not match, NaN or +∞, or an image whose weights are all 0.

    Source: Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519, eq. 8.
    """
    if not callable(log_weights):
        array = real_numbers(log_weights, "log weights", error=MetricError)
        if array.ndim != 2 or 0 in array.shape:
            raise MetricError(f"log weights must have shape (N, K), N ≥ 1, K ≥ 1, not {array.shape}")
        n, k = array.shape
        log_weights = lambda images, samples: array[images, samples]  # noqa: E731
    if not n or not k or n < 1 or k < 1:
        raise MetricError(f"n = {n} images and k = {k} samples must both be at least 1")
    bounds, sizes, elbo = [], [], 0.0
    for i in range(0, n, image_block):
        images = slice(i, min(i + image_block, n))
        rows = images.stop - i
        top, first, second = np.full(rows, -np.inf), np.zeros(rows), np.zeros(rows)
        for j in range(0, k, sample_block):
            samples = slice(j, min(j + sample_block, k))
            log_w = np.asarray(log_weights(images, samples), np.float64)
            if log_w.shape != (rows, samples.stop - j) or np.isnan(log_w).any() or np.isposinf(log_w).any():
                raise MetricError(
                    f"log weights of shape {log_w.shape} must be {(rows, samples.stop - j)}, no NaN, no +∞"
                )
            elbo += float(log_w.sum()) / (n * k)
            new_top = np.maximum(top, log_w.max(axis=1))
            scale = np.where(np.isfinite(new_top), new_top, 0.0)
            w, shrink = np.exp(log_w - scale[:, None]), np.exp(top - scale)
            first = first * shrink + w.sum(axis=1)
            second = second * shrink**2 + (w**2).sum(axis=1)
            top = new_top
        if not np.isfinite(top).all():
            raise MetricError("an image's weights are all 0: its log p(x) would be −∞")
        bounds.append(top + np.log(first / k))
        sizes.append(first**2 / second)
        if progress:
            progress("importance samples", images.stop, n)
    bounds, sizes = np.concatenate(bounds), np.concatenate(sizes)
    return MetricResult.of(
        "importance-weighted bound on log p(x)",
        float(bounds.mean()),
        n,
        unit="nats per image",
        better="higher",
        **_standard_error(bounds),
        reference=reference,
        seed=seed,
        extra={
            "k": k,
            "elbo": elbo if math.isfinite(elbo) else None,
            "mean_effective_samples": float(sizes.mean()),
            "bias_estimate": float(np.mean(-0.5 * (1 / sizes - 1 / k))),
        },
    )


def _standard_error(values: np.ndarray) -> dict[str, Any]:
    """The spread of the mean of independent values; nothing where there is only one."""
    if len(values) < 2:
        return {}
    return {"spread": float(np.std(values, ddof=1) / np.sqrt(len(values))), "spread_kind": "standard error"}


def _images(images: Any, what: str) -> np.ndarray:
    x = np.asarray(images)
    if x.shape[1:] != (28, 28, 1) or len(x) == 0 or x.dtype.kind != "f":
        raise MetricError(f"{what} must be float images (N, 28, 28, 1), N ≥ 1, not {x.dtype} {x.shape}")
    if not np.isfinite(x).all():
        raise MetricError(f"{what} holds NaN or infinity")
    if x.min() < -1.0 - 1e-4 or x.max() > 1.0 + 1e-4:
        raise MetricError(f"{what} must lie in [−1, 1], not [{x.min():.3g}, {x.max():.3g}]")
    if what == "x" and 0 <= x.min() < x.max():  # a digit's background is −1; a reconstruction may be all grey
        raise MetricError("x lies in [0, 1]: for images on [0, 1], multiply by 2 and subtract 1")
    return x
