"""The report's VAE and its Algorithm 2, as a `keras.Model` for `compile` and `fit`."""

from typing import ClassVar

import numpy as np

from .. import losses, networks
from ..errors import CourseError
from ..paper import DECISIONS, TRAINING
from ..quiet_keras import ops
from ..training import StepModel, adam, batched
from .likelihood import log_likelihood_bound, reconstruct

# −log p(x|z) from pixel logits, and how many times the decoder's output those logits are. A Bernoulli's logit is the
# output itself; a Gaussian's mean is the usual tanh of it, tanh(a) = 2σ(2a) − 1, which learns faster than tanh(a/2).
RECONSTRUCTIONS = {
    "bce": (losses.bernoulli_nll, 1.0),
    "mse": (lambda x, logits: losses.squared_error(x, networks.to_image(logits)), 2.0),
}
IN_WORDS = {"bce": "summed binary cross-entropy", "mse": "summed squared error on [-1, 1]"}
OBJECTIVES = ("elbo", "product", "iwae")
SCHEDULES = ("joint", "alternating")


class VAE(StepModel):
    """Encoder and decoder (§3.2.2, §3.5.2); by default the report's networks trained on the ELBO.

    Args:
      encoder, decoder: networks (`networks.encoder()`, …); the latent size is the decoder's input.
      reconstruction: −log p(x|z): 'bce' (Bernoulli pixels) or 'mse' (Gaussian pixels, σ² = ½), summed over pixels.
      objective: 'elbo' (reconstruction + β·KL), 'product' (the report's sentence, read literally) or 'iwae' (the
        importance-weighted bound of `samples` samples).
      beta: the weight of the KL in the sum.
      samples: of z for each image in a step, k of 'iwae'; the other objectives take 1.
      schedule: 'joint' update of both networks, or 'alternating' encoder and decoder steps (Algorithm 2).
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("loss", "reconstruction", "kl")
    parts: ClassVar = {"encoder": networks.encoder, "decoder": networks.decoder}
    page_part = "decoder"

    def __init__(self, encoder=None, decoder=None, reconstruction="bce", objective="elbo", beta=1.0, samples=1,
                 schedule="joint", seed=0, name="vae"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        choices = {"reconstruction": RECONSTRUCTIONS, "objective": OBJECTIVES, "schedule": SCHEDULES}
        for option, value in (
            ("reconstruction", reconstruction),
            ("objective", objective),
            ("schedule", schedule),
        ):
            if value not in choices[option]:
                raise CourseError(f"{option} must be one of {', '.join(choices[option])}; got {value!r}")
        if samples < 1 or (objective != "iwae" and samples != 1) or (objective == "iwae" and beta != 1.0):
            raise CourseError(
                f"several samples go with objective='iwae', which has no beta; got {samples=}, {objective=}, {beta=}"
            )
        self.encoder = networks.encoder() if encoder is None else encoder
        self.decoder = networks.decoder() if decoder is None else decoder
        self.latent_dim = self.decoder.input_shape[-1]
        self.reconstruction, self.logit_scale = RECONSTRUCTIONS[reconstruction]
        self.objective, self.beta, self.samples, self.schedule = objective, beta, samples, schedule

    def compile(self, optimizer=None, decoder_optimizer=None, learning_rate=TRAINING.learning_rate,
                beta_1=DECISIONS.vae_beta_1, beta_2=DECISIONS.beta_2, **kwargs):  # fmt: skip
        """Both default to the report's Adam, 2e-4. The second is used by the alternating schedule alone."""
        optimizer = optimizer or adam(learning_rate, beta_1, beta_2, name="adam")
        if self.schedule == "joint":
            players = {optimizer: self.trainable_variables}
        else:
            self.decoder_optimizer = decoder_optimizer or adam(learning_rate, beta_1, beta_2, name="decoder_adam")
            players = {
                optimizer: self.encoder.trainable_variables,
                self.decoder_optimizer: self.decoder.trainable_variables,
            }
        self.compile_players(players, **kwargs)

    def terms(self, x, noise):
        """The two terms for images x with z = mu + e^{log_var/2} · noise: reconstruction (N,), KL (N,), in nats."""
        mu, log_var = self.encoder(x, training=True)
        z = mu + ops.exp(log_var / 2) * noise
        return self.reconstruction(x, self.pixel_logits(z, training=True)), losses.gaussian_kl(mu, log_var)

    def log_weights(self, x, noise):
        """Log-weights log p(x|z) + log p(z) − log q(z|x) of k samples an image, noise (N, k, d) → (N, k); the terms."""
        mu, log_var = self.encoder(x, training=True)
        z = mu[:, None] + ops.exp(log_var[:, None] / 2) * noise
        logits = self.pixel_logits(ops.reshape(z, (-1, self.latent_dim)), training=True)
        reconstruction = self.reconstruction(ops.repeat(x, self.samples, axis=0), logits)
        reconstruction = ops.reshape(reconstruction, (-1, self.samples))
        log_p_over_q = 0.5 * ops.sum(ops.square(noise) + log_var[:, None] - ops.square(z), axis=-1)
        return log_p_over_q - reconstruction, (reconstruction, losses.gaussian_kl(mu, log_var))

    def step(self, x):
        """One update on images x (N, 28, 28, 1); with 'alternating', one of the encoder and one of the decoder."""
        noise = self.noise(ops.shape(x)[0], self.samples * self.latent_dim)

        def loss():
            if self.objective == "iwae":
                log_w, (reconstruction, kl) = self.log_weights(
                    x, ops.reshape(noise, (-1, self.samples, self.latent_dim))
                )
                total = losses.negative_importance_weighted_bound(log_w)
                return total, {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}
            reconstruction, kl = self.terms(x, noise)
            if self.objective == "product":
                total = losses.product_loss(reconstruction, kl)
            else:
                total = losses.negative_elbo(reconstruction, kl, self.beta)
            return total, {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}

        if self.schedule == "joint":
            value, parts = self.minimize(loss, self, self.optimizer, has_aux=True)
        else:
            self.minimize(loss, self.encoder, self.optimizer, has_aux=True)
            value, parts = self.minimize(loss, self.decoder, self.decoder_optimizer, has_aux=True)
        return {"loss": value, **parts}

    def call(self, x, training=False):
        """Reconstructions x̂ in [−1, 1] through z = mu, the mean of q(z|x)."""
        return self.decode(self.encoder(x, training=training)[0])

    def decode(self, z):
        """Latent vectors z (N, latent_dim) → images in [−1, 1]."""
        return networks.to_image(self.pixel_logits(z))

    def pixel_logits(self, z, training=False):
        """Latent vectors z (N, latent_dim) → pixel logits (N, 28, 28, 1)."""
        return self.logit_scale * self.decoder(z, training=training)

    # --- what it answers for itself ---

    @property
    def page_scale(self):
        """The image is tanh(scale · the decoder's output)."""
        return self.logit_scale / 2

    def encode(self, x):
        """Images x → mu, log_var of q(z|x), each (N, latent_dim)."""
        return self.encoder(x)

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """Reconstruction, ELBO and the importance-weighted bound on log p(x)."""
        return [
            *reconstruct(self, x, reference_name=reference, seed=seed),
            log_likelihood_bound(self, x, reference_name=reference, seed=seed, progress=progress),
        ]

    def snapshots(self, x):
        """'reconstructions' of the first images, in [−1, 1], and 'codes' mu of all."""
        return {"reconstructions": np.asarray(self(x[:64])), "codes": batched(self.encode, x)[0]}

    @classmethod
    def loss_in_words(cls, options):
        """The two terms and how they are joined."""
        if options["objective"] == "iwae":
            words = IN_WORDS[options["reconstruction"]]
            return f"importance-weighted bound of {options['samples']} sample(s), {words}, {options['schedule']} update"
        join = "times KL" if options["objective"] == "product" else f"plus {options['beta']:g} KL"
        return f"{IN_WORDS[options['reconstruction']]} {join}, {options['schedule']} update"

    @classmethod
    def why_not_distributed(cls, options):
        """A product of means over shares of a batch is not the mean of products."""
        if options["objective"] == "product":
            return (
                "on TensorFlow each device takes the means of its own share of a batch, and the product of two means "
                "is not the mean of such products: train it with --backend jax, or without --distribute"
            )
        return None
