"""What the GAN adds to Algorithm 1 by argument: each against its formula, on the step's own noise."""

import numpy as np
import pytest
from keras import ops

from ganvae_lib import GAN, losses, networks
from ganvae_lib.errors import CourseError
from ganvae_lib.training import adam

X = (np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)) / 127.5 - 1).astype("float32")


def after_a_step(g_rate=0.0, d_rate=0.0, **options):
    """A GAN, the fake batch and the uniform numbers of its first step, and the losses of that step."""
    generator = networks.generator(latent_dim=5, hidden=(12, 7 * 7 * 4), filters=(4, 1))
    gan = GAN(generator, networks.discriminator(filters=(4, 8)), seed=3, **options)
    gan.compile(d_optimizer=adam(d_rate, name="d"), g_optimizer=adam(g_rate, name="g"))
    fake = gan.generator(gan.noise(len(X), gan.latent_dim), training=True)
    alpha = np.reshape(np.asarray(ops.convert_to_numpy(gan.uniform(len(X), 1))), (-1, 1, 1, 1))
    gan.noise_seed.state.assign([3, 0])  # wind the noise back: the step shall draw the same
    before = gan.generator.get_weights()
    history = gan.fit(X, batch_size=len(X), epochs=1, verbose=0, shuffle=False).history
    return gan, fake, alpha, before, history


def squared_slopes(gan, x):
    gradient = np.asarray(ops.convert_to_numpy(gan.input_gradient(gan.discriminator, ops.convert_to_tensor(x))))
    return np.sum(gradient.astype(float) ** 2, axis=(1, 2, 3))


def test_r1_is_half_the_squared_slope_on_real_images():
    gan, fake, _, _, history = after_a_step(penalty="r1", penalty_weight=7.0)
    plain = float(losses.discriminator_loss(gan.discriminator(X), gan.discriminator(fake)))
    expected = plain + 7.0 * 0.5 * squared_slopes(gan, X).mean()
    assert history["d_loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["d_loss"][0] != pytest.approx(plain, rel=1e-4)


def test_the_gradient_penalty_is_taken_between_real_and_fake():
    gan, fake, alpha, _, history = after_a_step(loss="wasserstein", penalty="gradient_penalty", penalty_weight=5.0)
    fake = np.asarray(ops.convert_to_numpy(fake))
    plain = float(losses.wasserstein_critic_loss(gan.discriminator(X), gan.discriminator(fake)))
    between = np.sqrt(squared_slopes(gan, (alpha * X + (1 - alpha) * fake).astype("float32")))
    assert history["d_loss"][0] == pytest.approx(plain + 5.0 * np.mean((between - 1) ** 2), rel=1e-4)
    other = np.sqrt(squared_slopes(gan, ((1 - alpha) * X + alpha * fake).astype("float32")))
    assert history["d_loss"][0] != pytest.approx(plain + 5.0 * np.mean((other - 1) ** 2), rel=1e-6)


def test_real_and_fake_images_are_normalised_apart():
    """D's loss is that of two batches; over one joint batch its normalisation would read the share of fakes."""
    generator = networks.generator(latent_dim=5, hidden=(12, 7 * 7 * 4), filters=(4, 1))
    gan = GAN(generator, networks.discriminator(filters=(4, 8), normalisation="batch"), seed=3)
    gan.compile(d_optimizer=adam(0.0, name="d"), g_optimizer=adam(0.0, name="g"))
    fake = ops.convert_to_numpy(gan.generator(gan.noise(len(X), gan.latent_dim), training=True))
    gan.noise_seed.state.assign([3, 0])
    apart = [gan.discriminator(x, training=True) for x in (X, fake)]
    joint = gan.discriminator(np.concatenate([X, fake]), training=True)
    value = gan.fit(X, batch_size=len(X), epochs=1, verbose=0, shuffle=False).history["d_loss"][0]
    assert value == pytest.approx(float(losses.discriminator_loss(*apart)), rel=1e-4)
    assert value != pytest.approx(float(losses.discriminator_loss(*ops.split(joint, 2))), rel=1e-3)


def test_a_soft_label_is_the_losss_own():
    gan, fake, _, _, history = after_a_step(real_label=0.9)
    expected = float(losses.discriminator_loss(gan.discriminator(X), gan.discriminator(fake), 0.9))
    assert history["d_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["d_loss"][0] != pytest.approx(
        float(losses.discriminator_loss(gan.discriminator(X), gan.discriminator(fake))), rel=1e-5
    )


def test_the_average_moves_by_its_share_and_is_what_draws():
    gan, _, _, before, _ = after_a_step(g_rate=0.01, average=0.75)
    for mean, old, new in zip(gan.averaged.get_weights(), before, gan.generator.get_weights(), strict=True):
        np.testing.assert_allclose(mean, 0.75 * old + 0.25 * new, atol=1e-6)
        assert np.abs(new - old).max() > 1e-3
    z = np.ones((2, 5), "float32")
    np.testing.assert_array_equal(np.asarray(gan.decode(z)), np.asarray(gan.averaged(z, training=False)))


def test_clipping_holds_every_weight_of_the_critic():
    gan, *_ = after_a_step(d_rate=0.5, loss="wasserstein", clip=0.02)
    largest = max(np.abs(w).max() for w in gan.discriminator.get_weights())
    assert largest == pytest.approx(0.02) and np.abs(gan.generator.get_weights()[0]).max() > 0.02


@pytest.mark.parametrize("option", ["penalty_weight", "clip", "historical"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_no_weight_is_refused(option, value):
    with pytest.raises(CourseError, match=f"{option} must be 0 or more"):
        GAN(networks.generator(3, (49,), (2, 1)), networks.discriminator((2,)), **{option: value})


def test_a_generator_with_spectral_normalisation_is_refused():
    with pytest.raises(CourseError, match="built for the discriminator"):
        networks.generator(3, (49,), (2, 1), normalisation="spectral")
