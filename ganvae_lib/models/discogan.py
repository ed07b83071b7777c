"""DiscoGAN (Kim et al. 2017): two domains, no pairs, a translator each way, and round trips that must come home."""

from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from .. import losses, networks
from ..data import load_mnist
from ..errors import CourseError
from ..metrics import MetricResult, feature_network
from ..paper import GAN, TRAINING
from ..quiet_keras import keras, layers, ops
from ..training import StepModel, adam, batched


def _thick(x):
    from scipy import ndimage

    return ndimage.grey_dilation(x, size=(1, 3, 3, 1)).astype("float32")


# Domain B: images (N, 28, 28, 1) of domain A → their partners in B, and the way back to where a digit can be read.
DOMAINS = {
    "inverse": (lambda x: -x, lambda x: -x),
    "rotated": (lambda x: np.rot90(x, 1, (1, 2)).copy(), lambda x: np.rot90(x, -1, (1, 2)).copy()),
    "thick": (_thick, lambda x: x),  # a thick digit is read as it is
}
# Which terms of L_G are trained, and in words: (looks like A, A → B → A, B → A → B). 'Looks like B' always is.
RECONSTRUCTIONS = {
    "both": ((1, 1, 1), "both round trips"),
    "one-trip": ((1, 1, 0), "the round trip A → B → A, both discriminators"),
    "one-way": ((0, 1, 0), "the round trip A → B → A"),
    "none": ((1, 0, 0), "no round trip"),
}


def translator(
    filters: tuple[int, ...] = (32, 64, 64), kernel_size: int = 4, groups: int = 8, name: str = "translator"
) -> keras.Model:
    """Image (N, 28, 28, 1) → image of the other domain, in (−1, 1). 264,369 parameters.

    Convolutions of stride 2: 14×14×32 → 7×7×64 → 4×4×64; at 4×4 a dense layer over the 16 places, the same for every
    channel, is added, so that a digit can be moved as a whole; transposed convolutions back to 32×32, cropped to 28×28.
    Group normalisation and LeakyReLU between.
    """
    x = h = keras.Input(TRAINING.image_shape)

    def block(h, layer):
        h = layers.GroupNormalization(groups, name=f"{layer.name}_norm")(layer(h))
        return layers.LeakyReLU(GAN.slope)(h)

    for i, n in enumerate(filters, 1):
        h = block(h, layers.Conv2D(n, kernel_size, 2, "same", name=f"{name}_conv_{i}"))
    places, channels = h.shape[1] * h.shape[2], h.shape[3]
    moved = layers.Permute((2, 1))(layers.Reshape((places, channels))(h))
    moved = layers.Permute((2, 1))(layers.Dense(places, name=f"{name}_places")(moved))
    h = layers.Add()([h, layers.Reshape(h.shape[1:])(moved)])
    h = block(h, layers.Conv2D(channels, kernel_size, 1, "same", name=f"{name}_middle"))
    for i, n in enumerate((*filters[-2::-1],), 1):
        h = block(h, layers.Conv2DTranspose(n, kernel_size, 2, "same", name=f"{name}_deconv_{i}"))
    h = layers.Conv2DTranspose(1, kernel_size, 2, "same", name=f"{name}_deconv_{len(filters)}")(h)
    if h.shape[1] > networks.IMAGE_SIZE:
        h = layers.Cropping2D((h.shape[1] - networks.IMAGE_SIZE) // 2)(h)
    return keras.Model(x, layers.Activation("tanh", dtype="float32", name=f"{name}_output")(h), name=name)


def critic(
    filters: tuple[int, ...] = (32, 64, 128), kernel_size: int = 4, normalisation: str = "layer", name: str = "critic"
) -> keras.Model:
    """Image (N, 28, 28, 1) → logit (N, 1) that it is a real one of its domain."""
    style = networks.Style(GAN.slope, normalisation)
    steps = networks._convolutions(filters, kernel_size, GAN.strides, name, style)
    steps += [layers.Flatten(), style.dense(1, name=f"{name}_logit"), networks._float32("linear", name)]
    return keras.Sequential([keras.Input(TRAINING.image_shape), *steps], name=name)


class DiscoGAN(StepModel):
    """G_AB and G_BA between two domains, D_A and D_B, and both round trips (Kim et al. 2017, eqs. 4 to 8).

        L_G = L_GAN(B) + L_GAN(A) + λ (E mean (x_a − G_BA(G_AB(x_a)))² + E mean (x_b − G_AB(G_BA(x_b)))²)

    Domain A is one half of the training images, domain B the other half through the map `domain`: no image of A has
    its partner in B. That map is known here, so that a judge can undo it; training never sees a pair.

    Args:
      g_ab, g_ba: translators.
      d_a, d_b: discriminators of the two domains.
      domain: 'inverse' (−x), 'rotated' (by 90°) or 'thick' (grey dilation by 3×3, which cannot be undone).
      reconstruction: 'both'; 'one-way', the paper's control: A → B → A with D_B alone, so that G_BA is there to come
        home only; 'one-trip': that round trip with both discriminators; 'none': two GANs that know nothing of each
        other.
      cycle_weight: λ. The squared error is a mean over pixels.
      seed: there is no noise; of the initial weights.
    """

    loss_names = ("d_loss", "g_loss", "round_trip")
    parts: ClassVar = {
        "g_ab": partial(translator, name="g_ab"),
        "g_ba": partial(translator, name="g_ba"),
        "d_a": partial(critic, name="d_a"),
        "d_b": partial(critic, name="d_b"),
    }
    page_part = "g_ab"
    latent_dim = networks.IMAGE_SIZE**2  # what stands for z is an image of A

    def __init__(self, g_ab=None, g_ba=None, d_a=None, d_b=None, domain="inverse", reconstruction="both",
                 cycle_weight=10.0, seed=0, name="discogan"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        for option, value, choices in (
            ("domain", domain, DOMAINS), ("reconstruction", reconstruction, RECONSTRUCTIONS)
        ):  # fmt: skip
            if value not in choices:
                raise CourseError(f"{option} must be one of {', '.join(choices)}; got {value!r}")
        given = {"g_ab": g_ab, "g_ba": g_ba, "d_a": d_a, "d_b": d_b}
        for part, network in given.items():
            setattr(self, part, self.parts[part]() if network is None else network)
        self.domain, self.reconstruction, self.cycle_weight = domain, reconstruction, cycle_weight
        self.to_b, self.undo = DOMAINS[domain]

    def compile(self, g_optimizer=None, d_optimizer=None, learning_rate=1e-3,
                d_learning_rate=TRAINING.learning_rate, beta_1=0.5, beta_2=0.999, **kwargs):  # fmt: skip
        """Adam for both translators together, and one for both discriminators."""

        def together(*networks):
            return SimpleNamespace(trainable_variables=[v for n in networks for v in n.trainable_variables])

        self.translators, self.critics = together(self.g_ab, self.g_ba), together(self.d_a, self.d_b)
        self.g_optimizer = g_optimizer or adam(learning_rate, beta_1, beta_2, name="g_adam")
        self.d_optimizer = d_optimizer or adam(d_learning_rate, beta_1, beta_2, name="d_adam")
        self.compile_players(
            {
                self.g_optimizer: self.translators.trainable_variables,
                self.d_optimizer: self.critics.trainable_variables,
            },
            **kwargs,
        )

    def step(self, x_a, x_b):
        """One step of both discriminators, then one of both translators, on x_a and x_b (N, 28, 28, 1)."""
        fake_a, fake_b = self.g_ba(x_b, training=True), self.g_ab(x_a, training=True)

        def d_loss():
            return sum(
                losses.discriminator_loss(d(real, training=True), d(ops.stop_gradient(fake), training=True))
                for d, real, fake in ((self.d_a, x_a, fake_a), (self.d_b, x_b, fake_b))
            )

        d_value = self.minimize(d_loss, self.critics, self.d_optimizer)
        g_value, parts = self.minimize(
            lambda: self.translators_loss(x_a, x_b), self.translators, self.g_optimizer, has_aux=True
        )
        return {"d_loss": d_value, "g_loss": g_value, **parts}

    def translators_loss(self, x_a, x_b):
        """L_G and, beside it, the round trips' mean squared error, whether it is trained on or not."""
        fake_b, fake_a = self.g_ab(x_a, training=True), self.g_ba(x_b, training=True)
        home_a = ops.mean(ops.square(x_a - self.g_ba(fake_b, training=True)))
        home_b = ops.mean(ops.square(x_b - self.g_ab(fake_a, training=True)))
        total = losses.non_saturating_loss(self.d_b(fake_b, training=True))
        (like_a, there, back), _ = RECONSTRUCTIONS[self.reconstruction]
        if like_a:
            total = total + losses.non_saturating_loss(self.d_a(fake_a, training=True))
        total = total + self.cycle_weight * (there * home_a + back * home_b)
        return total, {"round_trip": home_a + home_b}

    # --- what it answers for itself ---

    @classmethod
    def training_arrays(cls, data, options=None):
        """(x_a, x_b): one half of the training images, and the other half through the map `options['domain']`."""
        x, half = data.x_train, len(data.x_train) // 2
        order = np.random.default_rng(0).permutation(len(x))
        to_b, _ = DOMAINS[(options or {}).get("domain", "inverse")]
        return x[order[:half]], to_b(x[order[half : 2 * half]])

    def prior(self, n, rng):
        """There is no z: `n` images of domain A, of the half that training saw, flat. → float32 (n, 784)."""
        x_a, _ = self.training_arrays(load_mnist(), {"domain": self.domain})
        return x_a[rng.choice(len(x_a), n, replace=n > len(x_a))].reshape(n, -1)

    def decode(self, z):
        """Images of A, flat (N, 784) → their translations with the known map undone: scored against digits.

        `g_ab` itself gives them as images of B.
        """
        return self.undo(np.asarray(self.g_ab(ops.reshape(z, (-1, *TRAINING.image_shape)), training=False)))

    def page_network(self):
        """None: an image is not searched for in what a translator gives."""
        return None

    def translate(self, x, network):
        """`network` (`g_ab` or `g_ba`) on images x (N, 28, 28, 1), batch by batch. → NumPy (N, 28, 28, 1)."""
        return batched(lambda x: network(x, training=False), x)

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """By a classifier and by the known partner, both of which training never met; and the round trips."""
        x_b = self.to_b(x)
        in_b, in_a = self.translate(x, self.g_ab), self.translate(x_b, self.g_ba)
        home_a, home_b = self.translate(in_b, self.g_ba), self.translate(in_a, self.g_ab)
        classifier = feature_network("mnist")
        told = {"reference": reference, "seed": seed}
        results = []
        for way, found, partner, readable in (
            ("A → B", in_b, x_b, self.undo), ("B → A", in_a, x, lambda x: x)
        ):  # fmt: skip
            kept, real = (np.mean(classifier(readable(images))[1].argmax(axis=1) == y) for images in (found, partner))
            results.append(MetricResult.of(
                f"class kept, {way}", float(kept), len(x), network=classifier, unit="share", better="higher",
                floor=float(real), floor_how="the known partners themselves",
                spread=float(np.sqrt(kept * (1 - kept) / len(x))), spread_kind="standard error", **told,
            ))  # fmt: skip
            results.append(_squared_error(f"squared distance from the known partner, {way}", found, partner, told))
        results.append(_squared_error("round-trip error, A → B → A", home_a, x, told))
        results.append(_squared_error("round-trip error, B → A → B", home_b, x_b, told))
        return results

    def snapshots(self, x):
        """Of the first images: 'sources' in A, 'translations' in B, 'returned' to A; and 'back', B's partners in A."""
        x = x[:64]
        in_b = self.translate(x, self.g_ab)
        return {"sources": x, "translations": in_b, "returned": self.translate(in_b, self.g_ba),
                "back": self.translate(self.to_b(x), self.g_ba)}  # fmt: skip

    @classmethod
    def loss_in_words(cls, options):
        """Two GANs, and which round trips are trained."""
        _, told = RECONSTRUCTIONS[options["reconstruction"]]
        weight = "" if options["reconstruction"] == "none" else f", {options['cycle_weight']:g} × mean squared error"
        return f"binary cross-entropy, non-saturating, domain B {options['domain']}, {told}{weight}"


def _squared_error(name, found, wanted, told):
    """Σ over pixels of (found − wanted)², on [−1, 1], mean over images."""
    errors = np.sum((found - wanted) ** 2, axis=(1, 2, 3), dtype="float64")
    return MetricResult.of(
        name, float(errors.mean()), len(errors), unit="per image", better="lower", pixel_range=(-1.0, 1.0),
        spread=float(errors.std(ddof=1) / np.sqrt(len(errors))), spread_kind="standard error", **told,
    )  # fmt: skip
