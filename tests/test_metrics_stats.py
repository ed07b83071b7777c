import numpy as np
import pytest

from ganvae_lib.metrics import FeatureStats, MetricError


def features(n=500, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def same(a, b, tolerance=1e-13):
    assert (a.n, a.dim) == (b.n, b.dim)
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=tolerance * np.abs(b.covariance).max() ** 0.5)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=0, atol=tolerance * np.abs(b.covariance).max())
    if b.third_moments:
        np.testing.assert_allclose(a.third, b.third, rtol=1e-11, atol=1e-11 * np.abs(b.third).max())
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-13)


def test_mean_and_covariance_value():
    x = features()
    stats = FeatureStats.from_features(x)
    np.testing.assert_allclose(stats.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(stats.covariance, np.cov(x.T), rtol=0, atol=1e-14 * np.cov(x.T).max())
    assert stats.factor.shape == (6, 6)
    assert stats.total_variance == pytest.approx(np.trace(np.cov(x.T)), rel=1e-13)


def test_third_moments_of_more_rows_than_one_block():
    x = features(5_000, 4)
    third, (i, j, k) = np.einsum("ni,nj,nk->ijk", x, x, x), np.indices((4, 4, 4))
    stats = FeatureStats.from_features(x, third_moments=True)
    asked = (i <= j) & (i <= k)  # the others follow by symmetry
    np.testing.assert_allclose(stats.third, np.where(asked, third, 0), rtol=1e-11, atol=1e-9)
    norms = np.sum(x**2, axis=1)
    np.testing.assert_allclose(stats.norms, [norms.sum(), (norms**2).sum(), (norms**3).sum()], rtol=1e-13)


@pytest.mark.parametrize("n", [7, 40, 3000])  # fewer than d, between d and a factorisation, several of those
@pytest.mark.parametrize("d", [6, 12])
def test_any_split_into_batches_gives_the_same(n, d):
    x = features(n, d)
    whole = FeatureStats.from_features(x, third_moments=True)
    rng = np.random.default_rng(1)
    for cuts in ([1], [n - 1], np.unique(rng.integers(1, n, 5)), np.arange(1, n)):
        stats = FeatureStats(third_moments=True)
        for batch in np.split(x, cuts):
            assert stats.update(batch) is stats
        same(stats, whole)


def test_any_order_of_merging_gives_the_same():
    x = features(2600)
    whole = FeatureStats.from_features(x, third_moments=True)
    parts = [FeatureStats.from_features(p, third_moments=True) for p in np.split(x, [1, 30, 700, 701, 2200])]
    for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]):
        total = FeatureStats(third_moments=True)
        for i in order:
            total.merge(parts[i])
        same(total, whole)
    left, right = FeatureStats(third_moments=True), FeatureStats(third_moments=True)
    left.merge(parts[0]).merge(parts[1])
    right.merge(parts[2]).merge(parts[3].merge(parts[4]).merge(parts[5]))
    same(left.merge(right), whole)


def test_merging_leaves_the_other_as_it_is():
    a, b = FeatureStats.from_features(features(seed=1)), FeatureStats.from_features(features(seed=2))
    before = FeatureStats.from_features(features(seed=2))
    a.merge(b).update(features(2500, seed=3))
    same(b, before)
    empty = FeatureStats()
    same(empty.merge(b), before)
    same(b.merge(FeatureStats()), before)


def test_a_mean_of_a_million_standard_deviations_costs_nothing():
    x = features(4000)  # its last six bits are rounded off by the addition, in x and in x − 1e6 alike
    far = x + 2.0**20
    x = far - 2.0**20
    same(FeatureStats.from_features(far - 2.0**20), FeatureStats.from_features(x))
    stats = FeatureStats()
    for batch in np.array_split(far, 9):
        stats.update(batch)
    np.testing.assert_allclose(stats.covariance, np.cov(x.T), rtol=0, atol=1e-13 * np.cov(x.T).max())
    np.testing.assert_allclose(stats.mean - 2.0**20, x.mean(axis=0), atol=3e-10)  # one rounding at 1e6


def test_the_factor_is_exact_to_standard_deviations_where_a_covariance_matrix_is_not():
    rng = np.random.default_rng(0)
    scale = np.logspace(0, -11, 12)  # variances down to 1e-22 of the largest
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    q = np.linalg.qr(np.c_[np.ones(4000), rng.normal(size=(4000, 12))])[0][:, 1:]  # orthonormal, mean 0
    x = (q * scale) @ axes
    deviations = np.linalg.svd(FeatureStats.from_features(x).factor, compute_uv=False)
    np.testing.assert_allclose(deviations, scale, rtol=1e-4, atol=1e-13)
    assert np.sqrt(np.abs(np.linalg.eigvalsh(x.T @ x))).min() > 1e-10  # where the truth is 1e-11


def test_float32_and_integer_features_are_summed_in_float64():
    x = features(3000).astype(np.float32) + 100
    stats = FeatureStats.from_features(x)
    np.testing.assert_allclose(stats.mean, x.astype(np.float64).mean(axis=0), rtol=1e-15)
    ints = np.arange(12).reshape(4, 3)
    np.testing.assert_allclose(FeatureStats.from_features(ints).covariance, np.full((3, 3), 15.0), rtol=1e-14)


def test_dead_and_constant_features():
    x = features(100, 4)
    x[:, 1], x[:, 3] = 0.0, 7.0
    covariance = FeatureStats.from_features(x).covariance
    np.testing.assert_allclose(covariance, np.cov(x.T), rtol=0, atol=1e-14 * np.cov(x.T).max())
    assert covariance[1, 1] == 0.0 and covariance[3, 3] == 0.0
    assert not FeatureStats.from_features(np.ones((50, 3))).covariance.any()


@pytest.mark.parametrize("third", [False, True])
def test_save_and_load(tmp_path, third):
    stats = FeatureStats.from_features(features(), third_moments=third)
    stats.save(tmp_path / "stats.npz")
    back = FeatureStats.load(tmp_path / "stats.npz")
    same(back, stats, 0)
    assert back.third_moments is third
    same(
        back.update(features(seed=9)),
        FeatureStats.from_features(np.r_[features(), features(seed=9)], third_moments=third),
    )


def test_load_invalid_input(tmp_path):
    path = tmp_path / "stats.npz"
    with pytest.raises(FileNotFoundError):
        FeatureStats.load(path)
    path.write_bytes(b"<html>")
    with pytest.raises(MetricError, match=r"stats\.npz"):
        FeatureStats.load(path)
    np.savez(path, n=3)
    with pytest.raises(MetricError, match="factor"):
        FeatureStats.load(path)
    np.savez(path, n=np.array([{}], dtype=object), factor=np.eye(2), shift=np.zeros(2), offset=np.zeros(2))
    with pytest.raises(MetricError, match="pickle"):
        FeatureStats.load(path)
    good = {"n": 3, "factor": np.eye(2), "shift": np.zeros(2), "offset": np.zeros(2)}
    for bad in ({"offset": np.zeros(3)}, {"factor": np.full((2, 2), np.nan)}, {"surprise": np.zeros(2)}):
        np.savez(path, **(good | bad))
        with pytest.raises(MetricError, match="damaged"):
            FeatureStats.load(path)


def test_from_covariance_value():
    x = features()
    same(FeatureStats.from_covariance(500, x.mean(0), np.cov(x.T)), FeatureStats.from_features(x))
    x = features(seed=1)
    given = FeatureStats.from_covariance(500, x.mean(0), np.cov(x.T))
    both = FeatureStats.from_features(np.r_[x, features(seed=2)])
    same(FeatureStats.from_covariance(500, x.mean(0), np.cov(x.T)).update(features(seed=2)), both)
    same(FeatureStats.from_features(features(seed=2)).merge(given), both)
    x[:, 2] = x[:, 0]  # singular
    same(FeatureStats.from_covariance(500, x.mean(0), np.cov(x.T)), FeatureStats.from_features(x))


def test_a_variance_below_the_rounding_of_the_largest_is_taken_as_none():
    covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1e-17]])
    factor = FeatureStats.from_covariance(10, np.zeros(3), covariance).factor / 3
    assert factor.shape == (1, 3)
    np.testing.assert_allclose(factor.T @ factor, [[1, 1, 0], [1, 1, 0], [0, 0, 0]], atol=1e-14)


@pytest.mark.parametrize(
    ("n", "mean", "covariance", "message"),
    [
        (1, np.zeros(2), np.eye(2), "n ≥ 2"),
        (5, np.zeros(3), np.eye(2), r"\(d, d\)"),
        (5, np.array([0, np.nan]), np.eye(2), "NaN"),
        (5, np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
    ],
)
def test_from_covariance_invalid_input(n, mean, covariance, message):
    with pytest.raises(MetricError, match=message):
        FeatureStats.from_covariance(n, mean, covariance)


def test_stats_invalid_input():
    stats = FeatureStats.from_features(features())
    for bad, message in (
        (np.full((2, 6), np.nan), "NaN"),
        (np.full((2, 6), np.inf), "infinity"),
        (np.zeros((2, 5)), "d = 5"),
        (np.zeros((0, 6)), "shape"),
        (np.zeros(6), "shape"),
    ):
        with pytest.raises(MetricError, match=message):
            stats.update(bad)
    same(stats, FeatureStats.from_features(features()), 0)  # none of it was added
    with pytest.raises(MetricError, match="third moments need"):
        FeatureStats(third_moments=True).update(np.zeros((2, 129)))
    with pytest.raises(MetricError, match="same setting"):
        stats.merge(FeatureStats(third_moments=True))
    with pytest.raises(MetricError, match="do not mix"):
        stats.merge(FeatureStats.from_features(np.zeros((2, 5))))
    for what in ("mean", "factor", "covariance"):
        with pytest.raises(MetricError, match=r"empty|N ≥ 2"):
            getattr(FeatureStats(), what)
    with pytest.raises(MetricError, match="N ≥ 2"):
        _ = FeatureStats.from_features(np.zeros((1, 3))).covariance
    with pytest.raises(MetricError, match="too large"):
        _ = FeatureStats.from_features(features() * 1e200).factor


def test_statistics_keep_copies_and_refuse_what_is_no_real_number():
    mean, covariance = np.zeros(2), np.eye(2)
    stats = FeatureStats.from_covariance(100, mean, covariance)
    mean += 5
    covariance *= 4
    assert stats.mean.tolist() == [0, 0] and stats.total_variance == 2
    with pytest.raises(MetricError, match="real numbers"):
        FeatureStats.from_covariance(100, mean, 1j * covariance)
    with pytest.raises(MetricError, match="needs N ≥ 2"):
        _ = FeatureStats.from_features(features(1)).total_variance
