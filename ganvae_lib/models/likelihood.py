"""Measured on a model with an encoder q(z|x) and a Bernoulli decoder: reconstruction, ELBO, bound on log p(x)."""

import numpy as np

from ..metrics import MetricResult, gaussian_log_weights, importance_weighted_bound, reconstruction_metrics
from ..training import batched

IW_IMAGES, IW_SAMPLES = 2_000, 100  # of the bound on log p(x): N images, K samples of z for each


def reconstruct(
    vae, x: np.ndarray, *given: np.ndarray, reference_name: str, seed: int = 0, batch_size: int = 500
) -> list[MetricResult]:
    """The reconstruction metrics of a VAE on images x: errors through z = mu, the ELBO through a sampled z.

    `given`: of a conditional VAE, y row by row, the second argument of `encode(x, y)` and `pixel_logits(z, y)`; what
    stands as 'ELBO' then is a bound on log p(x|y).
    """
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(0, len(x), batch_size):
        y = [part[i : i + batch_size] for part in given]
        mu, log_var = (np.asarray(part) for part in vae.encode(x[i : i + batch_size], *y))
        z = mu + np.exp(log_var / 2) * rng.standard_normal(mu.shape).astype("float32")
        parts.append((mu, log_var, np.asarray(vae.pixel_logits(mu, *y)), np.asarray(vae.pixel_logits(z, *y))))
    mu, log_var, through_mean, through_sample = (np.concatenate(part) for part in zip(*parts, strict=True))
    results = []
    for z, logits in (("mean", through_mean), ("sample", through_sample)):
        found = reconstruction_metrics(
            x, np.tanh(logits / 2), logits=logits, mu=mu, log_var=log_var, z=z, reference=reference_name,
            seed=seed if z == "sample" else None,
        )  # fmt: skip
        results += [r for r in found if (r.name == "ELBO") == (z == "sample")]
    return results


def log_likelihood_bound(
    vae, x: np.ndarray, *given: np.ndarray, reference_name: str, n: int | None = None, k: int | None = None,
    seed: int = 0, progress=None,
) -> MetricResult:  # fmt: skip
    """The importance-weighted bound on log p(x) of a VAE, K = `k` samples for each of `n` of the images x (100, 2,000).

    As in the ELBO beside it, p(x|z) is a Bernoulli of mean (x̂ + 1)/2 for each pixel, whatever the VAE was trained
    with. The images, like each block's noise, are drawn with `seed`. `given` as in `reconstruct`.
    """
    n, k = n or IW_IMAGES, k or IW_SAMPLES
    chosen = np.random.default_rng(seed).permutation(len(x))[:n]
    x, given = x[chosen], [part[chosen] for part in given]
    mu, log_var = batched(vae.encode, x, *given)
    t = ((x + 1) / 2).astype("float32").reshape(len(x), 1, -1)

    def log_weights(images: slice, samples: slice) -> np.ndarray:
        rng = np.random.default_rng([seed, images.start, samples.start])
        eps = rng.standard_normal((images.stop - images.start, samples.stop - samples.start, mu.shape[1]))
        z = (mu[images, None] + np.exp(log_var[images, None] / 2) * eps).astype("float32")
        y = [np.repeat(part[images], z.shape[1], axis=0) for part in given]
        a = np.asarray(vae.pixel_logits(z.reshape(-1, mu.shape[1]), *y)).reshape(*z.shape[:2], -1)
        log_p = np.sum(t[images] * a - np.logaddexp(0, a), axis=-1, dtype="float64")
        return gaussian_log_weights(log_p, z, mu[images], log_var[images])

    return importance_weighted_bound(
        log_weights, len(x), k, image_block=100, reference=reference_name, seed=seed, progress=progress
    )
