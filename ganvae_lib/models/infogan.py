"""InfoGAN (Chen et al. 2016): a GAN whose generator must leave in the image a part of z that can be read again."""

from typing import ClassVar

import numpy as np

from .. import losses, networks
from ..errors import CourseError
from ..metrics import feature_network
from ..metrics.codes import accuracy_metric, code_metrics, correlation_metric
from ..metrics.moments import slant, width
from ..metrics.result import MetricResult
from ..paper import GAN, TRAINING
from ..quiet_keras import keras, layers, ops
from ..training import StepModel, adam, batched

MEASURED = 10_000  # samples that `measure` judges the code by


def generator(latent_dim=74, hidden=(256, 7 * 7 * 64), filters=(32, 1), normalisation="batch", initial_weights="dcgan"):
    """G: z (N, 62 noise + 10 one-hot + 2 continuous) → image (N, 28, 28, 1) in (−1, 1)."""
    return networks.generator(
        latent_dim, hidden, filters, normalisation=normalisation, initial_weights=initial_weights
    )  # fmt: skip


def discriminator(filters=(32, 64), hidden=256, q_hidden=128, classes=10, continuous=2, normalisation="layer",
                  initial_weights="dcgan"):  # fmt: skip
    """D and Q on one trunk: image → logit (N, 1); of q(c|x) the class logits (N, K), mu (N, C) and log σ² (N, C)."""
    style = networks.Style(GAN.slope, normalisation, initial_weights)
    x = h = keras.Input(TRAINING.image_shape)
    trunk = networks._convolutions(filters, GAN.kernel_size, GAN.strides, "discriminator", style)
    for layer in [*trunk, layers.Flatten(), *networks._dense((hidden,), "discriminator", style)]:
        h = layer(h)
    q = h
    for layer in networks._dense((q_hidden,), "q", style):
        q = layer(q)
    heads = {"logit": (h, 1), "class": (q, classes), "mu": (q, continuous), "log_var": (q, continuous)}
    outputs = [networks._float32("linear", name)(style.dense(n, f"{name}_dense")(of))
               for name, (of, n) in heads.items()]  # fmt: skip
    return keras.Model(x, outputs, name="discriminator")


class InfoGAN(StepModel):
    """z = (noise, one-hot class, continuous codes); Q, on D's trunk, reads the codes c = (class, continuous) again.

        min_{G, Q} max_D  V(D, G) − λ L_I(G, Q),    L_I = H(c) + E log q(c|x) ≤ I(c; x)

    D's step also takes Q's part, −L_I with weight 1 whatever λ is: at λ = 0 Q still reads all it can, and what it reads
    is what a plain GAN leaves in its images. Uniforms on [−1, 1], classes with equal shares.

    Args:
      generator, discriminator: networks of this module.
      information: λ, the weight of L_I in G's loss.
      continuous_weight: of the continuous codes' part of L_I beside the class's, for both players: that part has no
        upper bound (`losses.uniform_information`).
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("d_loss", "g_loss", "class_information", "continuous_information")
    parts: ClassVar = {"generator": generator, "discriminator": discriminator}

    def __init__(self, generator=None, discriminator=None, information=1.0, continuous_weight=1.0, seed=0,
                 name="infogan"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        self.generator = self.parts["generator"]() if generator is None else generator
        self.discriminator = self.parts["discriminator"]() if discriminator is None else discriminator
        self.latent_dim = self.generator.input_shape[-1]
        self.n_classes, self.n_continuous = (self.discriminator.output_shape[i][-1] for i in (1, 2))
        self.noise_dim = self.latent_dim - self.n_classes - self.n_continuous
        if self.noise_dim < 0:
            raise CourseError(f"latent_dim must hold the {self.n_classes} classes and {self.n_continuous} continuous "
                              f"codes of the discriminator; got {self.latent_dim}")  # fmt: skip
        if information < 0:
            raise CourseError(f"information, the weight of L_I, must be 0 or more; got {information}")
        self.information, self.continuous_weight = information, continuous_weight

    def compile(self, d_optimizer=None, g_optimizer=None, learning_rate=1e-3, d_learning_rate=TRAINING.learning_rate,
                beta_1=0.5, beta_2=0.999, **kwargs):  # fmt: skip
        """The paper's: Adam 1e-3 for G, 2e-4 for D and Q, β₁ = 0.5."""
        self.g_optimizer = g_optimizer or adam(learning_rate, beta_1, beta_2, name="g_adam")
        self.d_optimizer = d_optimizer or adam(d_learning_rate, beta_1, beta_2, name="d_adam")
        self.compile_players(
            {self.g_optimizer: self.generator.trainable_variables,
             self.d_optimizer: self.discriminator.trainable_variables}, **kwargs,
        )  # fmt: skip

    def draw(self, n):
        """What G is given in a step: z (n, latent_dim)."""
        u = self.uniform(n, self.noise_dim + 1 + self.n_continuous)
        chosen = ops.one_hot(ops.cast(u[:, self.noise_dim] * self.n_classes, "int32"), self.n_classes, dtype=u.dtype)
        noise, continuous = u[:, : self.noise_dim], u[:, self.noise_dim + 1 :]
        return ops.concatenate([2 * noise - 1, chosen, 2 * continuous - 1], axis=1)

    def codes(self, z):
        """The one-hot class (N, K) and the continuous codes (N, C) of z."""
        end = self.noise_dim + self.n_classes
        return z[:, self.noise_dim : end], z[:, end:]

    def code_information(self, images, z):
        """D's logits of images G(z), and the mean L_I of the class and of the continuous codes: (N, 1), (), ()."""
        logits, class_logits, mu, log_var = self.discriminator(images, training=True)
        chosen, continuous = self.codes(z)
        return (logits, ops.mean(losses.class_information(chosen, class_logits)),
                ops.mean(losses.uniform_information(continuous, mu, log_var)))  # fmt: skip

    def step(self, x):
        """One step of D and Q, one of G, on the same codes and fake images; real and fake in two batches."""
        z = self.draw(ops.shape(x)[0])
        fake, through_generator = self.vjp(lambda: self.generator(z, training=True), self.generator)

        def d_loss():
            logits, of_class, of_continuous = self.code_information(fake, z)
            d_value = losses.discriminator_loss(self.discriminator(x, training=True)[0], logits)
            l_i = of_class + self.continuous_weight * of_continuous
            return d_value - l_i, (d_value, of_class, of_continuous)

        def g_loss(images):
            logits, of_class, of_continuous = self.code_information(images, z)
            l_i = of_class + self.continuous_weight * of_continuous
            return losses.non_saturating_loss(logits) - self.information * l_i

        _, (d_value, of_class, of_continuous) = self.minimize(
            d_loss, self.discriminator, self.d_optimizer, has_aux=True
        )
        g_value, gradient = self.value_and_gradient(g_loss, fake)
        self.g_optimizer.apply(through_generator(gradient), self.generator.trainable_variables)
        return {"d_loss": d_value, "g_loss": g_value, "class_information": of_class,
                "continuous_information": of_continuous}  # fmt: skip

    def decode(self, z):
        """Images G(z) of latent vectors z (N, latent_dim)."""
        return self.generator(z, training=False)

    # --- what it answers for itself ---

    def prior(self, n, rng):
        """`n` draws of z: noise and continuous codes uniform on [−1, 1], a class with equal chances."""
        noise, continuous = (rng.uniform(-1, 1, (n, d)) for d in (self.noise_dim, self.n_continuous))
        chosen = np.eye(self.n_classes)[rng.integers(self.n_classes, size=n)]
        return np.concatenate([noise, chosen, continuous], axis=1).astype("float32")

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """L_I, and from outside: what a classifier's digit, its slant and its width say of the codes; Q on real x."""
        z = self.prior(MEASURED, np.random.default_rng(seed))
        chosen, continuous = self.codes(z)
        images = batched(self.decode, z)
        _, *q = batched(self.discriminator, images)
        network = feature_network("mnist")
        seen, seen_real = (network(a)[1].argmax(axis=1) for a in (images, x))
        results = [
            _mean("L_I of the class code", losses.class_information(chosen, q[0]), seed,
                  {"ceiling": float(np.log(self.n_classes))}),
            _mean("L_I of the continuous codes", losses.uniform_information(continuous, *q[1:]), seed, {}),
        ]  # fmt: skip
        known = {"network": network, "reference": reference, "seed": seed}
        of_code = code_metrics(chosen.argmax(axis=1), seen, real=(y, seen_real), **known)
        digit_of_code = np.array(of_code[0].extra["digit_of_code"])
        read = digit_of_code[batched(self.discriminator, x)[1].argmax(axis=1)]
        results += [
            *of_code,
            accuracy_metric("accuracy of Q on real digits, codes matched", y, read, reference=reference,
                            extra={"digit_of_code": digit_of_code.tolist()}),
        ]  # fmt: skip
        return results + [
            correlation_metric(f"correlation of a continuous code with {f.__name__}", continuous, f(images), seed=seed)
            for f in (slant, width)
        ]

    def snapshots(self, x):
        """'classes': row k has class k, column j one z otherwise; 'continuous': three rows a code, it goes −1 to 1."""
        z = self.prior(6, np.random.default_rng(1))
        at, end = self.noise_dim, self.noise_dim + self.n_classes
        by_class = np.repeat(z[None], self.n_classes, axis=0)
        by_class[:, :, at:end] = np.eye(self.n_classes)[:, None]
        moved = np.tile(z[:3, None], (self.n_continuous, 1, 10, 1))
        for j in range(self.n_continuous):
            moved[j, :, :, end + j] = np.linspace(-1, 1, 10)
        rows = {"classes": by_class, "continuous": moved}
        return {name: np.asarray(self.decode(a.reshape(-1, self.latent_dim))) for name, a in rows.items()}

    @classmethod
    def loss_in_words(cls, options):
        """The loss and the weight of L_I."""
        words = f"binary cross-entropy, non-saturating generator, {options['information']:g} L_I in its loss"
        weight = options.get("continuous_weight", 1.0)
        return words + ("" if weight == 1.0 else f", continuous codes at {weight:g} of the class")


def _mean(name, values, seed, extra):
    """The mean of a number a sample, nats, with its standard error."""
    values = np.asarray(values, dtype=float)
    return MetricResult.of(name, float(values.mean()), len(values), unit="nats", better="higher", seed=seed,
                           spread=float(values.std(ddof=1) / np.sqrt(len(values))), spread_kind="standard error",
                           extra=extra)  # fmt: skip
