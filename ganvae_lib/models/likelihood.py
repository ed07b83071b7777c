"""Measured on a model with an encoder q(z|x) and a Bernoulli decoder: reconstruction, ELBO, bound on log p(x)."""

import numpy as np

from .. import losses, networks
from ..metrics import MetricResult, gaussian_log_weights, importance_weighted_bound, reconstruction_metrics
from ..quiet_keras import keras, ops
from ..training import batched, compiled, value_and_gradient

IW_IMAGES, IW_SAMPLES = 2_000, 100  # of the bound on log p(x): N images, K samples of z for each
REFIT_IMAGES, REFIT_STEPS = 500, 300


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
    t = ((x + 1) / 2).astype("float32").reshape(len(x), -1)
    pixel_logits = compiled(vae.pixel_logits)

    def log_p(z, t, *y):
        a = np.asarray(pixel_logits(z, *y)).reshape(t.shape)
        return np.sum(t * a - np.logaddexp(0, a), axis=-1, dtype="float64")

    def log_weights(images: slice, samples: slice) -> np.ndarray:
        rng = np.random.default_rng([seed, images.start, samples.start])
        eps = rng.standard_normal((images.stop - images.start, samples.stop - samples.start, mu.shape[1]))
        z = (mu[images, None] + np.exp(log_var[images, None] / 2) * eps).astype("float32")
        beside = [np.repeat(part[images], z.shape[1], axis=0) for part in (t, *given)]
        log_p_of_z = batched(log_p, z.reshape(-1, mu.shape[1]), *beside).reshape(z.shape[:2])
        return gaussian_log_weights(log_p_of_z, z, mu[images], log_var[images])

    return importance_weighted_bound(
        log_weights, len(x), k, image_block=100, reference=reference_name, seed=seed, progress=progress
    )


# --- where q(z|x) has no density -------------------------------------------------------------------------------------


class Refit:
    """Beside a decoder a Gaussian q(z|x) = N(mu, e^log_var) of its own for each image: what its ELBO is worth.

        mu, log_var of each image maximise E[log p(x|z)] − KL(N(mu, e^log_var) ‖ N(0, I)),  by Adam from `model.encode`

    Whatever is found gives a bound, for images the decoder has not been trained on as for any.

    Args:
      model: has `pixel_logits` and `encode`, which gives the starting points.
      steps: of Adam, its rate falling to 0 along a cosine.
      learning_rate: at the start.
      seed: of the noise.
    """

    def __init__(self, model, steps=REFIT_STEPS, learning_rate=0.05, seed=0):
        self.pixel_logits, self.start = model.pixel_logits, model.encode
        self.steps, self.learning_rate, self.seed = steps, learning_rate, seed

    def encode(self, x):
        """Images x (N, 28, 28, 1) → mu, log_var, each (N, d)."""
        x, rng = ops.convert_to_tensor(x), np.random.default_rng(self.seed)
        theta = keras.Variable(np.stack([np.asarray(part) for part in self.start(x)]))
        adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(self.learning_rate, self.steps))
        adam.build([theta])

        def negative_elbo(theta, noise):
            mu, log_var = theta[0], theta[1]
            logits = self.pixel_logits(mu + ops.exp(log_var / 2) * noise)
            return ops.sum(losses.bernoulli_nll(x, logits) + losses.gaussian_kl(mu, log_var))

        step = compiled(lambda theta, noise: value_and_gradient(lambda t: negative_elbo(t, noise), theta)[1])
        for _ in range(self.steps):
            noise = ops.convert_to_tensor(rng.standard_normal(theta.shape[1:]).astype("float32"))
            adam.apply([step(theta.value, noise)], [theta])
        return np.asarray(theta[0]), np.asarray(theta[1])


def black_box_metrics(
    model, x: np.ndarray, *, reference_name: str, n: int | None = None, k: int | None = None, seed: int = 0,
    progress=None,
) -> list[MetricResult]:  # fmt: skip
    """Of a model whose KL is told by a discriminator T: what it claims, and what its decoder is worth.

    Reconstruction goes through the mean of q(z|x). The claim has E[T] in the place of log q − log r, and is a bound
    only where T is optimal. `n` of the images (500) are given a Gaussian of their own (`Refit`): an ELBO and an
    importance-weighted bound of `k` samples (100) in which there is no T. `extra["claimed"]` of both is the claim for
    the same images.
    """
    rng, k, n = np.random.default_rng(seed), k or IW_SAMPLES, min(n or REFIT_IMAGES, len(x))

    def one(x):
        noise = rng.standard_normal((len(x), model.noise_dim)).astype("float32")
        reconstruction, kl = model.terms(x, noise)
        from_r = rng.standard_normal((len(x), model.latent_dim)).astype("float32")
        t_loss = np.logaddexp(0, -np.asarray(model.log_ratio(x, model.draw(x, noise)[1])))
        t_loss = t_loss + np.logaddexp(0, np.asarray(model.log_ratio(x, from_r)))
        return reconstruction, kl, t_loss, model.pixel_logits(model.encode(x)[0])

    reconstruction, kl, t_loss, logits = batched(one, x)
    results = reconstruction_metrics(
        x, np.asarray(networks.to_image(logits)), logits=logits, z="mean", reference=reference_name
    )
    claimed = -(reconstruction.astype(float) + kl)
    for name, values, unit in (
        ("ELBO as T claims it (a bound if T is optimal)", claimed, "nats per image"),
        ("KL to the prior as T claims it", kl.astype(float), "nats per image"),
        ("loss of T (log 4 = 1.386: it tells nothing)", t_loss.astype(float), "nats"),
    ):
        results.append(MetricResult.of(
            name, float(values.mean()), len(x), unit=unit, spread=float(values.std(ddof=1) / np.sqrt(len(x))),
            spread_kind="standard error", reference=reference_name, seed=seed,
        ))  # fmt: skip
    bound = log_likelihood_bound(
        Refit(model, seed=seed), x, reference_name=reference_name, n=n, k=k, seed=seed, progress=progress
    )
    same = float(claimed[np.random.default_rng(seed).permutation(len(x))[:n]].mean())
    extra = bound.extra | {"claimed": same, "q": "a Gaussian refitted to each image"}
    results.append(MetricResult.of(
        "ELBO of a refitted Gaussian", bound.extra["elbo"], n, unit="nats per image", better="higher",
        reference=reference_name, seed=seed, extra=extra,
    ))  # fmt: skip
    return [*results, bound.model_copy(update={"extra": extra})]
