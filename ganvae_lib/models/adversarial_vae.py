"""Adversarial variational Bayes (Mescheder, Nowozin & Geiger 2017): a VAE whose q(z|x) has no density to write down."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from .. import losses, networks
from ..errors import CourseError
from ..paper import DECISIONS, TRAINING, VAE
from ..quiet_keras import keras, layers, ops
from ..training import StepModel, adam, batched
from .likelihood import black_box_metrics

CONTRASTS = ("adaptive", "none")


def black_box(
    latent_dim: int = VAE.latent_dim,
    filters: tuple[int, ...] = (16, 32),
    hidden: tuple[int, ...] = (256, 128),
    kernel_size: int = VAE.kernel_size,
    noise_vectors: int = 16,
    noise_dim: int = 8,
) -> keras.Model:
    """E: image x (N, 28, 28, 1) and noise ε (N, m · noise_dim) → z ~ q(z|x), its mean and log-variance, each (N, d).

    z = a₀(x) + Σᵢ aᵢ(x) ⊙ vᵢ(εᵢ), i = 1 … m (Mescheder et al. 2017, appendix): a network of the image gives the a, m
    small networks of the noise give vectors v that batch normalisation holds at mean 0 and variance 1. So mean a₀ and
    variance Σᵢ aᵢ² of each coordinate are read off, while the density of z is nowhere.
    """
    style, m = networks.Style(VAE.slope), noise_vectors
    x, eps = keras.Input(TRAINING.image_shape), keras.Input((m * noise_dim,))
    h = x
    for layer in [*networks._convolutions(filters, kernel_size, VAE.strides, "encoder", style), layers.Flatten(),
                  *networks._dense(hidden, "encoder", style)]:  # fmt: skip
        h = layer(h)
    mu = layers.Dense(latent_dim, name="encoder_mu")(h)
    a = layers.Reshape((m, latent_dim))(layers.Dense(m * latent_dim, name="encoder_scales")(h))
    v = layers.Reshape((m, noise_dim))(eps)
    v = layers.EinsumDense("nme,meh->nmh", (m, 32), bias_axes="mh", activation="relu", name="encoder_noise_1")(v)
    v = layers.EinsumDense("nmh,mhd->nmd", (m, latent_dim), name="encoder_noise_2")(v)
    v = layers.Flatten()(v)
    v = layers.BatchNormalization(center=False, scale=False, momentum=0.95, epsilon=1e-6, name="encoder_noise_norm")(v)
    v = layers.Reshape((m, latent_dim))(v)
    z = networks._float32("linear", "encoder_z")(mu + ops.sum(a * v, axis=1))
    log_var = ops.log(ops.sum(ops.square(networks._float32("linear", "encoder_a")(a)), axis=1) + 1e-8)
    return keras.Model([x, eps], (z, networks._float32("linear", "encoder_mean")(mu), log_var), name="encoder")


def pair_discriminator(
    latent_dim: int = VAE.latent_dim,
    filters: tuple[int, ...] = (16, 32),
    hidden: tuple[int, ...] = (256, 256),
    kernel_size: int = VAE.kernel_size,
) -> keras.Model:
    """T: image x (N, 28, 28, 1) and z (N, d) → logit (N, 1). It is handed z² too: Gaussians differ by a square."""
    style = networks.Style(VAE.slope)
    x, z = keras.Input(TRAINING.image_shape), keras.Input((latent_dim,))
    h = x
    for layer in [*networks._convolutions(filters, kernel_size, VAE.strides, "pair", style), layers.Flatten(),
                  style.dense(hidden[0] // 2, "pair_image"), *style.activation("pair_image")]:  # fmt: skip
        h = layer(h)
    h = layers.Concatenate()([h, z, layers.Multiply()([z, z])])
    for layer in networks._dense(hidden, "pair", style):
        h = layer(h)
    logit = networks._float32("linear", "pair")(layers.Dense(1, name="pair_logit")(h))
    return keras.Model([x, z], logit, name="discriminator")


class AVB(StepModel):
    """Encoder without a density, decoder, and a discriminator T that tells the KL (Mescheder et al. 2017).

    T tells pairs (x, z), z ~ q(z|x), from pairs (x, z), z ~ r(z|x). At its optimum T* = log q(z|x) − log r(z|x), so

        KL(q ‖ p) = E_q[T*] + E_q[log r(z|x) − log p(z)].

    Args:
      encoder, decoder, discriminator: networks (`black_box()`, `networks.decoder()`, `pair_discriminator()`).
      contrast: what z is held against. 'none': r = p, the prior, far from q, so that T must tell large numbers.
        'adaptive': r = N(mu, σ²) with the mean and variance of q(z|x) itself (§3.3 there). T sees w = (z − mu) / σ,
        N(0, I) under r. The KL does not depend on r, so nothing is trained through its mu and σ.
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("loss", "reconstruction", "kl", "t_loss")
    parts: ClassVar = {"encoder": black_box, "decoder": networks.decoder, "discriminator": pair_discriminator}
    page_part, page_scale = "decoder", 0.5

    def __init__(self, encoder=None, decoder=None, discriminator=None, contrast="adaptive", seed=0, name="avb"):
        super().__init__(seed=seed, name=name)
        if contrast not in CONTRASTS:
            raise CourseError(f"contrast must be one of {', '.join(CONTRASTS)}; got {contrast!r}")
        self.encoder = black_box() if encoder is None else encoder
        self.decoder = networks.decoder() if decoder is None else decoder
        self.discriminator = pair_discriminator() if discriminator is None else discriminator
        self.contrast, self.latent_dim = contrast, self.decoder.input_shape[-1]
        self.noise_dim = self.encoder.input_shape[1][-1]

    def compile(self, optimizer=None, t_optimizer=None, learning_rate=TRAINING.learning_rate, t_learning_rate=None,
                beta_1=DECISIONS.gan_beta_1, beta_2=DECISIONS.beta_2, **kwargs):  # fmt: skip
        """Adam for encoder and decoder together, and one for T, whose rate defaults to five times theirs."""
        self.vae = SimpleNamespace(
            trainable_variables=[*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        )
        optimizer = optimizer or adam(learning_rate, beta_1, beta_2, name="adam")
        self.t_optimizer = t_optimizer or adam(t_learning_rate or 5 * learning_rate, beta_1, beta_2, name="t_adam")
        self.compile_players(
            {optimizer: self.vae.trainable_variables, self.t_optimizer: self.discriminator.trainable_variables},
            **kwargs,
        )

    def draw(self, x, noise, training=False):
        """Draw z ~ q(z|x) and what r makes of it: z (N, d), w (N, d), log r(z|x) − log p(z) (N,)."""
        z, mu, log_var = self._pair(self.encoder, x, noise, training)
        if self.contrast == "none":
            return z, z, ops.zeros_like(z[:, 0])
        mu, log_var = ops.stop_gradient(mu), ops.stop_gradient(log_var)
        w = (z - mu) * ops.exp(-log_var / 2)
        return z, w, 0.5 * ops.sum(ops.square(z) - ops.square(w) - log_var, axis=-1)

    def log_ratio(self, x, w, training=False):
        """T(x, z), which estimates log q(z|x) − log r(z|x): images (N, 28, 28, 1) and w (N, d) → (N,) nats."""
        return self._pair(self.discriminator, x, w, training)[:, 0]

    def discriminator_loss(self, x, w, noise):
        """−E_q[log σ(T)] − E_r[log(1 − σ(T))] for w of z ~ q(z|x) and `noise`, which is w of z ~ r. → scalar."""
        return losses.discriminator_loss(self.log_ratio(x, w, training=True), self.log_ratio(x, noise, training=True))

    def terms(self, x, noise, training=False):
        """The ELBO's two terms as T has them: reconstruction (N,), KL(q ‖ p) (N,), in nats."""
        z, w, log_r_over_p = self.draw(x, noise, training)
        return losses.bernoulli_nll(x, self.pixel_logits(z, training)), self.log_ratio(x, w, training) + log_r_over_p

    def step(self, x):
        """One step of T on images x (N, 28, 28, 1), then one of encoder and decoder against it."""
        n = ops.shape(x)[0]
        w = ops.stop_gradient(self.draw(x, self.noise(n, self.noise_dim), training=True)[1])
        from_r, noise = self.noise(n, self.latent_dim), self.noise(n, self.noise_dim)
        t_loss = self.minimize(lambda: self.discriminator_loss(x, w, from_r), self.discriminator, self.t_optimizer)

        def loss():
            reconstruction, kl = self.terms(x, noise, training=True)
            parts = {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}
            return losses.negative_elbo(reconstruction, kl), parts

        value, parts = self.minimize(loss, self.vae, self.optimizer, has_aux=True)
        return {"loss": value, **parts, "t_loss": t_loss}

    def pixel_logits(self, z, training=False):
        """Latent vectors z (N, latent_dim) → pixel logits (N, 28, 28, 1)."""
        return self.decoder(z, training=training)

    def decode(self, z):
        """Latent vectors z (N, latent_dim) → images in [−1, 1]."""
        return networks.to_image(self.pixel_logits(z))

    def encode(self, x):
        """Mean and log-variance of q(z|x), each (N, latent_dim): its moments; it is no Gaussian."""
        return self._pair(self.encoder, x, np.zeros((len(x), self.noise_dim), "float32"))[1:]

    @staticmethod
    def _pair(network, x, v, training=False):
        """A network of two inputs; Keras takes no NumPy array beside a tensor."""
        return network([ops.convert_to_tensor(x), ops.convert_to_tensor(v)], training=training)

    def call(self, x, training=False):
        """Reconstructions through the mean of q(z|x)."""
        return self.decode(self.encode(x)[0])

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """Reconstruction, the ELBO that T claims, and two bounds that need no T (`likelihood.black_box_metrics`)."""
        return black_box_metrics(self, x, reference_name=reference, seed=seed, progress=progress)

    def snapshots(self, x):
        """'reconstructions' of the first images, in [−1, 1], and 'codes', the means of q(z|x), of all."""
        return {"reconstructions": np.asarray(self(x[:64])), "codes": batched(self.encode, x)[0]}

    @classmethod
    def loss_in_words(cls, options):
        """The two terms, and what T is told from."""
        against = "the prior" if options["contrast"] == "none" else "a Gaussian of q's own moments"
        return f"summed binary cross-entropy plus KL by a discriminator against {against}"

    @classmethod
    def why_not_distributed(cls, options):
        """Batch normalisation takes its means over each device's share."""
        return "on TensorFlow each device would normalise the noise over its own share of a batch: use --backend jax"
