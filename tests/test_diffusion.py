"""Diffusion against two cases where everything is known. These tests run on both backends (see test_jax.py)."""

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib.errors import CourseError
from ganvae_lib.models.diffusion import GREYS, PIXELS, Diffusion, denoiser, grey_log_likelihood
from ganvae_lib.models.variations import build, configuration

RNG = np.random.default_rng(0)
C = 0.2  # standard deviation of the Gaussian's pixels


class Known(keras.layers.Layer):
    """The v̂ = (α z − x̂)/σ of a known mean x̂(z, α, σ)."""

    def __init__(self, mean, **kwargs):
        super().__init__(**kwargs)
        self.mean = mean

    def call(self, z, log_snr):
        alpha, sigma = (ops.sqrt(ops.sigmoid(s * log_snr))[:, :, None, None] for s in (1.0, -1.0))
        return (alpha * z - self.mean(z, alpha, sigma)) / sigma


def known(mean, **options):
    z, log_snr = keras.Input((28, 28, 1)), keras.Input((1,))
    return Diffusion(keras.Model([z, log_snr], Known(mean)(z, log_snr)), average=0.0, **options)


def gaussian(**options):
    return known(lambda z, a, s: C**2 * a * z / (C**2 * a**2 + s**2), **options)


def test_the_bound_on_a_gaussian_is_its_log_density():
    """Prior and steps in closed form; with the exact p(x|z_0) after them the bound is log p(x), to the steps' width."""
    model, x = gaussian(), (C * RNG.standard_normal((100, 28, 28, 1))).astype("float32")
    terms = model.elbo_terms(x, np.zeros(256), levels=2_000, draws=20)
    snr = np.exp(np.linspace(6.0, -8.0, 2_001))
    mmse = C**2 / (1.0 + C**2 * snr)
    steps = 0.5 * PIXELS * np.sum((snr[:-1] - snr[1:]) * mmse[1:])
    assert terms["diffusion"].mean() == pytest.approx(-steps, rel=0.005)
    a, s = np.sqrt(snr[-1] / (1.0 + snr[-1])), np.sqrt(1.0 / (1.0 + snr[-1]))
    prior = 0.5 * PIXELS * (a**2 * C**2 + s**2 - 1.0 - 2.0 * np.log(s))
    assert terms["prior"].mean() == pytest.approx(-prior, rel=0.02)

    last = -0.5 * PIXELS * np.log(2.0 * np.pi * np.e * mmse[0])  # E log of the exact posterior of x given z_0
    exact = -0.5 * PIXELS * np.log(2.0 * np.pi * np.e * C**2)
    gap = exact - (last - steps - prior)
    assert 0.0 < gap < 4.0  # of 500 nats; it is the steps' width, and halves with it
    coarse = 0.5 * PIXELS * np.sum((snr[:-1:2] - snr[2::2]) * (C**2 / (1.0 + C**2 * snr[2::2])))
    assert (exact - (last - coarse - prior)) / gap == pytest.approx(2.0, abs=0.1)


def test_the_bound_on_fair_coins_is_784_ln_2():
    """Every pixel black or white by a fair coin: x̂ = tanh(α z/σ²), and no model can tell more than ln 2 a pixel."""
    model = known(lambda z, a, s: ops.tanh(a * z / s**2))
    x = np.where(RNG.random((50, 28, 28, 1)) < 0.5, -1.0, 1.0).astype("float32")
    log_frequency = np.full(256, -1e6)
    log_frequency[[0, 255]] = np.log(0.5)
    total = sum(model.elbo_terms(x, log_frequency, levels=4_000, draws=20).values()).mean()
    assert total == pytest.approx(-PIXELS * np.log(2.0), rel=0.02)
    worse = known(lambda z, a, s: 0.9 * ops.tanh(a * z / s**2))
    assert sum(worse.elbo_terms(x, log_frequency, levels=1_000, draws=20).values()).mean() < 1.1 * total


def test_the_greys_given_their_noisy_images_are_a_distribution():
    z = RNG.standard_normal((1, 1, 1, 1))
    log_frequency = np.log(np.arange(1, 257) / np.arange(1, 257).sum())
    one = [grey_log_likelihood(np.full((1, 1, 1, 1), g), z, 0.9, 0.4, log_frequency)[0] for g in GREYS]
    assert np.sum(np.exp(one)) == pytest.approx(1.0, abs=1e-9)
    even = grey_log_likelihood(np.full((1, 1, 1, 1), GREYS[200]), np.full((1, 1, 1, 1), 0.9 * GREYS[200]), 0.9, 1e-4,
                               np.zeros(256))  # fmt: skip
    assert even[0] == pytest.approx(0.0, abs=1e-6)  # little noise: the grey is known


def test_without_further_noise_a_gaussians_images_are_its_noise_scaled():
    z = RNG.standard_normal((2, PIXELS)).astype("float32")
    images = ops.convert_to_numpy(gaussian(sampling_steps=100).decode(z)).reshape(2, -1)
    # The flow takes z to z · sd(z_0), the last step to x̂(z_0): C z, but for what is left of noise in z_0.
    expected = C * z / np.sqrt(1.0 + np.exp(-6.0) / C**2)
    np.testing.assert_allclose(images, expected, atol=0.02)
    assert np.abs(images - 0.9 * expected).mean() > 0.01


def small():
    keras.utils.set_random_seed(0)
    model = Diffusion(denoiser((4, 4, 4), embedding=4, depth=1), sampling_steps=3, average=0.5)
    model.compile(learning_rate=5e-3)
    return model


def test_training_takes_noise_away_and_its_average_follows():
    model = small()
    x = np.broadcast_to(np.linspace(-1, 1, 28, dtype="float32")[None, :, None, None], (8, 28, 28, 1))
    z = RNG.standard_normal((8, 28, 28, 1)).astype("float32")
    far = lambda: float(ops.mean((model.mean_image(z, np.full((8, 1), -8.0, "float32")) - x) ** 2))  # noqa: E731
    before = far()
    first, *_, last = model.fit(np.tile(x, (50, 1, 1, 1)), batch_size=8, epochs=4, verbose=0).history["loss"]
    assert last < 0.7 * first
    assert far() < before  # from noise alone it has the mean of the images
    now, mean = model.denoiser.get_weights(), model.averaged.get_weights()
    assert any((a != b).any() for a, b in zip(now, mean, strict=True))
    model.fit(x, batch_size=8, epochs=1, verbose=0)
    for before, after, new in zip(mean, model.averaged.get_weights(), model.denoiser.get_weights(), strict=True):
        np.testing.assert_allclose(after, 0.5 * before + 0.5 * new, atol=1e-6)


def test_an_image_is_a_function_of_its_noise():
    model, z = small(), RNG.standard_normal((2, PIXELS)).astype("float32")
    a, b = (ops.convert_to_numpy(model.decode(z)) for _ in range(2))
    assert a.shape == (2, 28, 28, 1) and np.abs(a).max() <= 1 and (a == b).all() and (a[0] != a[1]).any()
    assert model.page_network() is None


def test_the_default_is_small_and_is_measured():
    model = build("diffusion", configuration("diffusion", "default"))
    assert 200_000 < model.denoiser.count_params() < 500_000
    metric = model.elbo(np.full((8, 28, 28, 1), -1, "float32"), reference_name="black", n=8)
    assert metric.name == "ELBO of the greys" and metric.value < 0
    assert metric.extra["bits per pixel"] == pytest.approx(-metric.value / PIXELS / np.log(2))


@pytest.mark.parametrize("wrong", [{"log_snr_max": -9.0}, {"sampling_steps": 0}, {"average": 1.0}])
def test_bad_options_are_answered(wrong):
    with pytest.raises(CourseError, match="must be"):
        Diffusion(denoiser((4, 4, 4), depth=1), **wrong)
    with pytest.raises(CourseError, match="three numbers"):
        denoiser((4, 4))
