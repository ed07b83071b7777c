"""Adversarial variational Bayes: T against closed forms, the step, the refit. On both backends (see test_jax.py)."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from ganvae_lib import losses, networks
from ganvae_lib.errors import CourseError
from ganvae_lib.models.adversarial_vae import AVB, black_box, pair_discriminator
from ganvae_lib.models.likelihood import Refit, black_box_metrics
from ganvae_lib.training import adam

D = 2
MU, LOG_VAR = np.array([1.0, -0.5], "float32"), np.array([-1.0, 0.5], "float32")  # of q
R_MU, R_LOG_VAR = np.array([0.5, 0.0], "float32"), np.array([-0.5, 0.0], "float32")  # of r, which is not q
EXACT_KL = 0.5 * float(np.sum(MU**2 + np.exp(LOG_VAR) - 1 - LOG_VAR))


def tiny_decoder():
    return networks.decoder(latent_dim=D, hidden=(8, 64), filters=(2, 1))


def gaussian_encoder(r_mu=R_MU, r_log_var=R_LOG_VAR):
    """Z ~ N(MU, e^LOG_VAR) whatever x is; it names the moments of r."""
    x, eps = keras.Input((28, 28, 1)), keras.Input((D,))
    z = eps * np.exp(LOG_VAR / 2) + MU
    return keras.Model([x, eps], (z, z * 0.0 + r_mu, z * 0.0 + r_log_var))


def quadratic_discriminator():
    """T = c + b·z + a·z²: the features of a log-ratio of two Gaussians."""
    x, z = keras.Input((28, 28, 1)), keras.Input((D,))
    return keras.Model([x, z], layers.Dense(1, kernel_initializer="zeros")(layers.Concatenate()([z, z * z])))


def trained_on_gaussians(contrast):
    avb = AVB(gaussian_encoder(), tiny_decoder(), quadratic_discriminator(), contrast=contrast, seed=1)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 400)
    avb.compile(optimizer=adam(learning_rate=0.0), t_optimizer=keras.optimizers.Adam(rate))
    avb.fit(np.zeros((2_000, 28, 28, 1), "float32"), batch_size=200, epochs=40, verbose=0)
    return avb


@pytest.mark.parametrize("contrast", ["none", "adaptive"])
def test_a_discriminator_with_the_right_features_is_the_log_ratio_and_tells_the_kl(contrast):
    avb = trained_on_gaussians(contrast)
    m, log_var = (0 * MU, 0 * LOG_VAR) if contrast == "none" else (R_MU, R_LOG_VAR)
    # log N(z; MU, e^LOG_VAR) − log N(z; m, e^log_var) with z = m + σ w, in powers of w:
    s2, ratio = np.exp(LOG_VAR), np.exp(log_var - LOG_VAR)
    square, linear = (1 - ratio) / 2, (MU - m) * np.exp(log_var / 2) / s2
    kernel = ops.convert_to_numpy(avb.discriminator.trainable_variables[0].value)[:, 0]
    np.testing.assert_allclose(kernel, [*linear, *square], atol=0.15)

    x = np.zeros((4_000, 28, 28, 1), "float32")
    noise = np.random.default_rng(0).standard_normal((4_000, D)).astype("float32")
    kl = ops.convert_to_numpy(avb.terms(x, noise)[1])
    assert kl.mean() == pytest.approx(EXACT_KL, abs=0.1)
    assert EXACT_KL > 0.5  # a T of the other sign, or none, would not come near


def test_with_no_t_the_adaptive_contrast_alone_tells_the_kl_of_its_gaussian():
    avb = AVB(gaussian_encoder(MU, LOG_VAR), tiny_decoder(), quadratic_discriminator())
    noise = np.random.default_rng(0).standard_normal((20_000, D)).astype("float32")
    _, w, log_r_over_p = avb.draw(np.zeros((20_000, 28, 28, 1), "float32"), noise)
    np.testing.assert_allclose(ops.convert_to_numpy(w), noise, atol=1e-5)
    assert ops.convert_to_numpy(log_r_over_p).mean() == pytest.approx(EXACT_KL, abs=0.05)


def small_avb(**options):
    encoder = black_box(latent_dim=D, filters=(4, 4), hidden=(16, 8), noise_vectors=4, noise_dim=3)
    return AVB(encoder, tiny_decoder(), pair_discriminator(D, filters=(4, 4), hidden=(16, 16)), **options)


X = np.full((8, 28, 28, 1), -1, "float32")  # a bright square at eight places
for i in range(8):
    X[i, 2 * i : 2 * i + 8, 10:20] = 0.8


def weights(*networks):
    return np.concatenate([np.ravel(ops.convert_to_numpy(v.value)) for n in networks for v in n.trainable_variables])


def fit_one_batch(avb):
    return {k: v[0] for k, v in avb.fit(X, batch_size=len(X), epochs=1, verbose=0, shuffle=False).history.items()}


def test_mean_and_variance_of_the_black_box_are_those_of_its_samples():
    encoder = black_box(latent_dim=D, filters=(4, 4), hidden=(16, 8), noise_vectors=4, noise_dim=3)
    noise = np.random.default_rng(0).standard_normal((4_000, 12)).astype("float32")
    z, mu, log_var = (
        ops.convert_to_numpy(part) for part in encoder([np.repeat(X[:1], 4_000, axis=0), noise], training=True)
    )
    np.testing.assert_allclose(z.mean(0), mu[0], atol=1e-3)
    np.testing.assert_allclose(z.var(0), np.exp(log_var[0]), rtol=0.1)
    assert np.exp(log_var[0]).min() > 1e-4  # there is a variance to be right about


def test_t_and_the_vae_are_each_moved_by_their_own_optimizer_only():
    avb = small_avb()
    avb.compile(t_optimizer=adam(learning_rate=0.0, name="t"))
    vae, t = weights(avb.encoder, avb.decoder), weights(avb.discriminator)
    fit_one_batch(avb)
    assert (weights(avb.discriminator) == t).all()
    assert (weights(avb.encoder, avb.decoder) != vae).any()

    avb = small_avb()
    avb.compile(optimizer=adam(learning_rate=0.0, name="still"))
    vae, t = weights(avb.encoder, avb.decoder), weights(avb.discriminator)
    fit_one_batch(avb)
    assert (weights(avb.discriminator) != t).any()
    assert (weights(avb.encoder, avb.decoder) == vae).all()


@pytest.mark.parametrize("contrast", ["none", "adaptive"])
def test_training_lowers_the_loss(contrast):
    avb = small_avb(contrast=contrast)
    avb.compile(learning_rate=0.003)
    first, *_, last = (fit_one_batch(avb) for _ in range(60))
    assert last["loss"] < 0.95 * first["loss"]
    assert last["loss"] == pytest.approx(last["reconstruction"] + last["kl"], rel=1e-4)


def test_the_refit_is_an_elbo_that_its_own_steps_raise():
    avb = small_avb()
    avb.compile(learning_rate=0.003)
    for _ in range(30):
        fit_one_batch(avb)

    def elbo(mu, log_var):
        rng, found = np.random.default_rng(1), []
        for _ in range(50):
            z = (mu + np.exp(log_var / 2) * rng.standard_normal(mu.shape)).astype("float32")
            found.append(ops.convert_to_numpy(losses.bernoulli_nll(X, avb.pixel_logits(z))))
        return -np.mean(found) - float(ops.mean(losses.gaussian_kl(mu, log_var)))

    start = [ops.convert_to_numpy(part) for part in avb.encode(X)]
    assert elbo(*Refit(avb, steps=100).encode(X)) > elbo(*start)

    found = {r.name: r for r in black_box_metrics(avb, X, reference_name="squares", n=8, k=20)}
    bound, refit = found["importance-weighted bound on log p(x)"], found["ELBO of a refitted Gaussian"]
    claimed = found["ELBO as T claims it (a bound if T is optimal)"]
    assert bound.value >= refit.value and refit.value == pytest.approx(elbo(*Refit(avb).encode(X)), abs=1.0)
    assert refit.extra["claimed"] == pytest.approx(claimed.value)  # the same eight images


def test_bad_options_are_answered():
    with pytest.raises(CourseError, match="contrast must be one of adaptive, none"):
        AVB(contrast="full")
