"""A GAN whose discriminator sees an image through a noisy code of limited information (Peng et al. 2019)."""

from typing import ClassVar

from .. import losses, networks
from ..errors import CourseError
from ..paper import DECISIONS
from ..paper import GAN as REPORT
from ..quiet_keras import keras, layers, ops
from .gan import GAN, IN_WORDS

LOSSES = ("non-saturating", "minimax")


def bottleneck_discriminator(
    filters: tuple[int, ...] = REPORT.discriminator_filters,
    kernel_size: int = REPORT.kernel_size,
    code: int = 32,
) -> keras.Model:
    """D: image (N, 28, 28, 1), noise ε (N, code) → logit (N, 1), KL (N,) in nats.

    `networks.discriminator` up to its last layer, then the mean μ and log-variance of a Gaussian code c = μ + σ ε, then
    one dense unit of c. With ε = 0 the unit sees μ. The KL is that of N(μ, σ²) from N(0, I).
    """
    plain = networks.discriminator(filters, kernel_size)
    noise, h = keras.Input((code,), name="noise"), plain.get_layer("discriminator_logit").input
    mu, log_var = (layers.Dense(code, dtype="float32", name=f"code_{name}")(h) for name in ("mu", "log_var"))
    c = mu + ops.exp(log_var / 2.0) * noise
    logit = layers.Dense(1, dtype="float32", name="bottleneck_logit")(c)
    return keras.Model([plain.inputs[0], noise], [logit, losses.gaussian_kl(mu, log_var)], name="discriminator")


class BottleneckGAN(GAN):
    """The GAN with a variational bottleneck in D: at most `information` nats of an image reach D's last layer.

    D minimises its cross-entropy + β (KL − I_c), the KL's mean over real and fake images; after each of its steps
    β ← max(0, β + `beta_step` (KL − I_c)), the ascent of a Lagrange multiplier. G plays against D of the mean code μ.

    Args:
      generator, discriminator: networks; the discriminator is `bottleneck_discriminator(…)`.
      loss: 'non-saturating' or 'minimax', the generator's.
      information: I_c, in nats. With a large one β stays at 0: the same network and noise without a bottleneck.
      beta_step: step of β. With the 1e-5 of published code β does not settle in a few thousand steps.
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("d_loss", "g_loss", "kl", "beta")
    parts: ClassVar = {"generator": networks.generator, "discriminator": bottleneck_discriminator}

    def __init__(self, generator=None, discriminator=None, loss="non-saturating", information=0.1, beta_step=1e-2,
                 d_steps=DECISIONS.d_steps, seed=0, name="bottleneck_gan"):  # fmt: skip
        if loss not in LOSSES:
            raise CourseError(f"loss must be one of {', '.join(LOSSES)}: they have a cross-entropy; got {loss!r}")
        if not (information > 0 and beta_step > 0):
            raise CourseError(f"information and beta_step must be above 0; got {information} and {beta_step}")
        super().__init__(generator, discriminator, loss=loss, d_steps=d_steps, seed=seed, name=name)
        self.information, self.beta_step = information, beta_step
        self.code = self.discriminator.input_shape[1][-1]
        self.beta = self.add_weight(shape=(), initializer="zeros", trainable=False, name="beta")
        self.kl = self.add_weight(shape=(), initializer="zeros", trainable=False, name="kl")

    def step(self, x):
        """The GAN's round; beside its losses, the KL and β of the last discriminator step."""
        return super().step(x) | {"kl": ops.convert_to_tensor(self.kl), "beta": ops.convert_to_tensor(self.beta)}

    def discriminator_step(self, x_real, fake):
        """One step of D on real and fake images through noisy codes, then one of β. → the cross-entropy."""
        batches = [(x, self.noise(ops.shape(x)[0], self.code)) for x in (x_real, fake)]
        beta = ops.convert_to_tensor(self.beta)

        def d_loss():
            (real, real_kl), (false, fake_kl) = (self.discriminator(batch, training=True) for batch in batches)
            cross_entropy = self.discriminator_loss(real, false)
            kl = 0.5 * (ops.mean(real_kl) + ops.mean(fake_kl))
            return cross_entropy + beta * kl, (cross_entropy, kl)

        _, (cross_entropy, kl) = self.minimize(d_loss, self.discriminator, self.d_optimizer, has_aux=True)
        self.kl.assign(kl)
        self.beta.assign(ops.maximum(beta + self.beta_step * (kl - self.information), 0.0))
        return cross_entropy

    def generator_value(self, fake, x_real):
        """G's loss on its images `fake` by D of their mean codes."""
        no_noise = ops.zeros((ops.shape(fake)[0], self.code))
        return self.generator_loss(self.discriminator([fake, no_noise], training=True)[0])

    @classmethod
    def loss_in_words(cls, options):
        """The loss, and the bound."""
        o = options
        return f"{IN_WORDS[o['loss']]}, at most {o['information']:g} nats of an image, beta's step {o['beta_step']:g}"
