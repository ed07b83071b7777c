"""The report's VAE and its Algorithm 2, as a `keras.Model` for `compile` and `fit`."""

from . import losses, networks
from .errors import CourseError
from .paper import DECISIONS
from .quiet_keras import ops
from .training import StepModel, adam

# −log p(x|z) from pixel logits, and how many times the decoder's output those logits are. A Bernoulli's logit is the
# output itself; a Gaussian's mean is the usual tanh of it, tanh(a) = 2σ(2a) − 1, which learns faster than tanh(a/2).
RECONSTRUCTIONS = {
    "bce": (losses.bernoulli_nll, 1.0),
    "mse": (lambda x, logits: losses.squared_error(x, networks.to_image(logits)), 2.0),
}
OBJECTIVES = ("elbo", "product")
SCHEDULES = ("joint", "alternating")


class VAE(StepModel):
    """Encoder and decoder (§3.2.2, §3.5.2); by default the report's networks trained on the ELBO.

    Args:
      encoder, decoder: networks (`networks.encoder()`, …); the latent size is the decoder's input.
      reconstruction: −log p(x|z): 'bce' (Bernoulli pixels) or 'mse' (Gaussian pixels, σ² = ½), summed over pixels.
      objective: 'elbo' (reconstruction + β·KL) or 'product' (the report's sentence, read literally).
      beta: the weight of the KL in the sum.
      schedule: 'joint' update of both networks, or 'alternating' encoder and decoder steps (Algorithm 2).
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("loss", "reconstruction", "kl")

    def __init__(self, encoder=None, decoder=None, reconstruction="bce", objective="elbo", beta=1.0, schedule="joint",
                 seed=0, name="vae"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        choices = {"reconstruction": RECONSTRUCTIONS, "objective": OBJECTIVES, "schedule": SCHEDULES}
        for option, value in (
            ("reconstruction", reconstruction),
            ("objective", objective),
            ("schedule", schedule),
        ):
            if value not in choices[option]:
                raise CourseError(f"{option} must be one of {', '.join(choices[option])}; got {value!r}")
        self.encoder = networks.encoder() if encoder is None else encoder
        self.decoder = networks.decoder() if decoder is None else decoder
        self.latent_dim = self.decoder.input_shape[-1]
        self.reconstruction, self.logit_scale = RECONSTRUCTIONS[reconstruction]
        self.objective, self.beta, self.schedule = objective, beta, schedule

    def compile(self, optimizer=None, decoder_optimizer=None, **kwargs):
        """Both default to the report's Adam, 2e-4. The second is used by the alternating schedule alone."""
        optimizer = optimizer or adam(beta_1=DECISIONS.vae_beta_1, name="adam")
        if self.schedule == "joint":
            players = {optimizer: self.trainable_variables}
        else:
            self.decoder_optimizer = decoder_optimizer or adam(beta_1=DECISIONS.vae_beta_1, name="decoder_adam")
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

    def step(self, x):
        """One update on images x (N, 28, 28, 1); with 'alternating', one of the encoder and one of the decoder."""
        noise = self.noise(ops.shape(x)[0], self.latent_dim)

        def loss():
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
