import mpmath as mp
import numpy as np
import pytest

from ganvae_lib.metrics import FeatureStats, MetricError, frechet_distance
from ganvae_lib.metrics.frechet import frechet_value, jackknife, nuclear_norm, without_a_part


def truth(x, y, digits=50):
    """(distance, trace) of features x, y as `digits`-digit numbers, from the definition."""
    with mp.workdps(2 * digits):

        def centred(v):
            rows = [[mp.mpf(float(e)) for e in row] for row in v]
            mean = [mp.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
            return mean, mp.matrix([[e - m for e, m in zip(row, mean, strict=True)] for row in rows])

        def factor(c):
            """A with AᵀA = cᵀc and no more rows than need be."""
            if c.rows <= c.cols:
                return c
            values, axes = mp.eigsy(c.T * c)
            return mp.diag([mp.sqrt(max(e, 0)) for e in values]) * axes.T

        (mean_x, x), (mean_y, y) = centred(x), centred(y)
        n, m = mp.mpf(x.rows - 1), mp.mpf(y.rows - 1)
        traces = mp.fsum(e**2 for e in x) / n + mp.fsum(e**2 for e in y) / m
        nuclear = mp.fsum(mp.svd_r(factor(x) * factor(y).T, compute_uv=False)) / mp.sqrt(n * m)
        means = mp.fsum((a - b) ** 2 for a, b in zip(mean_x, mean_y, strict=True))
        return means + traces - 2 * nuclear, traces


def pair(kind, d=8, n=32):
    rng = np.random.default_rng(7)
    x, y = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) for _ in "xy")
    low_x, low_y = (rng.normal(size=(n, d // 4)) @ rng.normal(size=(d // 4, d)) for _ in "xy")
    scale = np.logspace(0, -8, d)  # standard deviations: the covariance has a condition number of 1e16
    turn_x, turn_y = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in "xy")
    dead = np.arange(d) % 2
    return {
        "full rank": (x, y + 0.1),
        "rank d/4": (low_x, low_y),
        "rank d/4 against full": (low_x, y),
        "rank 16 of 64": tuple(rng.normal(size=(24, 16)) @ rng.normal(size=(16, 64)) for _ in "xy"),
        "identical": (x, x),
        "identical, rank d/4": (low_x, low_x),
        "dead columns": (np.maximum(x, 0) * dead, np.maximum(y, 0) * dead),
        "no column alive in both": (x * dead, y * (1 - dead)),
        "condition 1e16": (x * scale, y * scale),
        "condition 1e16, turned": (x * scale @ turn_x, y * scale @ turn_y),
        "condition 1e16 against full": (x * scale @ turn_x, y),
        "duplicate columns": (np.c_[x, x], np.c_[y, y + x]),
        "N = 32 < d = 256": (rng.normal(size=(32, 256)), rng.normal(size=(32, 256)) + 0.1),
        "times 1e6": (x * 1e6, y * 1e6),
        "times 1e-6": (x * 1e-6, y * 1e-6),
        "mean / std 1e6": (x + 1e6, y + 1e6),
        "mean / std 1e6, rank d/4": (low_x + 1e6, low_y + 1e6),
    }[kind]


KINDS = [
    "full rank", "rank d/4", "rank d/4 against full", "rank 16 of 64", "identical", "identical, rank d/4",
    "dead columns",
    "no column alive in both", "condition 1e16", "condition 1e16, turned", "condition 1e16 against full",
    "duplicate columns", "N = 32 < d = 256", "times 1e6", "times 1e-6", "mean / std 1e6", "mean / std 1e6, rank d/4",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_within_1e_12_of_the_trace_of_50_digit_arithmetic(kind):
    """The bar is 1e-9; a covariance matrix in float64 already misses it on some of these."""
    x, y = pair(kind)
    exact, traces = truth(x, y)
    batches = FeatureStats()
    for batch in np.array_split(x, 5):
        batches.update(batch)
    for a, b in ((x, y), (y, x), (batches, FeatureStats.from_features(y))):
        assert abs(float((mp.mpf(float(frechet_distance(a, b))) - exact) / traces)) < 1e-12
    if "identical" in kind:
        assert abs(exact) < 1e-50 * traces and float(frechet_distance(x, y)) / float(traces) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_shortcut_is_refused_where_it_would_cost_digits(kind):
    """The eigenvalues of M Mᵀ give as many digits as the SVD of M, or are not used."""
    a, b = (FeatureStats.from_features(v) for v in pair(kind))
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    exact = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum() / np.sqrt((a.n - 1) * (b.n - 1))
    assert abs(nuclear_norm(a, b, 1e-10 * traces) - exact) < 1e-12 * traces
    assert abs(nuclear_norm(a, b, 0.0) - exact) < 1e-14 * traces  # no tolerance, no shortcut


@pytest.mark.parametrize("kind", KINDS)
def test_from_covariances_as_good_as_a_covariance_matrix_can_be(kind):
    """In float64 it hides variances below 1e-16 of the largest: their square roots are 1e-8."""
    x, y = pair(kind)
    exact, traces = truth(x, y)
    a, b = (FeatureStats.from_covariance(len(v), v.mean(axis=0), np.cov(v.T)) for v in (x, y))
    for first, second in ((a, b), (b, a)):
        error = abs(float((mp.mpf(float(frechet_distance(first, second))) - exact) / traces))
        assert error < (1e-8 if kind == "condition 1e16 against full" else 1e-10)
    value = float(frechet_distance(a, b))
    assert a.factor is not None and a.given is None  # now from the factors
    assert float(frechet_distance(a, b)) == pytest.approx(value, rel=1e-6, abs=1e-9 * float(traces))


def test_gaussians_value():
    """N(0, I) against N(m, s²I) in d dimensions: ‖m‖² + d (s − 1)², from published mean and covariance."""
    a = FeatureStats.from_covariance(100, np.zeros(4), np.eye(4))
    b = FeatureStats.from_covariance(100, np.array([1.0, 2.0, 0.0, 0.0]), 9 * np.eye(4))
    assert float(frechet_distance(a, b)) == pytest.approx(5 + 4 * 4, rel=1e-14)


def test_images_of_a_linear_map_value():
    """Where C_b = T C_a T with T symmetric positive definite, T is the transport map: d² = ‖x T − x‖² / (n − 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 10)) @ rng.normal(size=(10, 10))
    t = rng.normal(size=(10, 10))
    t = t @ t.T / 10 + 0.1 * np.eye(10)
    y = x @ t
    moved = (x - x.mean(0)) @ (t - np.eye(10))
    exact = np.sum(moved**2) / 299 + np.sum((x.mean(0) - y.mean(0)) ** 2)
    assert float(frechet_distance(x, y)) == pytest.approx(exact, rel=1e-12)


def test_consistency():
    x, y = pair("full rank")
    value = float(frechet_distance(x, y))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert float(frechet_distance(y, x)) == pytest.approx(value, rel=1e-13)
    assert float(frechet_distance(x @ turn + 3, y @ turn + 3)) == pytest.approx(value, rel=1e-12)
    assert float(frechet_distance(5 * x, 5 * y)) == pytest.approx(25 * value, rel=1e-12)
    assert float(frechet_distance(x.astype("f4"), y.astype("f4"))) == pytest.approx(value, rel=1e-6)
    assert float(frechet_distance(x * 1e-150, y * 1e-150)) == pytest.approx(1e-300 * value, rel=1e-12)
    assert float(frechet_distance(x * 1e100, y * 1e100)) == pytest.approx(1e200 * value, rel=1e-12)


def test_the_result_says_what_it_is_of():
    x, y = pair("full rank")
    result = frechet_distance(x, y[:20], reference="MNIST test set")
    assert (result.name, result.n, result.n_reference) == ("Fréchet distance", 32, 20)
    assert (result.reference, result.better, result.spread) == ("MNIST test set", "lower", None)


def parts(x, k):
    return [FeatureStats.from_features(p) for p in np.array_split(x, k)]


def test_jackknife_equals_leaving_out_the_images():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 5)), 1.5 * rng.normal(size=(40, 5)) + 1
    theta, error, infinite = jackknife(parts(x, 6), parts(y, 4))
    without_x = [float(frechet_distance(np.delete(x, range(s, s + 10), 0), y)) for s in range(0, 60, 10)]
    without_y = [float(frechet_distance(x, np.delete(y, range(s, s + 10), 0))) for s in range(0, 40, 10)]
    assert theta == pytest.approx(float(frechet_distance(x, y)), rel=1e-13)
    assert infinite == pytest.approx(
        theta + 5 * (theta - np.mean(without_x)) + 3 * (theta - np.mean(without_y)), rel=1e-7
    )
    assert error == pytest.approx(np.sqrt(5 * np.var(without_x) + 3 * np.var(without_y)), rel=1e-6)


def test_extrapolation_and_spread_hold_on_known_gaussians():
    """Fifty draws of N = 500 from N(0, I) and N(0, 1.44 I), d = 16: the true distance is 16 · 0.2² = 0.64."""
    rng = np.random.default_rng(5)
    found = np.array(
        [
            jackknife(parts(rng.normal(size=(500, 16)), 10), parts(1.2 * rng.normal(size=(500, 16)), 10))
            for _ in range(50)
        ]
    )
    raw, error, infinite = found.T
    assert raw.mean() - 0.64 > 3 * raw.std()  # the bias that small N brings
    assert abs(infinite.mean() - 0.64) < 3 * infinite.std() / np.sqrt(50)
    assert 0.8 < error.mean() / infinite.std() < 1.25


def test_a_list_of_parts_gives_spread_and_extrapolation():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(500, 4)), rng.normal(size=(500, 4))
    result = frechet_distance(parts(x, 10), FeatureStats.from_features(y))
    assert result.value == pytest.approx(float(frechet_distance(x, y)), rel=1e-11)
    assert result.spread_kind == "standard error" and result.spread > 0
    assert result.extra["parts"] == [10, 1] and result.extra["infinite_n"] < result.value


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "one feature network"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
        (np.zeros((5, 3)), np.full((5, 3), np.inf), "infinity"),
        (np.zeros((0, 3)), np.zeros((5, 3)), "N ≥ 1"),
        (np.zeros(3), np.zeros((5, 3)), "shape"),
        (np.eye(3) * 1e200, np.eye(3), "too large"),
        (np.eye(3) + 1e200, np.eye(3), "too large"),
        ([], FeatureStats.from_features(np.eye(3)), "empty"),
        (FeatureStats(), FeatureStats.from_features(np.eye(3)), "d = None"),
    ],
)
def test_invalid_input(a, b, message):
    with pytest.raises(MetricError, match=message):
        frechet_distance(a, b)


def test_parts_too_small_to_leave_one_out():
    with pytest.raises(MetricError, match="use fewer parts"):
        frechet_distance(parts(np.eye(2), 2), parts(np.eye(2), 2))


def test_statistics_too_large_to_square():
    a = FeatureStats.from_features(np.eye(3))
    with pytest.raises(MetricError, match="too large"):
        frechet_value(FeatureStats.from_features(np.eye(3) + 1e200), a)


def test_rounding_never_makes_it_negative():
    for seed in range(60):
        x = np.random.default_rng(seed).normal(size=(50, 6))
        assert 0 <= float(frechet_distance(x, x[::-1])) < 1e-13


def test_a_negative_variance_is_refused_wherever_the_other_covariance_reaches():
    flat = FeatureStats.from_covariance(9, np.zeros(2), np.diag([1.0, 0.0]))  # it does not see the second coordinate
    for covariance in (np.diag([1.0, -0.5]), -np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]])):
        with pytest.raises(MetricError, match="negative variance: compute it again"):
            frechet_distance(flat, FeatureStats.from_covariance(9, np.zeros(2), covariance))
    nothing = FeatureStats.from_covariance(9, np.zeros(2), np.zeros((2, 2)))
    assert frechet_distance(flat, nothing).value == frechet_distance(nothing, flat).value == 1.0


def test_what_counts_as_rounding_grows_with_both_covariances():
    """A negative variance of 1e-9 of the largest is rounding at any scale, of one of the two or of both."""
    for scale in (1e-8, 1.0, 1e8):
        for last, distance in ((1.0, scale), (0.0, 0.0)):
            for swapped in (False, True):
                both = [
                    FeatureStats.from_covariance(9, np.zeros(3), scale * np.diag([1.0, 1.0, variance]))
                    for variance in (last, -1e-9)
                ]
                value = frechet_distance(*(both[::-1] if swapped else both)).value
                assert value == pytest.approx(distance, rel=1e-6, abs=1e-12 * scale)


def test_features_as_nested_lists_are_features():
    a, b = np.random.default_rng(0).standard_normal((2, 9, 3))
    assert frechet_distance(a.tolist(), b.tolist()) == frechet_distance(a.tolist(), b) == frechet_distance(a, b)
    for bad in ([], [1.0, 2.0], [[1.0, 2.0], [3.0]], [["a"], ["b"]], [None]):
        with pytest.raises(MetricError):
            frechet_distance(bad, b)


def test_all_images_alike_has_a_right_answer():
    x = np.ones((20, 3))
    assert float(frechet_distance(x, x)) == 0.0
    assert float(frechet_distance(x, 3 * x)) == 12.0


def test_large_singular_covariances_have_no_negative_variance():
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((50, 8)) @ rng.standard_normal((8, 32))
    covariance = 1e6 * np.cov(low_rank, rowvar=False)
    a, b = (FeatureStats.from_covariance(50, np.zeros(32), covariance) for _ in "ab")
    assert abs(frechet_distance(a, b).value) < 1e-5 * np.trace(covariance)


@pytest.mark.parametrize("sizes", [(100,) * 10, (500, 300, 200), (900, 50, 50)])
def test_parts_of_any_size_give_a_distance_free_of_its_bias(sizes):
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sides = [[FeatureStats.from_features(rng.standard_normal((n, 16))) for n in sizes] for _ in "ab"]
        found.append(jackknife(*sides))
    theta, error, infinite = np.mean(found, axis=0)
    assert theta > 0.15 and abs(infinite) < 0.015  # with weights as for equal parts -0.43 for (900, 50, 50)
    scatter = np.std([one[2] for one in found])
    assert (1.1 if len(sizes) == 10 else 0.8) < error / scatter < 1.8  # of equal distributions it is too large


def test_of_equal_parts_the_jackknife_is_tukey_s():
    theta, without = 5.0, np.array([4.0, 4.5, 6.0, 5.5])
    correction, variance = without_a_part(theta, without, [25] * 4)
    assert correction == pytest.approx(3 * (theta - without.mean()))
    assert variance == pytest.approx(3 / 4 * np.sum((without - without.mean()) ** 2))


def test_an_empty_part_is_refused():
    parts = [FeatureStats.from_features(np.random.default_rng(i).normal(size=(9, 3))) for i in range(3)]
    with pytest.raises(MetricError, match="a part is empty"):
        frechet_distance([*parts, FeatureStats()], parts)
