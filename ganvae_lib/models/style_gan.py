"""The style idea at MNIST's size: w = f(z) sets the gains of every layer of G (Karras et al. 2019)."""

from typing import ClassVar

import numpy as np

from .. import networks
from ..metrics import MetricResult, feature_network
from ..quiet_keras import keras, layers, ops
from .conditional_gan import Modulation
from .gan import GAN

LAYERS = ("coarse", "middle", "fine")  # 7×7, 14×14, 28×28
SIZES = (7, 14, 28)
PIXELS = sum(size**2 for size in SIZES)  # of the noise: one map for each layer
W_MEAN_DECAY = 0.995
PATHS, PATH_STEP = 1_000, 1e-3  # behind a path length


def mapping(latent_dim: int = 16, hidden: tuple[int, ...] = (64, 64), w_dim: int = 32,
            rate: float = 1.0) -> keras.Model:  # fmt: skip
    """The mapping network f: z (N, 16) → w (N, 32), z scaled to length √16 first. 7,328 parameters.

    `rate` is its learning rate as a multiple of the optimizer's; Karras et al. (2019, appendix C) take 0.01.
    """
    z = keras.Input((latent_dim,))
    h = layers.UnitNormalization(name="mapping_length")(z)
    h = layers.Rescaling(latent_dim**0.5, name="mapping_scale")(h)
    for i, n in enumerate((*hidden, w_dim), 1):
        h = layers.LeakyReLU(0.2)(RatedDense(n, rate, name=f"mapping_dense_{i}")(h))
    return keras.Model(z, h, name="mapping")


class RatedDense(layers.Dense):
    """A dense layer of weights r·kernel and r·bias: a step of Adam, whose size no gradient sets, moves them r times.

    The kernel starts 1/r times as large as He et al.'s, so that the layer starts the same for every r.
    """

    def __init__(self, units, rate=1.0, **kwargs):
        drawn = keras.initializers.VarianceScaling(2.0 / rate**2, "fan_in", "truncated_normal")
        super().__init__(units, kernel_initializer=drawn, **kwargs)
        self.rate = rate

    def call(self, x):
        """X (N, inputs) → (N, units)."""
        return self.rate * super().call(x)


def synthesis(w_dim: int = 32, channels: int = 64, filters: tuple[int, ...] = (32, 16),
              kernel_size: int = 4) -> keras.Model:  # fmt: skip
    """g: a w for each layer (N, 3, 32), noise (N, 1029) → image (N, 28, 28, 1). 88,369 parameters.

    A learned 7×7×64 → 3×3 convolution → transposed convolutions 14×14×32 → 28×28×16 → 1×1 convolution, tanh. After
    each of the three but the last: + strength · noise, LeakyReLU, each channel of an image to mean 0 and variance 1,
    then the layer's modulation: adaptive instance normalisation. The noise is the three layers' maps one after another.
    """
    w, noise = keras.Input((len(LAYERS), w_dim)), keras.Input((PIXELS,))
    h = Constant((SIZES[0], SIZES[0], channels), name="synthesis_constant")(w)
    steps = [layers.Conv2D(channels, 3, padding="same", use_bias=False, name="synthesis_coarse")]
    steps += [
        layers.Conv2DTranspose(n, kernel_size, 2, "same", use_bias=False, name=f"synthesis_{name}")
        for n, name in zip(filters, LAYERS[1:], strict=True)
    ]
    for i, (step, name, size) in enumerate(zip(steps, LAYERS, SIZES, strict=True)):
        start = sum(s**2 for s in SIZES[:i])
        pixels = layers.Reshape((size, size, 1))(noise[:, start : start + size**2])
        h = PixelNoise(name=f"synthesis_{name}_noise")([step(h), pixels])
        h = InstanceNormalisation(name=f"synthesis_{name}_norm")(layers.LeakyReLU(0.2)(h))
        h = Modulation(name=f"synthesis_{name}_modulation")([h, w[:, i]])
    h = layers.Conv2D(1, 1, name="synthesis_image")(h)
    return keras.Model([w, noise], layers.Activation("tanh", dtype="float32")(h), name="synthesis")


def discriminator(filters: tuple[int, ...] = (32, 64, 128), kernel_size: int = 5,
                  normalisation: str = "none") -> keras.Model:  # fmt: skip
    """D: the course's discriminator at the compact pair's size. 259,073 parameters."""
    return networks.discriminator(filters, kernel_size, normalisation)


def _trained_generator(f, g):
    """What a step trains: [z, another z, (N, 3) of 1 where the first one's w is taken, noise] → images."""
    z, other = keras.Input(f.input_shape[1:]), keras.Input(f.input_shape[1:])
    own, noise = keras.Input((len(LAYERS),)), keras.Input((PIXELS,))
    w = Mix(name="mix")([f(z), f(other), own])
    return keras.Model([z, other, own, noise], g([w, noise]), name="generator")


class Mix(layers.Layer):
    """A w for each layer, of two."""

    def call(self, inputs):
        """W (N, d), other (N, d), own (N, layers) of 1 and 0 → (N, layers, d): w where own is 1."""
        w, other, own = inputs
        own = ops.expand_dims(own, -1)
        return own * ops.expand_dims(w, 1) + (1.0 - own) * ops.expand_dims(other, 1)


class Silence(layers.Layer):
    """Noise of 0 for each z."""

    def call(self, z):
        """Z (N, d) → zeros (N, 1029)."""
        return ops.zeros((ops.shape(z)[0], PIXELS))

    def compute_output_shape(self, shape):
        return (shape[0], PIXELS)


class Constant(layers.Layer):
    """The learned array with which synthesis begins, the same for every image: z enters by the styles alone."""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def build(self, _):
        self.constant = self.add_weight(shape=self.shape, initializer="random_normal", name="constant")

    def call(self, w):
        """W (N, …) → (N, *shape)."""
        return ops.broadcast_to(ops.expand_dims(self.constant, 0), (ops.shape(w)[0], *self.shape))

    def compute_output_shape(self, shape):
        return (shape[0], *self.shape)


class PixelNoise(layers.Layer):
    """h + strength · noise + bias: the same map of noise for all channels, a learned strength for each, 0 at first."""

    def build(self, shapes):
        self.strength = self.add_weight(shape=(shapes[0][-1],), initializer="zeros", name="strength")
        self.bias = self.add_weight(shape=(shapes[0][-1],), initializer="zeros", name="bias")

    def call(self, inputs):
        """H (N, size, size, channels), noise (N, size, size, 1) → as h."""
        h, noise = inputs
        return h + self.strength * noise + self.bias

    def compute_output_shape(self, shapes):
        return shapes[0]


class InstanceNormalisation(layers.Layer):
    """Each channel of each image less its mean, over its standard deviation. (N, size, size, channels) → the same."""

    def call(self, h):
        mean, variance = ops.moments(h, axes=(1, 2), keepdims=True)
        return (h - mean) / ops.sqrt(variance + 1e-5)


class StyleGAN(GAN):
    """G = g ∘ f: z becomes w, and w the gains and shifts of three layers; two images' styles can be mixed.

    Trained as `GAN`, on the non-saturating loss with R1 on real images. Of each batch a share `mixing` is drawn with
    the w of one z up to a layer and that of another z from it on, the layer drawn evenly.

    Args:
      mapping, synthesis, discriminator: networks of this module; D is `networks.discriminator`.
      mixing: the probability that an image mixes two styles (Karras et al. 2019, §3.1, take 0.9). Unmixed images, as
        `prior` and `decode` draw them, are what is left of those that D judges: the variety may sit in the mixtures.
      penalty_weight: γ of R1; 0 for none.
      d_steps, seed: as in `GAN`.
    """

    parts: ClassVar = {"mapping": mapping, "synthesis": synthesis, "discriminator": discriminator}
    page_kind = "styles"

    def __init__(self, mapping=None, synthesis=None, discriminator=None, mixing=0.9, penalty_weight=1.0, d_steps=1,
                 seed=0, name="style_gan"):  # fmt: skip
        f, g, d = (
            self.parts[part]() if network is None else network
            for part, network in zip(self.parts, (mapping, synthesis, discriminator), strict=True)
        )
        penalty = "r1" if penalty_weight else "none"
        super().__init__(
            _trained_generator(f, g), d, d_steps=d_steps, penalty=penalty, penalty_weight=penalty_weight, seed=seed,
            name=name,
        )  # fmt: skip
        self.mapping, self.synthesis, self.mixing = f, g, mixing
        self.latent_dim = f.input_shape[-1]
        self.w_mean = self.add_weight(shape=f.output_shape[1:], initializer="zeros", trainable=False, name="w_mean")

    def compile(self, learning_rate=1e-3, d_learning_rate=None, beta_1=0.0, beta_2=0.99, **kwargs):
        """Adam at five times the course's rate, which R1 allows."""
        super().compile(learning_rate=learning_rate, d_learning_rate=d_learning_rate, beta_1=beta_1, beta_2=beta_2,
                        **kwargs)  # fmt: skip

    def draw(self, n):
        """What G makes n images of in a step: z, another z, which layers take the first one's w, the noise."""
        mixed, layer = ops.split(self.uniform(n, 2), 2, axis=1)
        first = 1.0 + ops.floor(layer * (len(LAYERS) - 1))  # the first layer of the other z, where there is one
        own = ops.logical_or(mixed >= self.mixing, ops.arange(len(LAYERS), dtype="float32") < first)
        return [self.noise(n, self.latent_dim), self.noise(n, self.latent_dim), ops.cast(own, "float32"),
                self.noise(n, PIXELS)]  # fmt: skip

    def step(self, x):
        """One round of `GAN.step`; then the running mean of w goes on."""
        values = super().step(x)
        w = self.mapping(self.noise(ops.shape(x)[0], self.latent_dim))
        self.w_mean.assign(W_MEAN_DECAY * self.w_mean + (1 - W_MEAN_DECAY) * ops.mean(w, axis=0))
        return values

    # --- z → w → image ---

    def styles(self, z, psi=1.0):
        """A w for each layer from z (N, latent_dim): w̄ + ψ (f(z) − w̄), the same for all three. → (N, 3, w_dim).

        ψ < 1 is truncation in W (Karras et al. 2019, appendix B): w̄ is the running mean of w.
        """
        w = self.w_mean + psi * (self.mapping(z) - self.w_mean)
        return ops.repeat(ops.expand_dims(w, 1), len(LAYERS), axis=1)

    def synthesize(self, w, noise=None):
        """Images (N, 28, 28, 1) of a w for each layer (N, 3, w_dim), of noise (N, 1029), 0 where not given."""
        w = ops.convert_to_tensor(w)
        noise = ops.zeros((ops.shape(w)[0], PIXELS)) if noise is None else ops.convert_to_tensor(noise)
        return self.synthesis([w, noise])

    def decode(self, z):
        """Images of z (N, latent_dim), or of z and noise (N, latent_dim + 1029) as `prior` draws them."""
        z, noise = z[:, : self.latent_dim], z[:, self.latent_dim :]
        return self.synthesize(self.styles(z), noise if noise.shape[1] else None)

    def call(self, z, training=False):
        """As `decode`: what a step trains is drawn by `draw`."""
        return self.decode(z)

    def prior(self, n, rng):
        """`n` latent vectors and their noise, both standard normal. → float32 (n, latent_dim + 1029)."""
        return rng.standard_normal((n, self.latent_dim + PIXELS)).astype("float32")

    def page_network(self):
        """From z alone to the image without noise."""
        z = keras.Input((self.latent_dim,))
        return keras.Model(z, self.synthesis([layers.RepeatVector(len(LAYERS))(self.mapping(z)), Silence()(z)]))

    # --- what is measured ---

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """The path lengths in Z and in W, of pixels and of the classifier's features."""
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((2, PATHS, self.latent_dim)).astype("float32")
        noise = rng.standard_normal((PATHS, PIXELS)).astype("float32")
        w_a, w_b = (np.asarray(self.mapping(z)) for z in (a, b))

        def from_w(w):
            return self.synthesize(np.repeat(w[:, None], len(LAYERS), axis=1), noise)

        def from_z(z):
            return self.decode(np.concatenate([z, noise], axis=1))

        return [
            path_length(decode, *ends, walk, space, network=network, seed=seed)
            for network in (None, feature_network("mnist"))
            for decode, ends, walk, space in ((from_z, (a, b), arc, "Z"), (from_w, (w_a, w_b), straight, "W"))
        ]

    @classmethod
    def loss_in_words(cls, options):
        """The losses, and what is added to them."""
        penalty = {"penalty": "r1" if options["penalty_weight"] else "none"}
        words = GAN.loss_in_words({"loss": "non-saturating", "real_label": 1.0, **penalty, **options})
        return f"{words}, styles mixed with probability {options['mixing']:g}"


def straight(a, b, t):
    """The points (1 − t) a + t b, each pair at its own t. (N, d), (N, d), (N,) → (N, d)."""
    return (1 - t[:, None]) * a + t[:, None] * b


def arc(a, b, t):
    """The points of `latent.slerp`, each pair at its own t. (N, d), (N, d), (N,) → (N, d)."""
    lengths = [np.linalg.norm(end, axis=1, keepdims=True) for end in (a, b)]
    a, b, t = a / lengths[0], b / lengths[1], t[:, None]
    omega = 2 * np.arctan2(np.linalg.norm(a - b, axis=1, keepdims=True), np.linalg.norm(a + b, axis=1, keepdims=True))
    on_sphere = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    return on_sphere * straight(*lengths, t[:, 0])


def path_length(decode, a, b, walk, space, *, network=None, seed=0, step=PATH_STEP) -> MetricResult:
    """The mean squared speed of the image along a path: E ‖F(x(t + ε)) − F(x(t))‖² / ε², t uniform on [0, 1 − ε].

    x(t) = decode(walk(a, b, t)). F is the images' pixels on [−1, 1], summed, or the features of `network`. The paths
    are those of Karras et al. (2019, §4.1), whose F is a network trained on photographs.

    Args:
      decode: all N latent vectors (N, d) → N images; row by row with the same noise at every call.
      a: where the paths begin, (N, d).
      b: where they end, (N, d).
      walk: `arc` in Z, `straight` in W.
      space: its name, 'Z' or 'W'.
      network: a feature network, or None for pixels.
      seed: of t.
      step: ε.
    """
    t = np.random.default_rng([seed, len(a)]).uniform(0, 1 - step, len(a))
    images = [np.asarray(decode(walk(a, b, at).astype("float32"))) for at in (t, t + step)]
    before, after = ((x if network is None else network(x)[0]).reshape(len(a), -1).astype(float) for x in images)
    speeds = np.sum((after - before) ** 2, axis=1) / step**2
    about = {"unit": "summed squared pixels", "pixel_range": (-1.0, 1.0)} if network is None else {"network": network}
    return MetricResult.of(
        f"path length in {space}", float(speeds.mean()), len(a), better="lower", seed=seed,
        spread=float(speeds.std(ddof=1) / np.sqrt(len(a))), spread_kind="standard error", extra={"step": step}, **about,
    )  # fmt: skip
