import numpy as np
import pytest

from ganvae_lib.metrics import (
    MetricError,
    gaussian_log_weights,
    importance_weighted_bound,
    reconstruction_metrics,
)
from ganvae_lib.metrics.reconstruction import gaussian_kl_units


def images(n=7, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=(n, 28, 28, 1)).astype("float32")


def by_name(results):
    return {r.name: r for r in results}


def test_errors_value_in_both_ranges():
    x = np.full((3, 28, 28, 1), 0.5, "float32")
    found = by_name(reconstruction_metrics(x, np.full_like(x, -0.1), reference="MNIST test set"))
    assert found["reconstruction MSE on [−1, 1]"].value == pytest.approx(0.36, rel=1e-6)
    assert found["reconstruction MSE on [0, 1]"].value == pytest.approx(0.09, rel=1e-6)
    assert found["reconstruction MAE on [−1, 1]"].value == pytest.approx(0.6, rel=1e-6)
    assert found["reconstruction MAE on [0, 1]"].value == pytest.approx(0.3, rel=1e-6)
    t, p = 0.75, 0.45
    bce = -t * np.log(p) - (1 - t) * np.log(1 - p)
    assert found["reconstruction BCE"].value == pytest.approx(bce, rel=1e-6)
    assert found["reconstruction BCE, summed"].value == pytest.approx(784 * bce, rel=1e-6)
    grey = -t * np.log(t) - (1 - t) * np.log(1 - t)
    assert found["reconstruction BCE"].floor == pytest.approx(grey, rel=1e-6)
    ranges = {r.name: r.pixel_range for r in found.values()}
    assert {name for name, pixel_range in ranges.items() if pixel_range == (-1.0, 1.0)} == {
        "reconstruction MSE on [−1, 1]",
        "reconstruction MAE on [−1, 1]",
    }
    assert set(ranges.values()) == {(-1.0, 1.0), (0.0, 1.0)}
    assert all(r.spread == pytest.approx(0, abs=1e-12) for r in found.values())
    assert all(r.extra["z"] == "mean" and r.n == 3 for r in found.values())


def test_blocks_change_nothing():
    x, x_hat = images(1203), images(1203, 1)
    found = by_name(reconstruction_metrics(x, x_hat))
    error = (x.astype(float) - x_hat) ** 2
    assert found["reconstruction MSE on [−1, 1]"].value == pytest.approx(error.mean(), rel=1e-12)
    spread = error.mean(axis=(1, 2, 3)).std(ddof=1) / np.sqrt(1203)
    assert found["reconstruction MSE on [−1, 1]"].spread == pytest.approx(spread, rel=1e-10)


def test_bce_of_logits_is_exact_where_the_sigmoid_saturates():
    x = np.where(images() > 0, 1.0, -1.0)
    logits = 40.0 * x
    logits[0, 0, 0, 0] *= -1  # one pixel, certain and wrong: 40 nats
    x_hat = np.tanh(logits / 2)
    exact = by_name(reconstruction_metrics(x, x_hat, logits=logits))["reconstruction BCE, summed"]
    assert exact.value == pytest.approx(40 / 7, rel=1e-12) and exact.extra["of_logits"] is True
    clipped = by_name(reconstruction_metrics(x, x_hat))["reconstruction BCE, summed"]
    assert clipped.value == pytest.approx(-np.log(1e-7) / 7, rel=1e-3)
    assert exact.floor == 0.0  # black and white have no entropy


def test_kl_elbo_and_active_units_value():
    x = images(500)
    rng = np.random.default_rng(2)
    mu, log_var = np.zeros((500, 3)), np.zeros((500, 3))
    mu[:, 0], log_var[:, 0] = rng.normal(size=500), np.log(0.04)  # the one unit that is used
    mu[:, 2] = 5.0  # far from the prior, yet the same for every image: not active
    found = by_name(reconstruction_metrics(x, x, mu=mu, log_var=log_var, z="sample", seed=3))
    kl = np.mean(0.5 * (mu[:, 0] ** 2 + 0.04 - 1 - np.log(0.04))) + 12.5
    assert found["KL to the prior"].value == pytest.approx(kl, rel=1e-12)
    assert found["active latent units"].value == 1 and found["active latent units"].unit == "of 3"
    assert found["active latent units"].extra["kl_of_units"][2] == pytest.approx(12.5)
    elbo, bce = found["ELBO"], found["reconstruction BCE, summed"]
    assert elbo.value == pytest.approx(-bce.value - kl, rel=1e-12)
    assert elbo.extra["z"] == "sample" and elbo.seed == 3 and elbo.better == "higher"
    names = by_name(reconstruction_metrics(x, x, mu=mu, log_var=log_var))
    assert "ELBO" not in names and "ELBO with z at its mean (no bound)" in names


def test_kl_is_zero_at_the_prior_and_equals_monte_carlo():
    assert not gaussian_kl_units(np.zeros((2, 3)), np.zeros((2, 3))).any()
    mu, log_var = np.array([[0.7, -1.0]]), np.array([[0.3, -1.2]])
    z = mu + np.exp(log_var / 2) * np.random.default_rng(0).normal(size=(400_000, 2))
    log_ratio = -0.5 * (log_var + (z - mu) ** 2 / np.exp(log_var)) + 0.5 * z**2
    np.testing.assert_allclose(gaussian_kl_units(mu, log_var)[0], log_ratio.mean(axis=0), atol=0.005)


def linear_gaussian(n, k, seed=0):
    """x = z + noise in one dimension: log p(x) is known, and q a little wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) * np.sqrt(1.25)
    mu, log_var = 0.7 * x, np.full((n, 1), np.log(0.3))
    z = mu[:, None] + np.exp(log_var / 2)[:, None] * rng.normal(size=(n, k, 1))
    log_p = -0.5 * np.log(2 * np.pi * 0.25) - (x[:, None] - z)[..., 0] ** 2 / 0.5
    exact = -0.5 * np.log(2 * np.pi * 1.25) - x[:, 0] ** 2 / 2.5
    return gaussian_log_weights(log_p, z, mu, log_var), exact


def test_bound_reaches_log_p_of_a_linear_gaussian_model():
    log_w, exact = linear_gaussian(400, 500)
    result = importance_weighted_bound(log_w, reference="linear-Gaussian")
    assert result.value == pytest.approx(exact.mean(), abs=0.01)
    assert result.spread == pytest.approx(exact.std(ddof=1) / 20, rel=0.02)
    assert result.extra["elbo"] == pytest.approx(log_w.mean(), rel=1e-12)
    assert result.extra["k"] == 500 and 1 < result.extra["mean_effective_samples"] < 500
    one = importance_weighted_bound(log_w[:, :1])
    assert one.value == pytest.approx(log_w[:, 0].mean(), rel=1e-12)  # the ELBO's estimate
    few = importance_weighted_bound(log_w[:, :5])
    assert one.value < few.value < result.value
    assert few.extra["bias_estimate"] == pytest.approx(few.value - exact.mean(), abs=0.1)


def test_bound_is_the_same_in_blocks_and_from_a_function():
    log_w, _ = linear_gaussian(37, 23)
    whole = importance_weighted_bound(log_w)
    for image_block, sample_block in ((1, 1), (10, 7), (100, 100)):
        asked, seen = [], []
        result = importance_weighted_bound(
            lambda i, s, asked=asked: asked.append((i, s)) or log_w[i, s],
            37,
            23,
            image_block=image_block,
            sample_block=sample_block,
            progress=lambda what, done, total, seen=seen: seen.append((done, total)),
        )
        assert result.value == pytest.approx(whole.value, rel=1e-13)
        assert result.extra == pytest.approx(whole.extra, rel=1e-12)
        assert len(asked) == -(-37 // image_block) * -(-23 // sample_block)
        assert seen[-1] == (37, 37)


def test_weights_of_any_size_and_of_zero():
    assert importance_weighted_bound(np.full((4, 3), -1e5)).value == pytest.approx(-1e5)
    log_w = np.array([[-np.inf, 0.0, -np.inf], [-np.inf, -np.inf, 2.0]])
    for block in (1, 2, 3):
        result = importance_weighted_bound(log_w, sample_block=block)
        assert result.value == pytest.approx(1 - np.log(3), rel=1e-14)
        assert result.extra["mean_effective_samples"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("log_w", "message"),
    [
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), np.inf), "∞"),
        (np.full((2, 2), -np.inf), "all 0"),
        (np.zeros(3), "shape"),
        (np.zeros((0, 3)), "shape"),
    ],
)
def test_bound_invalid_input(log_w, message):
    with pytest.raises(MetricError, match=message):
        importance_weighted_bound(log_w)


def test_bound_of_a_function_invalid_input():
    with pytest.raises(MetricError, match="at least 1"):
        importance_weighted_bound(lambda i, s: np.zeros((1, 1)))
    with pytest.raises(MetricError, match=r"must be \(2, 3\)"):
        importance_weighted_bound(lambda i, s: np.zeros((1, 1)), 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_hat": images(6)}, "same shape"),
        ({"x": images(0)}, "N ≥ 1"),
        ({"x": (images() * 127).astype("uint8")}, "float"),
        ({"x": images() * np.nan}, "NaN"),
        ({"x_hat": images() + 0.2}, r"\[−1, 1\]"),
        ({"logits": images(6)}, "shape of x"),
        ({"logits": images() * np.inf}, "finite"),
        ({"mu": np.zeros((7, 2))}, "come together"),
        ({"mu": np.zeros((7, 2)), "log_var": np.zeros((7, 3))}, r"\(N, d\)"),
        ({"mu": np.zeros((6, 2)), "log_var": np.zeros((6, 2))}, "one row for each"),
        ({"mu": np.full((7, 2), np.nan), "log_var": np.zeros((7, 2))}, "encoder"),
        ({"z": "mode"}, "'mean' or 'sample'"),
    ],
)
def test_invalid_input(change, message):
    with pytest.raises(MetricError, match=message):
        reconstruction_metrics(**({"x": images(), "x_hat": images(7, 1)} | change))


def test_one_image_has_no_standard_error():
    assert all(r.spread is None for r in reconstruction_metrics(images(1), images(1, 1)))


def test_the_bias_estimate_is_that_of_the_effective_number_of_draws():
    log_w = np.log(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]]))
    effective = np.array([6**2 / 14, 6**2 / 18])
    result = importance_weighted_bound(log_w)
    assert result.extra["bias_estimate"] == pytest.approx(np.mean(-0.5 * (1 / effective - 1 / 3)), rel=1e-12)
    assert result.value == pytest.approx(np.log(2)) and result.extra["k"] == 3


@pytest.mark.parametrize("bad", [np.ones((2, 3)) * 1j, [[1j, 1], [1, 1]], [[1.0], [1.0, 2.0]], [["a"]]])
def test_codes_and_logits_that_are_no_real_numbers_are_answered(bad):
    x = np.zeros((2, 28, 28, 1), "float32")
    for more in ({"mu": bad, "log_var": np.zeros((2, 3))}, {"mu": np.zeros((2, 3)), "log_var": bad}, {"logits": bad}):
        with pytest.raises(MetricError, match="real numbers"):
            reconstruction_metrics(x, x, **more)


def test_log_weights_of_other_shapes_are_refused_not_spread():
    rng = np.random.default_rng(0)
    log_p, z, mu = rng.normal(size=(5, 1)), rng.normal(size=(5, 1, 3)), rng.normal(size=(5, 3))
    assert gaussian_log_weights(log_p, z, mu, mu).shape == (5, 1)
    for wrong in ((log_p[:, 0], z, mu, mu), (log_p, z[:, 0], mu, mu), (log_p, z, mu[0], mu), (log_p, z, mu, mu[:, :1])):
        with pytest.raises(MetricError, match=r"must be \(N, K\), \(N, K, d\), \(N, d\)"):
            gaussian_log_weights(*wrong)


def test_one_image_alone_and_images_on_0_to_1_are_refused():
    x = images(2)
    for one in (x[0], x[0, :, :, 0], x[..., 0]):
        with pytest.raises(MetricError, match=r"\(N, 28, 28, 1\)"):
            reconstruction_metrics(one, one)
    with pytest.raises(MetricError, match="multiply by 2 and subtract 1"):
        reconstruction_metrics((x + 1) / 2, (x + 1) / 2)
    assert reconstruction_metrics(x, np.abs(x))  # a reconstruction may be all grey
