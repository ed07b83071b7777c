"""Closed forms against Monte Carlo and against scipy; reductions; numbers that stay finite at extreme logits."""

import numpy as np
import pytest
from scipy import stats

from ganvae_lib import losses

RNG = np.random.default_rng(0)
X = (RNG.integers(0, 256, (4, 28, 28, 1)) / 127.5 - 1).astype("float32")
LOGITS = RNG.normal(size=(4, 28, 28, 1)).astype("float32") * 2


def log_sigmoid(a):
    return -np.logaddexp(0, -a)


def test_discriminator_loss_is_the_negated_value_function():
    real, fake = RNG.normal(size=(64, 1)).astype("float32"), RNG.normal(size=(64, 1)).astype("float32")
    value = log_sigmoid(real).mean() + np.log1p(-1 / (1 + np.exp(-fake))).mean()
    assert float(losses.discriminator_loss(real, fake)) == pytest.approx(-value, rel=1e-5)


def test_an_undecided_discriminator_costs_log_4():
    zero = np.zeros((8, 1), "float32")
    assert float(losses.discriminator_loss(zero, zero)) == pytest.approx(np.log(4), rel=1e-6)
    assert float(losses.minimax_loss(zero)) == pytest.approx(-np.log(2), rel=1e-6)
    assert float(losses.non_saturating_loss(zero)) == pytest.approx(np.log(2), rel=1e-6)


def test_label_smoothing_is_cross_entropy_against_the_soft_label():
    real, fake = RNG.normal(size=(64, 1)).astype("float32"), np.full((64, 1), -50, "float32")  # fakes cost nothing
    expected = -(0.9 * log_sigmoid(real) + 0.1 * log_sigmoid(-real)).mean()
    assert float(losses.discriminator_loss(real, fake, 0.9)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [losses.minimax_loss, losses.non_saturating_loss])
def test_both_generator_losses_fall_as_the_fakes_look_more_real(loss):
    assert float(loss(np.full((4, 1), 1, "float32"))) < float(loss(np.full((4, 1), -1, "float32")))


def test_gan_losses_are_finite_at_extreme_logits():
    a = np.array([[1e4], [-1e4]], "float32")
    assert float(losses.discriminator_loss(a, a)) == pytest.approx(1e4)
    assert float(losses.non_saturating_loss(a)) == pytest.approx(5e3)


def test_gaussian_kl_is_zero_at_the_prior_only():
    zero = np.zeros((2, 10), "float32")
    assert np.asarray(losses.gaussian_kl(zero, zero)).tolist() == [0, 0]
    assert (np.asarray(losses.gaussian_kl(zero + 0.1, zero)) > 0).all()
    assert (np.asarray(losses.gaussian_kl(zero, zero - 0.1)) > 0).all()


def test_gaussian_kl_agrees_with_monte_carlo():
    mu, log_var = np.array([0.5, -1.0, 0.0]), np.array([-1.0, 0.3, 0.0])
    z = mu + np.exp(log_var / 2) * RNG.standard_normal((400_000, 3))
    log_ratio = stats.norm.logpdf(z, mu, np.exp(log_var / 2)).sum(1) - stats.norm.logpdf(z).sum(1)
    error = log_ratio.std() / np.sqrt(len(z))
    closed = float(losses.gaussian_kl(mu[None].astype("float32"), log_var[None].astype("float32"))[0])
    assert abs(closed - log_ratio.mean()) < 4 * error < 0.02


def test_bernoulli_nll_sums_over_pixels_and_keeps_the_batch():
    t, p = (X + 1) / 2, 1 / (1 + np.exp(-LOGITS))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(np.asarray(losses.bernoulli_nll(X, LOGITS)), expected, rtol=1e-5)


def test_bernoulli_nll_is_least_at_the_pixels_own_grey():
    t = np.clip((X + 1) / 2, 1e-6, 1 - 1e-6)
    best = np.log(t / (1 - t)).astype("float32")
    assert (np.asarray(losses.bernoulli_nll(X, best)) < np.asarray(losses.bernoulli_nll(X, best + 0.1))).all()
    entropy = stats.bernoulli.entropy(t).sum((1, 2, 3))
    np.testing.assert_allclose(np.asarray(losses.bernoulli_nll(X, best)), entropy, rtol=1e-3)


def test_squared_error_is_a_gaussian_likelihood_of_variance_one_half():
    nll = -stats.norm.logpdf(X, LOGITS, np.sqrt(0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(np.asarray(losses.squared_error(X, LOGITS)) + losses.GAUSSIAN_CONSTANT, nll, rtol=1e-5)


def test_the_elbo_is_a_sum_and_the_product_a_product():
    reconstruction, kl = np.array([100.0, 200.0], "float32"), np.array([3.0, 5.0], "float32")
    assert float(losses.negative_elbo(reconstruction, kl)) == 154
    assert float(losses.negative_elbo(reconstruction, kl, beta=10.0)) == 190
    assert float(losses.product_loss(reconstruction, kl)) == 600
    assert float(losses.product_loss(reconstruction, 0 * kl)) == 0  # a collapsed code costs nothing
