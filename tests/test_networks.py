"""The four networks of §3.2: parameter counts, shapes, ranges, and the errors of impossible sizes."""

import numpy as np
import pytest

from ganvae_lib import networks
from ganvae_lib.errors import CourseError
from ganvae_lib.models.variations import VARIATIONS, build, configuration
from ganvae_lib.training import value_and_gradient


@pytest.mark.parametrize(
    ("network", "count"),
    [("generator", 79_733_249), ("discriminator", 4_305_409), ("encoder", 1_761_428), ("decoder", 139_649)],
)
def test_parameter_counts_of_the_report(network, count):
    assert getattr(networks, network)().count_params() == count


def test_shapes_and_ranges():
    z, x = np.random.default_rng(0).standard_normal((3, 100)).astype("float32") * 9, np.zeros((3, 28, 28, 1), "float32")
    images = np.asarray(networks.generator(hidden=(49 * 8,))(z))
    assert images.shape == (3, 28, 28, 1) and np.abs(images).max() <= 1
    assert networks.discriminator()(x).shape == (3, 1)
    mu, log_var = networks.encoder()(x)
    assert mu.shape == log_var.shape == (3, 10)
    logits = networks.decoder()(z[:, :10])
    assert logits.shape == (3, 28, 28, 1)
    assert np.abs(np.asarray(networks.to_image(logits))).max() <= 1


def test_the_discriminator_halves_four_times():
    shapes = [layer.output.shape[1:] for layer in networks.discriminator().layers if "conv" in layer.name]
    assert shapes == [(14, 14, 64), (7, 7, 128), (4, 4, 256), (2, 2, 512)]


@pytest.mark.parametrize("kernel, strides, size", [(5, 2, 4), (5, 2, 3), (3, 2, 4), (3, 1, 2), (5, 2, 1)])
def test_a_tiny_convolution_is_keras_own(kernel, strides, size):
    x = np.random.default_rng(0).standard_normal((3, size, size, 6)).astype("float32")
    plain = networks.layers.Conv2D(7, kernel, strides, "same")
    tiny = networks.TinyConv2D(7, kernel, strides, "same")
    plain(x), tiny(x)
    weights = [plain.get_weights()[0], np.arange(7, dtype="float32")]
    plain.set_weights(weights), tiny.set_weights(weights)
    np.testing.assert_allclose(np.asarray(tiny(x)), np.asarray(plain(x)), atol=1e-5)

    def gradient(layer):
        square = lambda v: networks.keras.ops.sum(layer(v) ** 2)  # noqa: E731
        return np.asarray(value_and_gradient(square, networks.keras.ops.convert_to_tensor(x))[1])

    np.testing.assert_allclose(gradient(tiny), gradient(plain), atol=1e-3)


def test_the_tiny_convolution_is_the_discriminators_last_and_nobody_elses():
    kinds = [type(layer).__name__ for layer in networks.discriminator().layers if "conv" in layer.name]
    assert kinds == ["Conv2D", "Conv2D", "Conv2D", "TinyConv2D"]


@pytest.mark.parametrize(
    ("layer", "size", "padded", "needed"),
    [
        (networks.layers.Dense(7), None, 2 * 3 * 7, 2 * 3 * 7),
        # 4×4 → 2×2, kernel 5: rows 0–3 and 1–3 of the image lie under it, so 7 of 10 each way.
        (networks.layers.Conv2D(6, 5, 2, "same"), 4, 2 * 3 * 6 * 10**2, 2 * 3 * 6 * 7**2),
        (networks.layers.Conv2DTranspose(6, 5, 2, "same"), 2, 2 * 3 * 6 * 10**2, 2 * 3 * 6 * 7**2),
        (networks.layers.Conv2D(6, 3, 1, "same"), 3, 2 * 3 * 6 * 9**2, 2 * 3 * 6 * 7**2),
        (networks.TinyConv2D(6, 5, 2, "same"), 4, 2 * 3 * 6 * 10**2, 2 * 3 * 6 * 7**2),
    ],
)
def test_operations_are_counted_with_and_without_padding(layer, size, padded, needed):
    network = networks.keras.Sequential([networks.keras.Input((3,) if size is None else (size, size, 3)), layer])
    assert networks.operations(network) == padded
    assert networks.operations(network, padding=False) == needed


def test_the_count_is_that_of_the_report_layer_by_layer():
    rows = networks.count(networks.decoder())
    assert [(n, adds) for _, n, adds in rows] == [
        (10 * 256 + 256, 10 * 256), (256 * 512 + 512, 256 * 512),
        (9 * 8 * 64 + 64, 9 * 8 * 64 * 8**2), (9 * 64 + 1, 9 * 64 * 16**2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "normalisation, more", [("none", 0), ("batch", 4 * 8), ("layer", 2 * 7 * 7 * 8), ("spectral", 0)]
)
def test_parameters_are_counted_whatever_normalises_the_layers(normalisation, more):
    network = networks.discriminator((4, 8), normalisation=normalisation)
    rows = networks.count(network)
    weights = 25 * 4 + 4, 25 * 4 * 8 + 8, 7 * 7 * 8 + 1
    vectors = (4 + 8 + 1) if normalisation == "spectral" else 0  # u of each kernel, for its largest singular value
    assert sum(n for _, n, _ in rows) == network.count_params() == sum(weights) + more + vectors
    assert networks.operations(network) == 2 * (25 * 4 * 14**2 + 25 * 4 * 8 * 7**2 + 7 * 7 * 8)


def test_to_image_is_twice_the_sigmoid_minus_one():
    a = np.linspace(-8, 8, 33, dtype="float32")
    np.testing.assert_allclose(np.asarray(networks.to_image(a)), 2 / (1 + np.exp(-a)) - 1, atol=1e-6)


@pytest.mark.parametrize("arguments", [{"hidden": (100,)}, {"grid": 5}, {"filters": (1,)}])
def test_sizes_that_cannot_reach_28_are_refused(arguments):
    with pytest.raises(CourseError, match="the decoder's last dense layer"):
        networks.decoder(**arguments)


# The generator's 79.7 million parameters take a second to build each time, so its variations are not all built here.
@pytest.mark.parametrize(
    "kind, name", [("vae", v) for v in VARIATIONS["vae"]] + [("gan", v) for v in ("dcgan-like", "compact")]
)
def test_every_variation_builds_a_model_of_28_by_28_images(kind, name):
    model = build(kind, configuration(kind, name))
    decode = model.decode if kind == "vae" else model
    assert decode(np.zeros((2, model.latent_dim), "float32")).shape == (2, 28, 28, 1)


def test_a_configuration_spells_out_the_defaults():
    config = configuration("vae", "latent-2")
    assert config["encoder"]["latent_dim"] == config["decoder"]["latent_dim"] == 2
    assert config["decoder"]["hidden"] == [256, 512] and config["model"]["beta"] == 1.0


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(CourseError, match="one of gan, vae"):
        configuration("flow")
    with pytest.raises(CourseError, match="latent-2"):
        configuration("vae", "latent-3")


def test_initial_weights_are_a_function_of_the_seed():
    def weights(seed):
        return np.concatenate([np.ravel(w) for w in build("vae", configuration("vae", "narrow"), seed).get_weights()])

    assert (weights(1) == weights(1)).all() and (weights(1) != weights(2)).any()
