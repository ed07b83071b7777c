"""The bottleneck's game, its multiplier and its bound. These tests run on both backends (see test_jax.py)."""

import numpy as np
import pytest
from keras import ops

from ganvae_lib import losses, networks
from ganvae_lib.errors import CourseError
from ganvae_lib.models.bottleneck_gan import BottleneckGAN, bottleneck_discriminator
from ganvae_lib.models.variations import VARIATIONS, configuration
from ganvae_lib.training import adam, state_arrays

X = (np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)) / 127.5 - 1).astype("float32")


def small(**options):
    generator = networks.generator(latent_dim=5, hidden=(7 * 7 * 4,), filters=(4, 1))
    gan = BottleneckGAN(generator, bottleneck_discriminator(filters=(4, 8), code=3), **options)
    gan.compile()
    return gan


def fit(gan, steps=1):
    """The means over so many steps on the same batch."""
    history = gan.fit(np.tile(X, (steps, 1, 1, 1)), batch_size=8, epochs=1, verbose=0, shuffle=False).history
    return {name: values[0] for name, values in history.items()}


def test_the_code_is_gaussian_and_its_kl_that_of_its_two_heads():
    d = bottleneck_discriminator(filters=(4, 8), code=3)
    noise = np.random.default_rng(1).standard_normal((8, 3)).astype("float32")
    # The logit is a linear function of mu + σ ε: a second noise moves it by w · σ (ε' − ε).
    (a, kl), (b, _), (zero, _) = d([X, noise]), d([X, 2 * noise]), d([X, 0 * noise])
    assert kl.shape == (8,) and a.shape == (8, 1) and (np.asarray(kl) > 0).all()
    np.testing.assert_allclose(np.asarray(b) - np.asarray(a), np.asarray(a) - np.asarray(zero), atol=1e-5)
    for head in ("code_mu", "code_log_var"):  # both heads at zero: the code is N(0, I) and says nothing
        d.get_layer(head).set_weights([0 * w for w in d.get_layer(head).get_weights()])
    assert np.abs(np.asarray(d([X, noise])[1])).max() == 0


def test_beta_rises_by_its_step_times_what_is_too_much():
    gan = small(information=0.01, beta_step=0.1)
    gan.beta.assign(0.5)
    history = fit(gan)
    assert history["kl"] > 0.01
    assert history["beta"] == pytest.approx(0.5 + 0.1 * (history["kl"] - 0.01), rel=1e-5)


def test_beta_is_never_negative():
    """Not clamped, a bound that is not reached would reward information, without end."""
    gan = small(information=1e6)
    assert fit(gan, steps=2)["beta"] == 0.0 and float(gan.beta.value) == 0.0


def test_the_multiplier_is_part_of_the_state():
    assert sum("beta" in name.split("/")[-1] for name in state_arrays(small())) == 1


def test_the_bound_is_held_and_the_cross_entropy_obeys_it():
    """I(real?; code) ≤ KL, so the cross-entropy of any last layer is at least log 4 − 2 KL."""
    gan = small(information=0.05, beta_step=0.05)
    gan.d_optimizer.learning_rate.assign(5e-3)
    gan.g_optimizer.learning_rate.assign(0.0)  # a fixed G: D alone, for whom telling apart is easy
    free = small(information=1e6)
    free.d_optimizer.learning_rate.assign(5e-3)
    free.g_optimizer.learning_rate.assign(0.0)
    for model in (gan, free):
        fit(model, steps=400)
    last, unbounded = (fit(model, steps=400) for model in (gan, free))  # KL swings about I_c: its mean over many steps
    assert unbounded["d_loss"] < 0.2 and unbounded["kl"] > 1
    assert 0.01 < last["kl"] < 0.06 and last["beta"] > 0.5
    assert last["d_loss"] > np.log(4) - 2 * last["kl"] - 0.05  # 0.05: the noise of 50 batches of 8
    assert last["d_loss"] < np.log(4)


def test_the_generator_plays_against_the_mean_code():
    gan = small()
    gan.compile(d_optimizer=adam(0.0, name="d"), g_optimizer=adam(0.0, name="g"))
    gan.noise_seed.state.assign([0, 0])
    fake = gan.generator(gan.noise(8, 5))
    gan.noise_seed.state.assign([0, 0])
    expected = losses.non_saturating_loss(gan.discriminator([fake, ops.zeros((8, 3))])[0])
    assert fit(gan)["g_loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"loss": "wasserstein"}, {"information": 0.0}, {"beta_step": -1.0}])
def test_bad_options_are_answered(wrong):
    with pytest.raises(CourseError, match="must be"):
        small(**wrong)


def test_the_control_has_the_same_networks():
    configurations = {name: configuration("bottleneck-gan", name) for name in VARIATIONS["bottleneck-gan"]}
    assert len({str(c["discriminator"]) for c in configurations.values()}) == 1
    assert (
        configurations["minimax"]["model"]["loss"] == configurations["minimax-unbounded"]["model"]["loss"] == "minimax"
    )
    assert "at most 0.1 nats" in BottleneckGAN.loss_in_words(configurations["minimax"]["model"])


def test_samples_are_images():
    gan = small()
    z = gan.prior(3, np.random.default_rng(0))
    assert np.asarray(ops.convert_to_numpy(gan.decode(z))).shape == (3, 28, 28, 1)
