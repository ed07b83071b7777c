"""The conditional VAE (Sohn et al. 2015): encoder and decoder are told the digit, z says what is left."""

from typing import ClassVar

import numpy as np

from .. import losses, networks
from ..errors import CourseError
from ..metrics import feature_network
from ..metrics.codes import accuracy_metric
from ..metrics.result import MetricResult
from ..paper import DECISIONS, TRAINING, VAE
from ..quiet_keras import keras, layers, ops
from ..training import StepModel, adam, batched
from .likelihood import log_likelihood_bound, reconstruct

CLASSES = 10
MEASURED = 10_000  # samples whose class is held against the one that was asked for


def encoder(latent_dim=10, filters=(16, 32), hidden=(256, 128), kernel_size=VAE.kernel_size):
    """q(z|x, y): image (N, 28, 28, 1), one-hot y (N, 10) → mu, log σ², each (N, d); y joins before the dense layers."""
    style = networks.Style(VAE.slope)
    x, y = keras.Input(TRAINING.image_shape), keras.Input((CLASSES,))
    h = x
    for layer in [*networks._convolutions(filters, kernel_size, VAE.strides, "encoder", style), layers.Flatten()]:
        h = layer(h)
    h = layers.Concatenate()([h, y])
    for layer in networks._dense(hidden, "encoder", style):
        h = layer(h)
    heads = [networks._float32("linear", name)(layers.Dense(latent_dim, name=f"{name}_dense")(h))
             for name in ("mu", "log_var")]  # fmt: skip
    return keras.Model((x, y), heads, name="encoder")


def decoder(latent_dim=10, hidden=(128, 256), filters=(32, 1), grid=8, kernel_size=VAE.kernel_size):
    """p(x|z, y): z with one-hot y behind it (N, d + 10) → pixel logits (N, 28, 28, 1)."""
    return networks.decoder(latent_dim + CLASSES, hidden, filters, grid, kernel_size)


class ConditionalVAE(StepModel):
    """A VAE of x given the digit y, p(x|y) = ∫ p(x|z, y) p(z) dz, with z ~ N(0, I) whatever y is.

        log p(x|y) ≥ E_{q(z|x, y)} log p(x|z, y) − KL(q(z|x, y) ‖ N(0, I))

    What it decodes is z with the one-hot y behind it, (N, d + 10), and so is what `prior` draws.

    Args:
      encoder, decoder: networks of this module.
      beta: the weight of the KL in the loss; 1 for the bound.
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("loss", "reconstruction", "kl")
    parts: ClassVar = {"encoder": encoder, "decoder": decoder}
    page_part = "decoder"
    page_scale = 0.5  # the image is tanh(a/2) of the decoder's logits a
    classes = CLASSES

    def __init__(self, encoder=None, decoder=None, beta=1.0, seed=0, name="conditional_vae"):
        super().__init__(seed=seed, name=name)
        self.encoder = self.parts["encoder"]() if encoder is None else encoder
        self.decoder = self.parts["decoder"]() if decoder is None else decoder
        self.latent_dim = self.decoder.input_shape[-1]  # d + 10
        self.d = self.encoder.output_shape[0][-1]
        if self.latent_dim != self.d + CLASSES:
            raise CourseError(f"the decoder takes {self.latent_dim} numbers, the encoder gives {self.d}: give both the "
                              "same latent_dim")  # fmt: skip
        self.beta = beta

    def compile(self, learning_rate=TRAINING.learning_rate, beta_1=DECISIONS.vae_beta_1, beta_2=DECISIONS.beta_2,
                **kwargs):  # fmt: skip
        """One Adam for both networks, the report's 2e-4."""
        self.compile_players({adam(learning_rate, beta_1, beta_2, name="adam"): self.trainable_variables}, **kwargs)

    @classmethod
    def training_arrays(cls, data, options=None):
        """Images and their digits."""
        return data.x_train, data.y_train

    def step(self, x, y):
        """One update on images x (N, 28, 28, 1) of digits y (N,)."""
        y = ops.one_hot(y, CLASSES, dtype="float32")
        noise = self.noise(ops.shape(x)[0], self.d)

        def loss():
            mu, log_var = self.encoder((x, y), training=True)
            z = mu + ops.exp(log_var / 2) * noise
            reconstruction = losses.bernoulli_nll(x, self.pixel_logits(z, y, training=True))
            kl = losses.gaussian_kl(mu, log_var)
            total = losses.negative_elbo(reconstruction, kl, self.beta)
            return total, {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}

        value, parts = self.minimize(loss, self, self.optimizer, has_aux=True)
        return {"loss": value, **parts}

    def pixel_logits(self, z, y, training=False):
        """Pixel logits (N, 28, 28, 1) of z (N, d) and one-hot y (N, 10)."""
        return self.decoder(ops.concatenate([z, y], axis=1), training=training)

    def decode(self, zy):
        """Latent vectors with the one-hot digit behind them, (N, d + 10) → images in [−1, 1]."""
        return networks.to_image(self.decoder(zy))

    # --- what it answers for itself ---

    def prior(self, n, rng):
        """`n` draws of z ~ N(0, I) and of a digit, all with equal chances: (n, d + 10)."""
        return self.ask(rng.integers(CLASSES, size=n), rng)

    def ask(self, digits, rng):
        """What to decode for images of these digits (N,): z ~ N(0, I) with the one-hot digit. → (N, d + 10)."""
        z = rng.standard_normal((len(digits), self.d))
        return np.concatenate([z, one_hot(digits)], axis=1).astype("float32")

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """Reconstruction and the bounds on log p(x|y), a bound on log p(x) from them, and the class of what it draws.

        As p(x) = Σ_y p(y) p(x|y) with p(y) = 1/10, log p(x) ≥ log p(x|y) − log 10 whatever y is.
        """
        q = _Posterior(self)
        told = {"reference_name": f"{reference}, the digit given", "seed": seed}
        found = reconstruct(q, x, one_hot(y), **told)
        results = [_renamed(r, f"{r.name} on log p(x|y)") if r.name == "ELBO" else r for r in found]
        given = log_likelihood_bound(q, x, one_hot(y), **told, progress=progress)
        less = float(np.log(CLASSES))
        alone = given.model_copy(update={
            "value": given.value - less, "reference": reference,
            "extra": given.extra | {"elbo": given.extra["elbo"] - less, "by": "log p(x|y) − log 10"},
        })  # fmt: skip
        zy = self.prior(MEASURED, np.random.default_rng(seed))
        network = feature_network("mnist")
        seen, seen_real = (network(a)[1].argmax(axis=1) for a in (batched(self.decode, zy), x))
        return [
            *results,
            _renamed(given, given.name.replace("p(x)", "p(x|y)")),
            alone,
            accuracy_metric("accuracy of the digit asked for", zy[:, self.d :].argmax(axis=1), seen, network=network,
                            seed=seed, floor=float(np.mean(seen_real == y)),
                            floor_how=f"the digit of {len(x):,} {reference}"),
        ]  # fmt: skip

    def snapshots(self, x):
        """'classes': row k is asked for digit k, column j has one z in all rows."""
        zy = np.tile(self.ask(np.zeros(6, int), np.random.default_rng(1)), (CLASSES, 1))
        zy[:, self.d :] = one_hot(np.repeat(np.arange(CLASSES), 6))
        return {"classes": np.asarray(self.decode(zy))}

    @classmethod
    def loss_in_words(cls, options):
        """The two terms."""
        return f"summed binary cross-entropy plus {options['beta']:g} KL, both given the digit"


class _Posterior:
    """The encoder and decoder as `likelihood` asks for them: encode(x, y), pixel_logits(z, y)."""

    def __init__(self, model):
        self.pixel_logits = model.pixel_logits
        self.encode = lambda x, y: model.encoder((x, y))


def one_hot(digits):
    """Digits (N,) → (N, 10), float32."""
    return np.eye(CLASSES, dtype="float32")[np.asarray(digits)]


def _renamed(result, name) -> MetricResult:
    return result.model_copy(update={"name": name})
