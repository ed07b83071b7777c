"""The four networks of §3.2, and their variations: a variation is another argument, not another function.

Where the report's sizes do not determine a network, the choice is a default below and a row of 'Reading the report'.
Outputs are raw numbers (logits) except the generator's, which is tanh: the losses know what to do with logits.
"""

import math
from dataclasses import dataclass

from .errors import CourseError
from .paper import DECISIONS, GAN, TRAINING, VAE
from .quiet_keras import keras, layers

IMAGE_SIZE = TRAINING.image_shape[0]


def generator(
    latent_dim: int = GAN.latent_dim,
    hidden: tuple[int, ...] = GAN.generator_hidden,
    filters: tuple[int, ...] = GAN.generator_filters,
    grid: int = DECISIONS.generator_grid,
    kernel_size: int = GAN.kernel_size,
    normalisation: str = "none",
    initial_weights: str = "glorot",
) -> keras.Model:
    """G: z (N, 100) → image (N, 28, 28, 1) in (−1, 1). 79,733,249 parameters (§3.2.1).

    dense 6,272 → dense 12,544 → reshape 7×7×256 → transposed convolutions 14×14×64 → 28×28×1, tanh.
    """
    style = Style(GAN.slope, normalisation, initial_weights)
    steps = _dense(hidden, "generator", style)
    steps += _upsample(hidden[-1], grid, filters, kernel_size, GAN.strides, "generator", style)
    return keras.Sequential([keras.Input((latent_dim,)), *steps, _float32("tanh", "generator")], name="generator")


def discriminator(
    filters: tuple[int, ...] = GAN.discriminator_filters,
    kernel_size: int = GAN.kernel_size,
    normalisation: str = "none",
    initial_weights: str = "glorot",
    minibatch: tuple[int, int] = (),
) -> keras.Model:
    """D: image (N, 28, 28, 1) → logit (N, 1); σ(logit) = P(real). 4,305,409 parameters (§3.2.1).

    Convolutions of stride 2: 14×14×64 → 7×7×128 → 4×4×256 → 2×2×512, then one dense unit. With `minibatch` = (B, C)
    that unit sees B numbers more, which compare an image with the others of its batch (`MinibatchDiscrimination`).
    """
    style = Style(GAN.slope, normalisation, initial_weights)
    steps = _convolutions(filters, kernel_size, GAN.strides, "discriminator", style)
    compare = [MinibatchDiscrimination(*minibatch, name="discriminator_minibatch")] if minibatch else [layers.Flatten()]
    steps += [*compare, style.dense(1, name="discriminator_logit"), _float32("linear", "discriminator")]
    return keras.Sequential([keras.Input(TRAINING.image_shape), *steps], name="discriminator")


def encoder(
    latent_dim: int = VAE.latent_dim,
    filters: tuple[int, ...] = VAE.encoder_filters,
    hidden: tuple[int, ...] = VAE.encoder_hidden,
    kernel_size: int = VAE.kernel_size,
) -> keras.Model:
    """E: image (N, 28, 28, 1) → (mu, log_var), each (N, 10), of q(z|x). 1,761,428 parameters (§3.2.2).

    Convolutions of stride 2: 14×14×32 → 7×7×64, dense 512 → dense 256, and one linear head for each output.
    """
    x = h = keras.Input(TRAINING.image_shape)
    steps = _convolutions(filters, kernel_size, VAE.strides, "encoder", Style(VAE.slope))
    for step in [*steps, layers.Flatten(), *_dense(hidden, "encoder", Style(VAE.slope))]:
        h = step(h)
    mu, log_var = (
        _float32("linear", f"encoder_{name}")(layers.Dense(latent_dim, name=f"encoder_{name}")(h))
        for name in ("mu", "log_var")
    )
    return keras.Model(x, (mu, log_var), name="encoder")


def decoder(
    latent_dim: int = VAE.latent_dim,
    hidden: tuple[int, ...] = VAE.decoder_hidden,
    filters: tuple[int, ...] = VAE.decoder_filters,
    grid: int = DECISIONS.decoder_grid,
    kernel_size: int = VAE.kernel_size,
) -> keras.Model:
    """Dec: z (N, 10) → pixel logits a (N, 28, 28, 1); the image is x̂ = 2σ(a) − 1. 139,649 parameters.

    dense 256 → dense 512 → reshape 8×8×8 → transposed convolutions 16×16×64 → 32×32×1 → crop to 28×28 (§3.2.2).
    """
    style = Style(VAE.slope)
    steps = _dense(hidden, "decoder", style)
    steps += _upsample(hidden[-1], grid, filters, kernel_size, VAE.strides, "decoder", style)
    return keras.Sequential([keras.Input((latent_dim,)), *steps, _float32("linear", "decoder")], name="decoder")


def to_image(logits):
    """Pixel logits a → image x̂ = 2σ(a) − 1 = tanh(a/2): the Bernoulli mean on [−1, 1]."""
    return keras.ops.tanh(logits / 2)


def count(network, padding: bool = True) -> list[tuple[str, int, int]]:
    """What a network has and does: (name, parameters, multiply–adds for one image) of each layer with weights.

    A kernel k×k from m to n channels is used once at each place of its output, a transposed one at each of its input:
    k² m n · places. Biases, normalisations and activations are left out of the multiply–adds; the parameters are all
    that a layer keeps, batch normalisation's moving averages too. With `padding=False` the products with the zeros
    around an image are left out.
    """
    rows = []
    for layer in network.layers:
        if not layer.weights:
            continue
        adds = 0
        if isinstance(layer, layers.Dense):
            adds = math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        elif isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):  # one is the other backwards
            small, large = sorted((layer.input.shape[1], layer.output.shape[1]))
            k, stride = layer.kernel_size[0], layer.strides[0]
            start = [i * stride - max((small - 1) * stride + k - large, 0) // 2 for i in range(small)]
            inside = sum(min(i + k, large) - max(i, 0) for i in start)  # pixels that a row of the kernel lies on
            adds = (small * k if padding else inside) ** 2 * math.prod(layer.kernel.shape[2:])
        rows.append((layer.name, layer.count_params(), adds))
    return rows


def operations(network, padding: bool = True) -> int:
    """Floating-point operations of one image through a network: two a multiply–add of `count`."""
    return 2 * sum(adds for _, _, adds in count(network, padding))


# --- what stands between the layers ----------------------------------------------------------------------------------

NORMALISATIONS = ("none", "batch", "layer", "spectral")
INITIAL_WEIGHTS = {"glorot": lambda: "glorot_uniform", "dcgan": lambda: keras.initializers.RandomNormal(0.0, 0.02)}


@dataclass(frozen=True)
class Style:
    """What the layers of a network share: LeakyReLU's slope, a normalisation, the distribution of initial weights.

    'batch' and 'layer' normalise a layer's output before its activation; batch normalisation, as in DCGAN (Radford et
    al. 2015), not the generator's last layer nor the discriminator's first. 'layer' takes the mean over all units of an
    image. 'spectral' divides each kernel by its largest singular value (Miyato et al. 2018). 'dcgan' draws the weights
    from N(0, 0.02²), 'glorot' is Keras' default.
    """

    slope: float
    normalisation: str = "none"
    initial_weights: str = "glorot"

    def __post_init__(self):
        for option, choices in (("normalisation", NORMALISATIONS), ("initial_weights", INITIAL_WEIGHTS)):
            if getattr(self, option) not in choices:
                raise CourseError(f"{option} must be one of {', '.join(choices)}; got {getattr(self, option)!r}")

    def dense(self, units, name):
        """A dense layer."""
        kind = SpectralDense if self.normalisation == "spectral" else layers.Dense
        return kind(units, name=name, kernel_initializer=INITIAL_WEIGHTS[self.initial_weights]())

    def convolution(self, *args, transposed=False, small=False, name):
        """A convolution of padding 'same', or a transposed one; `small` where its output has very few pixels."""
        if transposed and self.normalisation == "spectral":
            raise CourseError(
                "spectral normalisation is built for the discriminator; the generator takes batch or none"
            )
        kind = (layers.Conv2DTranspose if transposed else
                SpectralConv2D if self.normalisation == "spectral" else
                TinyConv2D if small else layers.Conv2D)  # fmt: skip
        return kind(*args, "same", name=name, kernel_initializer=INITIAL_WEIGHTS[self.initial_weights]())

    def activation(self, name, first=False):
        """The normalisation, where there is one, and LeakyReLU. `first`: of a discriminator's first layer."""
        if self.normalisation == "batch" and not first:
            normal = [layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")]
        elif self.normalisation == "layer" and not first:
            normal = [Flat(layers.LayerNormalization(epsilon=1e-5, name="layer"), name=f"{name}_norm")]
        else:
            normal = []
        return [*normal, layers.LeakyReLU(self.slope)]


def _dense(units, name, style):
    return [
        step
        for i, n in enumerate(units, 1)
        for step in (style.dense(n, f"{name}_dense_{i}"), *style.activation(f"{name}_dense_{i}"))
    ]


def _convolutions(filters, kernel_size, strides, name, style):
    size, steps = IMAGE_SIZE, []
    for i, n in enumerate(filters, 1):
        size = -(-size // strides)
        layer = f"{name}_conv_{i}"
        steps.append(style.convolution(n, kernel_size, strides, small=size <= TinyConv2D.LARGEST, name=layer))
        steps += style.activation(layer, first=i == 1)
    return steps


class TinyConv2D(layers.Conv2D):
    """Keras' Conv2D, padding 'same', for outputs of very few pixels: one matrix product for each of them.

    The same kernel and the same function. Where a 5×5 kernel makes 2×2 pixels of 4×4, half of the kernel lies on
    padding, which a convolution multiplies too; and a CPU is faster at products of matrices than at convolutions.
    """

    LARGEST = 2  # output size, in pixels a side, up to which it pays

    def call(self, x):
        """X (N, size, size, channels) → (N, out, out, filters)."""
        ops, (k, _), (s, _), size = keras.ops, self.kernel_size, self.strides, x.shape[1]
        out = -(-size // s)
        before = max((out - 1) * s + k - size, 0) // 2  # padding above and to the left, as TensorFlow's 'same' has it
        seen = []  # for output pixel i: the input pixels it sees, and the part of the kernel that lies on them
        for start in (i * s - before for i in range(out)):
            first, end = max(start, 0), min(start + k, size)
            seen.append((slice(first, end), slice(first - start, end - start)))
        pixels = [
            ops.matmul(ops.reshape(x[:, rows, columns], (-1, part.shape[0])), part)
            for rows, k_rows in seen
            for columns, k_columns in seen
            for part in [ops.reshape(self.kernel[k_rows, k_columns], (-1, self.filters))]
        ]
        return ops.reshape(ops.stack(pixels, axis=1), (-1, out, out, self.filters)) + self.bias


class Spectral:
    """A layer whose kernel W is divided by its largest singular value σ(W) (Miyato et al. 2018).

    σ ≈ vᵀ W u with one step of the power iteration a training step, v = W u / |W u|, u = Wᵀ v / |Wᵀ v|; to the
    gradient u and v are constants. Keras' own `SpectralNormalization` writes the divided kernel back on one backend
    and not on the other.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.u = self.add_weight(
            shape=(self.kernel.shape[-1], 1), initializer="random_normal", trainable=False, name="u"
        )

    def divided_kernel(self, training):
        """W / σ(W), the power iteration gone on by a step in training."""
        ops = keras.ops
        w = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        fixed = ops.stop_gradient(w)
        v = ops.normalize(ops.matmul(fixed, self.u), axis=0)
        u = ops.normalize(ops.matmul(ops.transpose(fixed), v), axis=0)
        if training:
            self.u.assign(u)
        return self.kernel / ops.sum(v * ops.matmul(w, u))


class SpectralDense(Spectral, layers.Dense):
    """Keras' Dense with W / σ(W)."""

    def call(self, x, training=False):
        """X (N, inputs) → (N, units)."""
        y = keras.ops.matmul(x, self.divided_kernel(training))
        return y if self.bias is None else y + self.bias


class SpectralConv2D(Spectral, layers.Conv2D):
    """Keras' Conv2D with W / σ(W), W the kernel as a matrix (k·k·channels, filters)."""

    def call(self, x, training=False):
        """X (N, size, size, channels) → (N, out, out, filters)."""
        return keras.ops.conv(x, self.divided_kernel(training), self.strides, self.padding) + self.bias


class Flat(layers.Wrapper):
    """A layer applied to each image's units as one vector: layer normalisation over channels and pixels."""

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build((input_shape[0], math.prod(input_shape[1:])))
        self.built = True

    def call(self, x):
        """X (N, …) → (N, …)."""
        return keras.ops.reshape(self.layer(keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))), (-1, *x.shape[1:]))


class MinibatchDiscrimination(layers.Layer):
    """Feature maps beside how close each image is to the others of its batch (Salimans et al. 2016, §3.2).

    f_i is the mean of image i's features over its pixels, M_i = f_i T a matrix (B, C), T drawn from N(0, 1), and
    o(x_i)_b = E_{j ≠ i} exp(−‖M_ib − M_jb‖₁). The paper sums over j; a mean does not depend on the batch's size.
    """

    def __init__(self, kernels=100, dimensions=5, **kwargs):
        super().__init__(**kwargs)
        if kernels < 1 or dimensions < 1:
            raise CourseError(f"minibatch = (B, C) must be two numbers of 1 or more; got ({kernels}, {dimensions})")
        self.kernels, self.dimensions = kernels, dimensions

    def get_config(self):
        return super().get_config() | {"kernels": self.kernels, "dimensions": self.dimensions}

    def build(self, input_shape):
        shape = (input_shape[-1], self.kernels * self.dimensions)
        self.t = self.add_weight(shape=shape, initializer=keras.initializers.RandomNormal(0.0, 1.0), name="t")
        self.built = True

    def call(self, x):
        """X (N, size, size, channels) → (N, size·size·channels + B)."""
        ops = keras.ops
        m = ops.reshape(ops.matmul(ops.mean(x, axis=(1, 2)), self.t), (-1, self.kernels, self.dimensions))
        close = ops.exp(-ops.sum(ops.abs(m[:, None] - m[None]), axis=-1))  # (N, N, B); 1 where j = i
        others = ops.cast(ops.maximum(ops.shape(x)[0] - 1, 1), close.dtype)
        o = (ops.sum(close, axis=1) - 1.0) / others
        return ops.concatenate([ops.reshape(x, (-1, math.prod(x.shape[1:]))), o], axis=-1)


def copy(network, prefix):
    """The same network, weights and all, not to be trained, its layers called prefix_name: state is kept by name."""
    renamed = lambda layer: type(layer).from_config(layer.get_config() | {"name": f"{prefix}_{layer.name}"})  # noqa: E731
    twin = keras.models.clone_model(network, clone_function=renamed)
    twin.set_weights(network.get_weights())
    twin.trainable = False
    return twin


def _upsample(units, grid, filters, kernel_size, strides, name, style):
    """Reshape to grid×grid×c, then transposed convolutions, LeakyReLU between them, then a crop if too large."""
    size = grid * strides ** len(filters)
    if units % grid**2 or size < IMAGE_SIZE or (size - IMAGE_SIZE) % 2:
        raise CourseError(
            f"the {name}'s last dense layer ({units}) must fill a {grid}×{grid} grid, and {len(filters)} doublings "
            f"must take it to {IMAGE_SIZE} or evenly beyond (not {size}): choose units = {grid}·{grid}·channels"
        )
    steps = [layers.Reshape((grid, grid, units // grid**2))]
    for i, n in enumerate(filters, 1):
        layer = f"{name}_deconv_{i}"
        steps.append(style.convolution(n, kernel_size, strides, transposed=True, name=layer))
        if i < len(filters):
            steps += style.activation(layer)
    if size > IMAGE_SIZE:
        steps.append(layers.Cropping2D((size - IMAGE_SIZE) // 2))
    return steps


def _float32(activation, name):
    """The output in float32 under any precision policy, so that the losses are computed in float32."""
    return layers.Activation(activation, dtype="float32", name=f"{name}_output")
