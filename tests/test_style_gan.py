"""The style idea's parts against what they claim. These tests run on both backends (see test_jax.py)."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib import latent, losses
from ganvae_lib.models import style_gan
from ganvae_lib.models.style_gan import PIXELS, StyleGAN, arc, path_length, straight
from ganvae_lib.models.variations import build, configuration
from ganvae_lib.training import assign_arrays, state_arrays

RNG = np.random.default_rng(0)
X = (RNG.integers(0, 256, (8, 28, 28, 1)) / 127.5 - 1).astype("float32")


def small(**options):
    f = style_gan.mapping(latent_dim=4, hidden=(8,), w_dim=6)
    g = style_gan.synthesis(w_dim=6, channels=4, filters=(4, 3))
    gan = StyleGAN(f, g, style_gan.discriminator((4, 8)), **options)
    gan.compile()
    return gan


def fit_one_batch(gan, steps=1):
    return gan.fit(X, batch_size=len(X), epochs=steps, verbose=0, shuffle=False).history


def as_numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def gan():
    """An untrained one that draws something: noise, whose strength is 0 at first, is let in."""
    keras.utils.set_random_seed(0)
    gan = small()
    for name in style_gan.LAYERS:
        layer = gan.synthesis.get_layer(f"synthesis_{name}_noise")
        layer.strength.assign(0.5 * np.ones(layer.strength.shape, "float32"))
    return gan


def test_sizes():
    f, g = style_gan.mapping(), style_gan.synthesis()
    assert (f.count_params(), g.count_params()) == (7_328, 88_369)
    assert f.count_params() + g.count_params() <= 100_000
    control = build("gan", configuration("gan", "style-control"))
    assert control.generator.count_params() == 98_813 and control.latent_dim == f.input_shape[-1]
    style = configuration("style-gan", "default")
    config = configuration("gan", "style-control")
    assert config["model"]["penalty"] == "r1" and config["model"]["penalty_weight"] == style["model"]["penalty_weight"]
    assert {k: config["compile"][k] for k in style["compile"]} == style["compile"]
    assert config["discriminator"]["filters"] == style["discriminator"]["filters"]


def test_the_mapping_forgets_the_length_of_z(gan):
    z = RNG.standard_normal((3, 4)).astype("float32")
    np.testing.assert_allclose(as_numpy(gan.mapping(z)), as_numpy(gan.mapping(3 * z)), rtol=1e-4, atol=1e-5)


def test_a_slow_mapping_starts_the_same_and_moves_a_hundredth_as_far():
    z, moved, starts = RNG.standard_normal((3, 4)).astype("float32"), [], []
    for rate in (1.0, 0.01):
        keras.utils.set_random_seed(0)
        f = style_gan.mapping(latent_dim=4, hidden=(8,), w_dim=6, rate=rate)
        starts.append(as_numpy(f(z)))
        kernel = f.get_layer("mapping_dense_2").kernel
        before = rate * as_numpy(kernel)
        adam = keras.optimizers.Adam(1e-3)
        adam.build([kernel])
        adam.apply([ops.ones(kernel.shape)], [kernel])
        moved.append(rate * as_numpy(kernel) - before)
    np.testing.assert_allclose(starts[1], starts[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(moved[1], 0.01 * moved[0], rtol=0.02)


def test_adaptive_instance_normalisation_sets_mean_and_deviation(gan):
    """After modulation each channel of an image has the mean B w and the deviation |1 + A w| of the layer's own w."""
    w = RNG.standard_normal((5, 3, 6)).astype("float32")
    noise = RNG.standard_normal((5, PIXELS)).astype("float32")
    for i, name in enumerate(style_gan.LAYERS):
        layer = gan.synthesis.get_layer(f"synthesis_{name}_modulation")
        h = as_numpy(keras.Model(gan.synthesis.inputs, layer.output)([w, noise]))
        gain, shift = (w[:, i] @ as_numpy(v) for v in (layer.gain, layer.shift))
        np.testing.assert_allclose(h.mean(axis=(1, 2)), shift, atol=1e-4)
        np.testing.assert_allclose(h.std(axis=(1, 2)), np.abs(1 + gain), rtol=1e-2, atol=1e-3)


def test_noise_is_scaled_by_its_strength_pixel_by_pixel():
    layer = style_gan.PixelNoise()
    h, noise = RNG.standard_normal((2, 3, 3, 4)).astype("float32"), RNG.standard_normal((2, 3, 3, 1)).astype("float32")
    np.testing.assert_array_equal(as_numpy(layer([h, noise])), h)  # strength 0 at first
    layer.strength.assign([0.0, 1.0, -2.0, 0.5])
    np.testing.assert_allclose(as_numpy(layer([h, noise])), h + np.array([0, 1, -2, 0.5]) * noise, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer, size", [*enumerate(style_gan.SIZES)])
def test_each_layer_has_its_own_noise(gan, layer, size):
    start = sum(s**2 for s in style_gan.SIZES[:layer])
    noise = np.zeros((1, PIXELS), "float32")
    noise[0, start : start + size**2] = RNG.standard_normal(size**2)
    name = style_gan.LAYERS[layer]
    seen = keras.Model(gan.synthesis.inputs, gan.synthesis.get_layer(f"synthesis_{name}_noise").output)
    w = as_numpy(gan.styles(RNG.standard_normal((1, 4)).astype("float32")))
    change = as_numpy(seen([w, noise])) - as_numpy(seen([w, np.zeros_like(noise)]))
    expected = 0.5 * noise[0, start : start + size**2].reshape(1, size, size, 1)
    np.testing.assert_allclose(change, np.broadcast_to(expected, change.shape), atol=1e-5)


def test_styles_mix_from_a_layer_on_with_the_given_probability():
    for mixing, shares in ((0.0, [1, 1, 1]), (1.0, [1, 0.5, 0]), (0.6, [1, 0.7, 0.4])):
        own = as_numpy(small(mixing=mixing, seed=3).draw(4_000)[2])
        assert own.shape == (4_000, 3) and (np.diff(own, axis=1) <= 0).all()
        assert own.mean(axis=0) == pytest.approx(shares, abs=0.03)


def test_what_is_trained_draws_a_mixed_image_with_the_ws_of_two_z(gan):
    z, other = RNG.standard_normal((2, 2, 4)).astype("float32")
    noise = RNG.standard_normal((2, PIXELS)).astype("float32")
    own = np.array([[1, 1, 0], [1, 1, 1]], "float32")
    w, w_other = as_numpy(gan.styles(z)), as_numpy(gan.styles(other))
    expected = gan.synthesize(np.where(own[:, :, None] == 1, w, w_other), noise)
    np.testing.assert_allclose(as_numpy(gan.generator([z, other, own, noise])), as_numpy(expected), atol=1e-5)
    assert np.abs(as_numpy(expected) - as_numpy(gan.synthesize(w, noise)))[0].max() > 1e-3


def test_truncation_draws_w_towards_its_mean():
    gan = small()
    gan.w_mean.assign(np.arange(6.0))
    z = RNG.standard_normal((3, 4)).astype("float32")
    w = as_numpy(gan.mapping(z))
    np.testing.assert_allclose(as_numpy(gan.styles(z, 0.5))[:, 2], 0.5 * w + 0.5 * np.arange(6), rtol=1e-5)
    np.testing.assert_allclose(as_numpy(gan.styles(z, 0.0))[:, 0], np.tile(np.arange(6), (3, 1)), rtol=1e-5)


def test_the_mean_of_w_is_followed_and_kept():
    gan = small()
    gan.mapping.trainable = False  # w̄ must come to the mean of a mapping that stands still
    fit_one_batch(gan, 2)
    first = as_numpy(gan.w_mean)
    z = RNG.standard_normal((20_000, 4)).astype("float32")
    mean = as_numpy(gan.mapping(z)).mean(axis=0)
    assert 0 < first @ mean / (mean @ mean) < 0.05
    assert any(v is gan.w_mean for v in gan.weights)


def test_the_losses_are_bce_of_mixed_fakes_and_r1_of_real_images():
    gan = small(seed=2, penalty_weight=3.0)
    gan.compile(learning_rate=0.0)
    fake = gan.generator(gan.draw(len(X)))
    gan.noise_seed.state.assign([2, 0])
    gradient = as_numpy(gan.input_gradient(gan.discriminator, ops.convert_to_tensor(X)))
    expected = float(losses.discriminator_loss(gan.discriminator(X), gan.discriminator(fake)))
    expected += 3.0 * 0.5 * np.mean(np.sum(gradient**2, axis=(1, 2, 3)))
    history = fit_one_batch(gan)
    assert history["d_loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["g_loss"][0] == pytest.approx(float(losses.non_saturating_loss(gan.discriminator(fake))), rel=1e-4)


def test_a_step_moves_both_of_the_generators_networks():
    gan = small()
    before = {v.path: as_numpy(v) for v in gan.trainable_variables}
    fit_one_batch(gan, 2)
    still = [v.path for v in gan.trainable_variables if (as_numpy(v) == before[v.path]).all()]
    assert not still


def test_a_checkpoint_holds_everything_once_and_resuming_is_bit_for_bit():
    one, other = small(seed=5), small(seed=6)
    assert max(Counter(v.path for v in one.state_variables()).values()) == 1
    everything = {id(v) for part in one.networks().values() for v in part.variables} | {id(one.w_mean)}
    assert everything == {id(v) for v in one.weights}
    fit_one_batch(one)
    assign_arrays(other, state_arrays(one), "there")
    for gan in (one, other):
        fit_one_batch(gan)
    now = state_arrays(other)
    assert all((array == now[path]).all() for path, array in state_arrays(one).items())


def test_priors_bring_their_noise_and_a_bare_z_is_drawn_without(gan):
    z = gan.prior(3, np.random.default_rng(0))
    assert z.shape == (3, 4 + PIXELS) and z.dtype == np.float32
    images, quiet = as_numpy(gan.decode(z)), as_numpy(gan.decode(z[:, :4]))
    assert images.shape == (3, 28, 28, 1) and np.abs(images).max() <= 1
    assert np.abs(images - quiet).max() > 1e-3
    np.testing.assert_allclose(quiet, as_numpy(gan.synthesize(gan.styles(z[:, :4]))), atol=1e-6)
    np.testing.assert_allclose(quiet, as_numpy(gan.page_network()(z[:, :4])), atol=1e-6)


def test_arcs_are_those_of_slerp():
    a, b = RNG.standard_normal((2, 3, 5))
    for i, t in enumerate(np.linspace(0, 1, 7)):
        expected = [latent.slerp(*pair, 7)[i] for pair in zip(a, b, strict=True)]
        np.testing.assert_allclose(arc(a, b, np.full(3, t)), expected, rtol=1e-5, atol=1e-6)


def test_path_lengths_of_a_linear_generator_are_exact():
    """x = A z: |A (b − a)|² on a straight line; on a circle of radius r through the angle ω, r² ω² of the plane."""
    matrix = RNG.standard_normal((2, 784)) / 28
    a, b = RNG.standard_normal((2, 50, 2)).astype("float32")

    def decode(z):
        return (z @ matrix).reshape(-1, 28, 28, 1)

    found = path_length(decode, a, b, straight, "W", step=0.01)
    assert found.value == pytest.approx(np.mean(np.sum(((b - a) @ matrix) ** 2, axis=1)), rel=1e-3)
    assert found.name == "path length in W" and found.n == 50 and found.spread > 0
    q = np.linalg.qr(matrix.T)[0].T  # orthonormal rows: lengths are those of z
    angle = RNG.uniform(0.3, 2.5, 50)
    start, end = (2 * np.stack([np.cos(v), np.sin(v)], axis=1).astype("float32") for v in (0 * angle, angle))
    found = path_length(lambda z: (z @ q).reshape(-1, 28, 28, 1), start, end, arc, "Z", step=0.01)
    assert found.value == pytest.approx(np.mean((2 * angle) ** 2), rel=1e-3)


def test_measured_paths_hold_the_noise_still(gan, monkeypatch):
    monkeypatch.setattr(style_gan, "PATHS", 20)
    found = {m.name: m for m in gan.measure(X, None, reference="eight images", seed=1)}
    names = ["path length in Z", "path length in W"]
    assert list(found) == [*names, *(f"MNIST-classifier {name}" for name in names)]
    # Fresh noise at each end of a step of ε would add its own difference over ε²: millions.
    assert all(0 < m.value < 1e5 for m in found.values())
    again = gan.measure(X, None, reference="eight images", seed=1)
    assert [m.value for m in again] == [m.value for m in found.values()]


def test_the_record_says_what_was_trained():
    words = StyleGAN.loss_in_words(configuration("style-gan", "default")["model"])
    assert words.startswith("binary cross-entropy, non-saturating generator") and "1 R1" in words
    assert words.endswith("styles mixed with probability 0.9")
