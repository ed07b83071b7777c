"""BigGAN's tricks at MNIST's size: a GAN that is asked for a class (Brock et al. 2019)."""

from functools import partial
from typing import ClassVar

import numpy as np

from .. import networks
from ..metrics import MetricResult, feature_network
from ..paper import TRAINING
from ..quiet_keras import keras, layers, ops
from ..training import batched
from .gan import GAN

CLASSES = 10
MEASURED = 5_000  # samples behind the conditional accuracy


class Modulation(layers.Layer):
    """Channel by channel, a gain and a shift that depend on a vector c: h · (1 + A c) + B c, A and B learned.

    After a normalisation without gain and shift of its own this is conditional batch normalisation (de Vries et al.
    2017), or adaptive instance normalisation (Huang & Belongie 2017).
    """

    def build(self, shapes):
        (*_, channels), (_, d) = shapes
        self.gain = self.add_weight(shape=(d, channels), initializer="glorot_uniform", name="gain")
        self.shift = self.add_weight(shape=(d, channels), initializer="glorot_uniform", name="shift")

    def call(self, inputs):
        """H (N, height, width, channels), c (N, d) → as h."""
        h, c = inputs
        gain, shift = (ops.expand_dims(ops.matmul(c, w), (1, 2)) for w in (self.gain, self.shift))
        return h * (1.0 + gain) + shift

    def compute_output_shape(self, shapes):
        return shapes[0]


def generator(latent_dim: int = 12, channels: int = 64, filters: int = 32, kernel_size: int = 5,
              embedding_dim: int = 16, embedding_deviation: float = 1.0, skip: bool = True) -> keras.Model:  # fmt: skip
    """G: [z, one-hot y] (N, 12 + 10) → image (N, 28, 28, 1) in (−1, 1). 95,361 parameters.

    dense z → 7×7×64 → transposed convolutions 14×14×32 → 28×28×1, tanh, with ReLU. Each of the first two is batch
    normalised, with gain and shift from the class embedding e(y), and with `skip` from z too, as in BigGAN-deep: the
    class enters nowhere else. `embedding_deviation`: e's entries are drawn from N(0, that²).
    """
    zy = keras.Input((latent_dim + CLASSES,))
    z, y = zy[:, :latent_dim], zy[:, latent_dim:]
    drawn = keras.initializers.RandomNormal(0.0, embedding_deviation)
    c = layers.Dense(embedding_dim, use_bias=False, kernel_initializer=drawn, name="generator_embedding")(y)
    if skip:
        c = layers.Concatenate(name="generator_condition")([z, c])
    h = layers.Dense(7 * 7 * channels, use_bias=False, name="generator_dense")(z)
    h = _normalised(layers.Reshape((7, 7, channels))(h), c, "generator_dense")
    h = layers.Conv2DTranspose(filters, kernel_size, 2, "same", use_bias=False, name="generator_deconv_1")(h)
    h = _normalised(h, c, "generator_deconv_1")
    h = layers.Conv2DTranspose(1, kernel_size, 2, "same", name="generator_deconv_2")(h)
    image = layers.Activation("tanh", dtype="float32", name="generator_output")(h)
    return keras.Model(zy, image, name="generator")


def _normalised(h, c, name):
    plain = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, center=False, scale=False, name=f"{name}_norm")
    return layers.ReLU()(Modulation(name=f"{name}_modulation")([plain(h), c]))


def discriminator(filters: tuple[int, ...] = (32, 64, 128), kernel_size: int = 5, normalisation: str = "spectral",
                  projection: bool = True) -> keras.Model:  # fmt: skip
    """D: image (N, 28, 28, 1), one-hot y (N, 10) → logit (N, 1). 279,553 parameters.

    With features φ(x), those before the last layer of `networks.discriminator`: wᵀφ + b + (V y)ᵀφ, the projection
    discriminator (Miyato & Koyama 2018, eq. 3). Without `projection` D does not hear of the class.
    """
    x, y = keras.Input(TRAINING.image_shape), keras.Input((CLASSES,))
    plain = networks.discriminator(filters, kernel_size, normalisation=normalisation)
    *steps, logit, output = plain.layers
    features = x
    for step in steps:
        features = step(features)
    a = logit(features)
    if projection:
        kind = networks.SpectralDense if normalisation == "spectral" else layers.Dense
        scores = kind(CLASSES, use_bias=False, name="discriminator_projection")(features)  # (V c)ᵀφ for all classes c
    else:  # Keras 3.13 refuses an input from which nothing leads to the output
        scores = layers.Rescaling(0.0, name="discriminator_unheard")(y)
    a = layers.Add(name="discriminator_sum")([a, layers.Dot(1, name="discriminator_asked")([scores, y])])
    return keras.Model([x, y], output(a), name="discriminator")


class ConditionalGAN(GAN):
    """G draws the class it is asked for, because D judges the pair of an image and a class.

    Class-conditional batch normalisation with skip-z in G, a spectrally normalised projection discriminator, the hinge
    loss, an averaged G. Asked-for classes are drawn evenly, real images bring their own.

    Args:
      generator, discriminator: networks of this module.
      loss, d_steps, average, seed: as in `GAN`.
      orthogonal: β of orthogonal regularisation, β Σ_W ‖(WᵀW) ⊙ (1 − I)‖² added to G's loss, the columns of W being
        the filters (Brock et al. 2019, eq. 3); they take 1e-4.
    """

    parts: ClassVar = {"generator": generator, "discriminator": discriminator}
    page_kind = "classes"

    def __init__(self, generator=None, discriminator=None, loss="hinge", d_steps=1, average=0.999, orthogonal=0.0,
                 seed=0, name="conditional_gan"):  # fmt: skip
        super().__init__(generator, discriminator, loss, d_steps, average=average, seed=seed, name=name)
        self.latent_dim -= CLASSES
        self.orthogonal = orthogonal

    @classmethod
    def training_arrays(cls, data, options=None):
        """Images and their digits."""
        return data.x_train, data.y_train

    def draw(self, n):
        """What G makes n images of: z from N(0, I) and a class, each as likely. → (n, latent_dim + 10)."""
        y = ops.cast(ops.floor(CLASSES * self.uniform(n, 1)[:, 0]), "int32")
        return ops.concatenate([self.noise(n, self.latent_dim), ops.one_hot(y, CLASSES)], axis=1)

    def step(self, x, y):
        """Algorithm 1, one round on real images x (k·m, 28, 28, 1) of digits y (k·m,)."""
        critic = partial(self.discriminator, training=True)
        y = ops.one_hot(ops.cast(y, "int32"), CLASSES)
        for x_real, y_real in zip(ops.split(x, self.d_steps), ops.split(y, self.d_steps), strict=True):
            zy = self.draw(ops.shape(x_real)[0])
            y_fake = zy[:, self.latent_dim :]
            fake, through_generator = self.vjp(lambda zy=zy: self.generator(zy, training=True), self.generator)
            d_value = self.minimize(
                lambda pair=(x_real, y_real), fake_pair=(fake, y_fake): self.discriminator_loss(
                    critic(pair), critic(fake_pair)
                ),
                self.discriminator,
                self.d_optimizer,
            )
        g_value, gradient = self.value_and_gradient(lambda images: self.generator_loss(critic((images, y_fake))), fake)
        gradients, variables = through_generator(gradient), self.generator.trainable_variables
        if self.orthogonal:
            pairs = zip(gradients, variables, strict=True)
            gradients = [g + self.orthogonal * orthogonality_gradient(v) for g, v in pairs]
        self.g_optimizer.apply(gradients, variables)
        self.average_generator()
        return {"d_loss": d_value, "g_loss": g_value}

    def prior(self, n, rng):
        """`n` latent vectors and one-hot classes, each as likely. → float32 (n, latent_dim + 10)."""
        z = rng.standard_normal((n, self.latent_dim)).astype("float32")
        return np.concatenate([z, np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, n)]], axis=1)

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """The share of samples in which the course's classifier sees the class that was asked for."""
        network = feature_network("mnist")
        asked = self.prior(MEASURED, np.random.default_rng(seed))
        y_asked = asked[:, self.latent_dim :].argmax(axis=1)
        right = network(batched(self.decode, asked))[1].argmax(axis=1) == y_asked
        share = float(right.mean())
        floor = float(np.mean(network(x)[1].argmax(axis=1) == y))
        return [
            MetricResult.of(
                "conditional accuracy", share, MEASURED, network=network, better="higher", seed=seed,
                spread=float(np.sqrt(share * (1 - share) / MEASURED)), spread_kind="standard error",
                extra={"by class": [float(right[y_asked == c].mean()) for c in range(CLASSES)]},
            ).with_floor(floor, f"{reference}, their own labels asked for")
        ]  # fmt: skip

    @classmethod
    def loss_in_words(cls, options):
        """The losses, and what is added to them."""
        words = super().loss_in_words({"real_label": 1.0, **options})
        return words + (f", orthogonal regularisation {options['orthogonal']:g}" if options["orthogonal"] else "")


def orthogonality_gradient(variable):
    """4 W ((WᵀW) ⊙ (1 − I)), the gradient of ‖(WᵀW) ⊙ (1 − I)‖² in a kernel; 0 for what is no kernel.

    The columns of W are the filters: the last axis of a dense kernel, the third of a transposed convolution's.
    """
    if len(variable.shape) < 2:
        return ops.zeros(variable.shape)
    axis = 2 if len(variable.shape) == 4 else -1
    kernel = ops.moveaxis(ops.convert_to_tensor(variable), axis, -1)
    w = ops.reshape(kernel, (-1, kernel.shape[-1]))
    gradient = 4.0 * ops.matmul(w, ops.matmul(ops.transpose(w), w) * (1.0 - ops.eye(w.shape[1], dtype=w.dtype)))
    return ops.moveaxis(ops.reshape(gradient, kernel.shape), -1, axis)
