"""Closed forms against Monte Carlo and against scipy; reductions; numbers that stay finite at extreme logits."""

import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from ganvae_lib import GAN, losses, networks
from ganvae_lib.training import BACKEND, StepModel, value_and_gradient

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


def test_feature_matching_compares_the_means_over_the_images():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(5, 3)).astype("float32"), rng.normal(1.0, size=(7, 3)).astype("float32")
    expected = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    assert float(losses.feature_matching_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_the_information_of_a_class_is_log_k_plus_the_log_probability_of_the_one_that_was_asked_for():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    asked = np.array([0, 2, 1, 1])
    log_q = np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(4), asked]
    found = np.asarray(losses.class_information(np.eye(3, dtype="float32")[asked], logits))
    np.testing.assert_allclose(found, np.log(3) + log_q, rtol=1e-5)


def test_the_information_of_uniform_codes_is_log_2_and_a_normal_log_density_for_each():
    rng = np.random.default_rng(0)
    c, mu, log_var = (rng.normal(size=(4, 2)).astype("float32") for _ in range(3))
    expected = np.sum(np.log(2) + stats.norm.logpdf(c, mu, np.exp(log_var / 2)), axis=1)
    np.testing.assert_allclose(np.asarray(losses.uniform_information(c, mu, log_var)), expected, rtol=1e-5)


def test_the_importance_weighted_bound_is_the_log_of_a_mean_weight():
    log_weights = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    expected = -np.mean(np.log(np.mean(np.exp(log_weights), axis=1)))
    assert float(losses.negative_importance_weighted_bound(log_weights)) == pytest.approx(expected, rel=1e-5)


# --- critics and penalties against closed forms -------------------------------------------------------------------


W = RNG.normal(size=(1, 28, 28, 1)).astype("float32")


def linear(x):
    return ops.sum(W * x, axis=(1, 2, 3))


def test_r1_of_a_linear_critic_is_half_its_squared_slope():
    gradient = StepModel().input_gradient(linear, ops.convert_to_tensor(X))
    assert float(losses.r1_penalty(gradient)) == pytest.approx(0.5 * np.sum(W**2), rel=1e-5)


def test_the_gradient_penalty_is_two_sided_and_zero_at_unit_slope():
    norm = float(np.sqrt(np.sum(W**2)))
    for slope in (1.0, 0.5, 2.0):
        gradient = StepModel().input_gradient(lambda x, s=slope: s / norm * linear(x), ops.convert_to_tensor(X))
        assert float(losses.lipschitz_penalty(gradient)) == pytest.approx((slope - 1.0) ** 2, abs=1e-5)


def test_the_gradient_penalty_of_a_constant_critic_has_a_gradient():
    """The root of 0 has none: 1e-12 stands inside it."""
    zero = ops.zeros((3, 4))
    value, gradient = value_and_gradient(losses.lipschitz_penalty, zero)
    assert float(value) == pytest.approx(1.0, abs=1e-5) and np.isfinite(np.asarray(gradient)).all()


def test_hinge_at_its_corners():
    at = lambda a: np.array([[a]], "float32")  # noqa: E731
    for real, fake, loss in ((1, -1, 0), (3, -9, 0), (0, 0, 2), (-1, 1, 4), (1, 1, 2), (-1, -1, 2)):
        assert float(losses.hinge_discriminator_loss(at(real), at(fake))) == loss
    assert float(losses.wasserstein_generator_loss(at(2))) == -2


def test_the_best_one_lipschitz_critic_of_point_masses_has_loss_minus_w1():
    """W₁ by linear programming over transport plans, and over 1-Lipschitz functions of the points: duality."""
    x, y = RNG.normal(size=(5, 2)), RNG.normal(size=(7, 2)) + 1
    points, cost = np.concatenate([x, y]), np.linalg.norm(x[:, None] - y, axis=-1)
    rows, columns = np.kron(np.eye(5), np.ones(7)), np.kron(np.ones(5), np.eye(7))
    primal = optimize.linprog(
        cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=np.r_[np.full(5, 1 / 5), np.full(7, 1 / 7)]
    )
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    slope = np.array([np.eye(12)[i] - np.eye(12)[j] for i, j in pairs])
    bound = [np.linalg.norm(points[i] - points[j]) for i, j in pairs]
    weights = np.r_[np.full(5, 1 / 5), np.full(7, -1 / 7)]
    dual = optimize.linprog(-weights, A_ub=slope, b_ub=bound, bounds=[(-20, 20)] * 12)
    critic = dual.x.astype("float32")
    assert float(losses.wasserstein_critic_loss(critic[:5, None], critic[5:, None])) == pytest.approx(
        -primal.fun, rel=1e-5
    )


def test_the_gradient_penalty_looks_between_real_and_fake_with_one_alpha_an_image():
    """Where D's gradient is taken, every pixel of an image lies at the same share of the way."""
    seen = []

    class Watched(GAN):
        def input_gradient(self, critic, x):
            seen.append(ops.convert_to_numpy(x))
            return super().input_gradient(critic, x)

    generator = networks.generator(latent_dim=3, hidden=(49,), filters=(2, 1))
    gan = Watched(generator, networks.discriminator(filters=(2,)), loss="wasserstein", penalty="gradient_penalty")
    gan.compile(run_eagerly=True, jit_compile=False)
    fake = ops.convert_to_tensor(RNG.uniform(-1, 1, X.shape).astype("float32"))
    if BACKEND == "jax":  # not inside a trace: the optimizer's step alone
        gan.vjp = lambda fn, network, has_aux=False: (fn(), lambda v: [0.0 * w for w in network.trainable_variables])
    gan.discriminator_step(ops.convert_to_tensor(X), fake)
    share = ((seen[0] - np.asarray(fake)) / (X - np.asarray(fake))).reshape(len(X), -1)
    assert np.abs(X - np.asarray(fake)).min() > 1e-6
    np.testing.assert_allclose(share, np.median(share, axis=1, keepdims=True) + 0 * share, atol=1e-2)
    assert (share[:, 0] >= 0).all() and (share[:, 0] <= 1).all() and np.ptp(np.median(share, axis=1)) > 0.01
