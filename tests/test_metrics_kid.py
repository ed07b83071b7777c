import numpy as np
import pytest

from ganvae_lib.metrics import FeatureStats, MetricError, kernel_distance


def by_definition(a, b):
    def k(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    aa, bb = k(a, a), k(b, b)
    n, m = len(a), len(b)
    return (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * k(a, b).mean()


def sets(n=300, m=200, d=7, shift=0.3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


@pytest.mark.parametrize("method", ["moments", "pairs"])
@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 7), (2, 3, 4), (31, 45, 128), (5, 5, 1)])
def test_value_by_definition(method, n, m, d):
    a, b = sets(n, m, d)
    result = kernel_distance(a, b, method=method, parts=3)
    assert result.value == pytest.approx(by_definition(a, b), rel=1e-9)
    assert (result.n, result.n_reference, result.name) == (n, m, "kernel distance")
    assert result.extra["parts"] == [max(1, min(3, n // 2)), max(1, min(3, m // 2))]  # of two images or more each


def test_moments_equal_pairs():
    a, b = sets(3000, 2500, 24, 0.02)
    moments, pairs = (kernel_distance(a, b, method=m) for m in ("moments", "pairs"))
    assert moments.value == pytest.approx(pairs.value, rel=1e-9)
    assert moments.spread == pytest.approx(pairs.spread, rel=1e-7)


def test_pairs_serve_any_d_in_blocks():
    a, b = sets(1100, 30, 130)  # more rows than a block has
    assert kernel_distance(a, b, parts=1).value == pytest.approx(by_definition(a, b), rel=1e-10)


def test_equal_distributions_average_to_zero_and_the_standard_error_holds():
    """Sixty draws of two sets of one distribution, and of two that differ: unbiased, and the spread is right."""
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.5):
        found = [
            kernel_distance(rng.normal(size=(100, 5)) + shift, rng.normal(size=(100, 5)), seed=i) for i in range(60)
        ]
        values = np.array([r.value for r in found])
        # E MMD² for N(s, I) against N(0, I), by E k of Gaussians: from a large draw, here only its zero is needed.
        if shift == 0.0:
            assert abs(values.mean()) < 3 * values.std() / np.sqrt(60)
            assert values.min() < 0
        assert 0.7 < np.mean([r.spread for r in found]) / values.std() < 1.6


def test_statistics_in_parts_give_the_same_as_features():
    a, b = sets()
    parts = [[FeatureStats.from_features(p, third_moments=True) for p in np.array_split(x, 4)] for x in (a, b)]
    assert kernel_distance(*parts).value == pytest.approx(by_definition(a, b), rel=1e-11)
    whole = [FeatureStats.from_features(x, third_moments=True) for x in (a, b)]
    result = kernel_distance(*whole)
    assert result.value == pytest.approx(by_definition(a, b), rel=1e-11)
    assert result.spread is None


def test_seed_moves_the_spread_but_not_the_value():
    a, b = sets()
    one, two = kernel_distance(a, b, seed=1), kernel_distance(a, b, seed=2)
    assert one.value == pytest.approx(two.value, rel=1e-12) and one.spread != two.spread
    assert one == kernel_distance(a, b, seed=1)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "one feature network"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
        (np.zeros((5, 3)), np.full((5, 3), -np.inf), "infinity"),
        (np.zeros((0, 3)), np.zeros((5, 3)), "N ≥ 1"),
        (np.full((5, 3), 1e150), np.zeros((5, 3)), "too large"),
    ],
)
def test_invalid_input(a, b, message):
    for method in ("moments", "pairs"):
        with pytest.raises(MetricError, match=message):
            kernel_distance(a, b, method=method)
    with pytest.raises(MetricError, match="'moments' or 'pairs'"):
        kernel_distance(*sets(), method="exact")


def test_invalid_statistics():
    a, b = (FeatureStats.from_features(x) for x in sets())
    with pytest.raises(MetricError, match="third moments"):
        kernel_distance(a, b)
    with pytest.raises(MetricError, match="third moments need"):
        kernel_distance(*sets(d=129), method="moments")
    with pytest.raises(MetricError, match="at least 2"):
        one = FeatureStats.from_features(np.zeros((1, 7)), third_moments=True)
        kernel_distance(one, FeatureStats.from_features(sets()[1], third_moments=True))


def test_parts_too_small_to_leave_one_out_give_no_spread():
    a, b = sets(4, 4)
    parts = [[FeatureStats.from_features(p, third_moments=True) for p in np.split(x, [3])] for x in (a, b)]
    result = kernel_distance(*parts)
    assert result.value == pytest.approx(by_definition(a, b), rel=1e-11) and result.spread is None
