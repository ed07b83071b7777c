import numpy as np
import pytest
from scipy import integrate, stats

from ganvae_lib import toy
from ganvae_lib.errors import CourseError
from ganvae_lib.toy import Mixture, Ring, jsd, kl, mlp, total_variation, wasserstein

GRID = np.linspace(-15, 15, 6001)
TWO = Mixture((-1.5, 2.0), (0.5, 1.2), (1, 3))


def gaussian(m, s):
    return Mixture(m, s).pdf(GRID)


def test_mixture_density_is_scipy_s_and_integrates_to_one():
    expected = 0.25 * stats.norm.pdf(GRID, -1.5, 0.5) + 0.75 * stats.norm.pdf(GRID, 2.0, 1.2)
    np.testing.assert_allclose(TWO.pdf(GRID), expected, rtol=1e-12)
    assert integrate.trapezoid(TWO.pdf(GRID), GRID) == pytest.approx(1, abs=1e-12)


def test_mixture_far_away_has_a_finite_log_and_the_score_is_its_slope():
    assert np.isfinite(TWO.log_pdf(1e4))
    h = 1e-5
    slope = (TWO.log_pdf(GRID + h) - TWO.log_pdf(GRID - h)) / (2 * h)
    np.testing.assert_allclose(TWO.score(GRID), slope, atol=1e-4)


def test_mixture_samples_have_its_distribution():
    x = TWO.sample(20_000, np.random.default_rng(0))
    cdf = lambda v: 0.25 * stats.norm.cdf(v, -1.5, 0.5) + 0.75 * stats.norm.cdf(v, 2.0, 1.2)  # noqa: E731
    assert stats.kstest(x, cdf).pvalue > 1e-3
    assert stats.kstest(x, stats.norm(1.1, 1.8).cdf).pvalue < 1e-6


@pytest.mark.parametrize(
    "arguments", [((0, 1), (1, 1, 1)), ((0, 1), 1.0, (1,)), (0.0, 0.0), (0.0, -1.0), ((0, 1), 1.0, (1, 0)), (np.nan,)]
)
def test_mixture_refuses_what_is_no_density(arguments):
    with pytest.raises(CourseError, match=r"means (need|must)"):
        Mixture(*arguments)


def test_divergences_of_two_gaussians_have_their_closed_forms():
    p, q = gaussian(0, 1), gaussian(1.5, 2)
    assert kl(p, q, GRID) == pytest.approx(np.log(2) + (1 + 1.5**2) / 8 - 0.5, abs=1e-9)
    assert kl(q, p, GRID) == pytest.approx(-np.log(2) + (4 + 1.5**2) / 2 - 0.5, abs=1e-9)
    shifted = gaussian(1.5, 1)
    assert total_variation(p, shifted, GRID) == pytest.approx(2 * stats.norm.cdf(0.75) - 1, abs=1e-6)
    assert wasserstein(p, shifted, GRID) == pytest.approx(1.5, abs=1e-6)
    assert wasserstein(p, gaussian(0, 2), GRID) == pytest.approx(np.sqrt(2 / np.pi), abs=1e-5)  # E|Z| (2 − 1)


def test_divergences_are_zero_on_equals_and_bounded_on_strangers():
    p, far = gaussian(-10, 0.1), gaussian(10, 0.1)
    for divergence in (kl, jsd, total_variation, wasserstein):
        assert divergence(p, p, GRID) == pytest.approx(0, abs=1e-12)
    assert jsd(p, far, GRID) == pytest.approx(np.log(2), abs=1e-9)
    assert total_variation(p, far, GRID) == pytest.approx(1, abs=1e-9)
    assert wasserstein(p, far, GRID) == pytest.approx(20, abs=1e-6)
    assert kl(p, far, GRID) == np.inf


def test_ring_samples_lie_on_it_and_its_density_integrates_to_one():
    ring = Ring()
    x = ring.sample(8000, np.random.default_rng(0))
    assert x.shape == (8000, 2) and x.dtype == np.float32
    found, good, counts = ring.coverage(x)
    assert found == 8 and good == pytest.approx(1 - np.exp(-4.5), abs=0.004)
    assert np.abs(counts - 1000).max() < 130
    side = np.linspace(-3, 3, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    assert np.exp(ring.log_pdf(grid)).sum() * 0.01**2 == pytest.approx(1, abs=1e-6)


def test_ring_coverage_counts_modes_not_stray_points():
    ring = Ring()
    one = np.tile(ring.centres[0], (1000, 1))
    assert ring.coverage(one)[:2] == (1, 1.0)
    assert ring.coverage(np.zeros((10, 2)))[:2] == (0, 0.0)  # the middle of the ring is no mode
    one[0] = ring.centres[3]  # a single lucky point is no mode either
    assert ring.coverage(one)[0] == 1
    assert ring.coverage(one)[2].tolist() == [999, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan)])
def test_ring_coverage_refuses_what_are_no_points(points):
    with pytest.raises(CourseError, match="shape"):
        Ring().coverage(points)


def test_mlp_fits_the_gan():
    import keras

    from ganvae_lib.models.gan import GAN

    keras.utils.set_random_seed(0)
    gan = GAN(mlp(2, 2, (16,)), mlp(2, 1, (16,)))
    gan.compile()
    x = Ring().sample(64, np.random.default_rng(0))
    losses = gan.fit(x, batch_size=32, epochs=1, verbose=0).history
    assert abs(losses["d_loss"][0] - np.log(4)) < 1
    assert gan(np.zeros((3, 2), "float32")).shape == (3, 2)


@pytest.mark.parametrize("name", ["kl", "jsd", "total_variation", "wasserstein"])
def test_what_is_no_density_is_answered(name):
    x = np.linspace(0, 1, 5)
    p = np.ones(5)
    for bad in (np.full(5, np.nan), np.full(5, np.inf), -p, p[:4], p * 1j, "p", [[1], [1, 2]]):
        for pair in ((bad, p), (p, bad)):
            with pytest.raises(CourseError) as told:
                getattr(toy, name)(*pair, x)
            assert "\n" not in str(told.value)
    with pytest.raises(CourseError, match="rising grid"):
        getattr(toy, name)(p, p, x[::-1])


@pytest.mark.parametrize(
    "arguments", [((),), (((0, 1),),), (0, np.inf), (0, np.nan), ((0, 1), 1, (1, np.nan)), (1e300,)]
)
def test_a_mixture_of_no_numbers_is_answered(arguments):
    with pytest.raises(CourseError):
        toy.Mixture(*arguments)


@pytest.mark.parametrize("n", [801, 700, 650])
def test_jsd_is_log_2_where_densities_underflow_into_each_other(n):
    x = np.linspace(-70, 70, n)
    assert jsd(Mixture((-20.0,)).pdf(x), Mixture((20.0,)).pdf(x), x) == pytest.approx(np.log(2), rel=1e-12)


@pytest.mark.parametrize("wrong", [{"modes": 0}, {"modes": 2.5}, {"modes": np.nan}, {"scale": 0.0}, {"radius": np.nan}])
def test_a_ring_that_is_none_is_refused(wrong):
    with pytest.raises(CourseError, match="whole number of modes"):
        Ring(**wrong)
