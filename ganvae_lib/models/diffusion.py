"""A diffusion model: a hierarchical VAE whose encoder is fixed (Ho et al. 2020; Kingma et al. 2021)."""

import math
from itertools import pairwise
from typing import ClassVar

import numpy as np

from ..data import to_uint8
from ..errors import CourseError
from ..metrics import MetricResult
from ..networks import copy
from ..paper import DECISIONS, TRAINING
from ..quiet_keras import keras, layers, ops
from ..training import StepModel, adam, batched

PIXELS = math.prod(TRAINING.image_shape)
GREYS = np.arange(256, dtype="float32") / 127.5 - 1.0
BOUND_IMAGES, BOUND_DRAWS, BOUND_LEVELS = 2_000, 8, 200  # images, noise levels drawn for each, of so many


def denoiser(channels: tuple[int, ...] = (16, 32, 64), embedding: int = 64, depth: int = 2) -> keras.Model:
    """Noisy image z (N, 28, 28, 1), log-SNR λ (N, 1) → v̂ (N, 28, 28, 1), an estimate of v = α ε − σ x.

    A small U-Net: one block at 28×28, `depth` at 14×14 and at 7×7, down by strides and up again, a bridge at each size.
    """
    if len(channels) != 3:
        raise CourseError(f"channels must be three numbers, for 28×28, 14×14 and 7×7; got {channels}")
    z, log_snr = keras.Input(TRAINING.image_shape, name="z"), keras.Input((1,), name="log_snr")
    level = layers.Dense(embedding, "silu", name="level")(Waves(name="waves")(log_snr))

    def block(h, n, name):
        """Two convolutions, between them the noise level; added to what came in."""
        inside = layers.Conv2D(n, 3, padding="same", name=f"{name}_a")(layers.Activation("silu")(_norm(name)(h)))
        inside = inside + layers.Dense(n, name=f"{name}_level")(level)[:, None, None]
        inside = layers.Activation("silu")(inside)
        return h + layers.Conv2D(n, 3, padding="same", kernel_initializer="zeros", name=f"{name}_b")(inside)

    h, bridges = layers.Conv2D(channels[0], 3, padding="same", name="first")(z), []
    for i, n in enumerate(channels):
        if i:
            h = layers.Conv2D(n, 3, 2, "same", name=f"down_{i}")(h)
        for j in range(depth if i else 1):
            h = block(h, n, f"in_{i}_{j}")
        bridges.append(h)
    for i, n in reversed(list(enumerate(channels[:-1]))):
        h = layers.Conv2DTranspose(n, 4, 2, "same", name=f"up_{i}")(h) + bridges[i]
        for j in range(depth if i else 1):
            h = block(h, n, f"out_{i}_{j}")
    v = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="last")(
        layers.Activation("silu")(h)
    )
    return keras.Model([z, log_snr], v, name="denoiser")


def _norm(name):
    return layers.GroupNormalization(4, name=f"{name}_norm")


class Waves(layers.Layer):
    """A number λ as sines and cosines of wavelengths from 2 to 64: what tells a network the noise level."""

    def call(self, x):
        """X (N, 1) → (N, 12)."""
        turns = x * (2.0 * math.pi / 2.0 ** np.arange(1, 7, dtype="float32"))
        return ops.concatenate([ops.sin(turns), ops.cos(turns)], axis=-1)


class Diffusion(StepModel):
    """Images from noise, by a network that was taught to take noise away.

    The encoder is fixed: z_t = α x + σ ε, α² + σ² = 1, log α²/σ² = λ, from `log_snr_max` (t = 0) down to `log_snr_min`
    (t = 1). Trained on E‖v − v̂(z_t)‖², v = α ε − σ x (Salimans & Ho 2022), summed over pixels, at a uniform t with
    α = cos(πt/2). x̂ = α z − σ v̂ is the mean of x given z.

    Args:
      denoiser: the network (`denoiser()`).
      log_snr_max, log_snr_min: λ of the least and of the greatest noise.
      sampling_steps: steps of `decode`.
      average: a in (0, 1) keeps an average of the weights, from which images are drawn; 0 for none.
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("loss",)
    parts: ClassVar = {"denoiser": denoiser}
    page_part = "denoiser"
    latent_dim = PIXELS

    def __init__(self, denoiser=None, log_snr_max=6.0, log_snr_min=-8.0, sampling_steps=40, average=0.995,
                 seed=0, name="diffusion"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        if not log_snr_max > log_snr_min:
            raise CourseError(f"log_snr_max must be above log_snr_min; got {log_snr_max} and {log_snr_min}")
        if sampling_steps < 1 or not 0.0 <= average < 1.0:
            raise CourseError(
                f"sampling_steps must be 1 or more, average in [0, 1); got {sampling_steps} and {average}"
            )
        self.denoiser = self.parts["denoiser"]() if denoiser is None else denoiser
        self.log_snr_max, self.log_snr_min, self.sampling_steps = log_snr_max, log_snr_min, sampling_steps
        self.average = average
        if average:
            self.averaged = copy(self.denoiser, "averaged")

    def compile(
        self, optimizer=None, learning_rate=1e-3, beta_1=DECISIONS.vae_beta_1, beta_2=DECISIONS.beta_2, **kwargs
    ):
        """Adam."""
        optimizer = optimizer or adam(learning_rate, beta_1, beta_2)
        self.compile_players({optimizer: self.denoiser.trainable_variables}, **kwargs)

    def step(self, x):
        """One update on images x (N, 28, 28, 1), each at a noise level of its own."""
        n = ops.shape(x)[0]
        noise = ops.reshape(self.noise(n, PIXELS), ops.shape(x))
        ends = [2.0 / math.pi * math.atan(math.exp(-end / 2.0)) for end in (self.log_snr_max, self.log_snr_min)]
        t = ends[0] + (ends[1] - ends[0]) * self.uniform(n, 1)
        log_snr = -2.0 * ops.log(ops.tan(math.pi / 2.0 * t))

        def loss():
            alpha, sigma = alpha_sigma(log_snr)
            v_hat = self.denoiser([alpha * x + sigma * noise, log_snr], training=True)
            return ops.mean(ops.sum(ops.square(alpha * noise - sigma * x - v_hat), axis=(1, 2, 3)))

        value = self.minimize(loss, self.denoiser, self.optimizer)
        if self.average:
            for mean, now in zip(self.averaged.variables, self.denoiser.variables, strict=True):
                mean.assign(self.average * mean + (1.0 - self.average) * now)
        return {"loss": value}

    def mean_image(self, z, log_snr):
        """x̂ = α z − σ v̂, the network's mean of x given z (N, 28, 28, 1) of log-SNR λ (N, 1), within [−1, 1]."""
        alpha, sigma = alpha_sigma(log_snr)
        v_hat = (self.averaged if self.average else self.denoiser)([z, log_snr], training=False)
        return ops.clip(alpha * z - sigma * v_hat, -1.0, 1.0)

    def decode(self, z):
        """Noise z (N, 784) → images, by `sampling_steps` steps without further noise (DDIM, Song et al. 2021).

        From z_t: x̂, the noise that x̂ leaves of z_t, and z_s made of the same two at less noise.
        """
        z = ops.reshape(z, (-1, *TRAINING.image_shape))
        first, last = (math.atan(math.exp(-end / 2.0)) for end in (self.log_snr_min, self.log_snr_max))
        levels = -2.0 * np.log(np.tan(np.linspace(first, last, self.sampling_steps + 1)))
        for log_snr, after in pairwise(levels):
            x_hat = self.mean_image(z, ops.full((ops.shape(z)[0], 1), log_snr, "float32"))
            (alpha, sigma), (alpha_s, sigma_s) = (_alpha_sigma(float(level)) for level in (log_snr, after))
            z = alpha_s * x_hat + sigma_s * (z - alpha * x_hat) / sigma
        return self.mean_image(z, ops.full((ops.shape(z)[0], 1), levels[-1], "float32"))

    # --- the bound on log p(x) ---

    def page_network(self):
        """None: an image is many passes through the network."""

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """The variational bound on log p of the 256 greys."""
        return [self.elbo(x, reference_name=reference, seed=seed)]

    def elbo(self, x, *, reference_name, n=BOUND_IMAGES, seed=0):
        """A lower bound on log p(x) in nats an image, p a distribution of 784 of the 256 greys. → MetricResult.

        Kingma et al. (2021) with z_0, …, z_T at equal steps of λ, T = 200: the ELBO of a VAE with T + 1 latents,
        −KL(q(z_T|x) ‖ N(0, I)) − Σ_t ½ (SNR_s − SNR_t) E‖x − x̂(z_t)‖² + E log p(x|z_0), s = t − 1. p(x|z_0) is for each
        pixel Bayes' rule with the greys' frequencies in x itself, a table of 255 numbers. The sum over t is estimated
        from 8 of its terms an image.
        """
        x = x[np.random.default_rng(seed).permutation(len(x))[:n]]
        frequency = np.bincount(to_uint8(x).ravel(), minlength=256) + 1.0
        per_image = sum(self.elbo_terms(x, np.log(frequency / frequency.sum()), seed).values())
        return MetricResult.of(
            "ELBO of the greys", float(per_image.mean()), len(x), unit="nats", better="higher",
            spread=float(per_image.std(ddof=1) / math.sqrt(len(x))), spread_kind="standard error",
            pixel_range=(-1.0, 1.0), reference=reference_name, seed=seed,
            extra={
                "bits per pixel": float(-per_image.mean() / PIXELS / math.log(2.0)),
                "levels": BOUND_LEVELS,
                "levels drawn an image": BOUND_DRAWS,
            },
        )  # fmt: skip

    def elbo_terms(self, x, log_frequency, seed=0, levels=BOUND_LEVELS, draws=BOUND_DRAWS):
        """The three terms of `elbo` for images x, each (N,), in nats: 'prior', 'diffusion', 'greys'."""
        rng, n = np.random.default_rng(seed), len(x)
        alpha, sigma = _alpha_sigma(self.log_snr_min)
        square = np.sum(x.astype("float64") ** 2, axis=(1, 2, 3))
        prior = -0.5 * (alpha**2 * square + PIXELS * (sigma**2 - 1.0 - 2.0 * math.log(sigma)))
        grid = np.linspace(self.log_snr_max, self.log_snr_min, levels + 1)
        error = np.zeros(n)
        for draw in range(draws):  # stratified: every image has one level in each of the sum's `draws` parts
            t = 1 + np.floor(levels * (draw + (rng.permutation(n) + rng.random(n)) / n) / draws).astype(int)
            log_snr = grid[t, None].astype("float32")
            a, s = (part.reshape(-1, 1, 1, 1) for part in _alpha_sigma(log_snr))
            z = (a * x + s * rng.standard_normal(x.shape)).astype("float32")
            gap = np.sum((x - batched(self.mean_image, z, log_snr)) ** 2, axis=(1, 2, 3), dtype="float64")
            error += 0.5 * (np.exp(grid[t - 1]) - np.exp(grid[t])) * gap * levels / draws
        a, s = _alpha_sigma(self.log_snr_max)
        z = a * x + s * rng.standard_normal(x.shape)
        return {"prior": prior, "diffusion": -error, "greys": grey_log_likelihood(x, z, a, s, log_frequency)}

    @classmethod
    def loss_in_words(cls, options):
        """What is minimised."""
        words = "summed squared error of v = alpha eps - sigma x"
        return words + (f", weights averaged by {options['average']:g}" if options["average"] else "")


def grey_log_likelihood(x, z, alpha, sigma, log_frequency):
    """Σ over pixels of log p(x_i | z_i) with p(k | z_i) ∝ frequency_k N(z_i; α k, σ²) over the 256 greys k. → (N,)."""
    total = np.zeros(len(x))
    for i in range(len(x)):
        each = log_frequency - 0.5 * ((z[i].reshape(-1, 1) - alpha * GREYS) / sigma) ** 2
        top = each.max(axis=1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.sum(np.exp(each - top), axis=1))
        total[i] = np.sum(each[np.arange(each.shape[0]), to_uint8(x[i]).ravel()] - log_sum)
    return total


def _alpha_sigma(log_snr):
    """α and σ of log-SNRs, in NumPy."""
    return 1.0 / np.sqrt(1.0 + np.exp(-log_snr)), 1.0 / np.sqrt(1.0 + np.exp(log_snr))


def alpha_sigma(log_snr):
    """α = (1 + e^−λ)^−½ and σ = (1 + e^λ)^−½ of log-SNRs λ (N, 1), as factors of images: each (N, 1, 1, 1)."""
    return tuple(ops.sqrt(ops.sigmoid(sign * log_snr))[:, :, None, None] for sign in (1.0, -1.0))
