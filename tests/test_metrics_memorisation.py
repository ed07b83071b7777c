import numpy as np
import pytest
from scipy import stats

from ganvae_lib.metrics import MetricError, memorisation_metrics, nearest_neighbours
from ganvae_lib.metrics import neighbours as module


def draw(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("k", [1, 3, 90])
def test_neighbours_value(k, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", 700)  # blocks of seven rows
    queries, base = draw(40), draw(90, seed=1)
    distances = np.sqrt(((queries[:, None] - base[None]) ** 2).sum(-1))
    indices, found = nearest_neighbours(queries, base, k)
    np.testing.assert_array_equal(indices, np.argsort(distances, axis=1)[:, :k])
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :k], rtol=1e-13)


def test_a_copy_is_at_distance_zero_exactly_and_far_from_the_origin_too():
    base = draw(500, 20).astype("float32") + 10_000
    indices, distances = nearest_neighbours(base, base, 2)
    assert indices[:, 0].tolist() == list(range(500)) and not distances[:, 0].any()
    assert distances[:, 1].min() > 0
    images = np.random.default_rng(0).uniform(-1, 1, (20, 28, 28, 1)).astype("float32")
    assert nearest_neighbours(images[4:5], images)[0].item() == 4


def test_near_ties_are_told_apart_in_float64():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(6, 20))
    base = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (1 + 1e-10 * np.arange(6)[:, None])
    base = np.r_[base, 9 + rng.normal(size=(100, 20))]
    for order in (rng.permutation(106) for _ in range(20)):
        indices, _ = nearest_neighbours(np.zeros((1, 20)), base[order], 2)
        assert order[indices[0]].tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1e-170, 1e-30, 1.0, 1e30, 1e300])
def test_any_scale(scale):
    queries, base = draw(10), draw(60, seed=1)
    indices, distances = nearest_neighbours(queries * scale, base * scale)
    plain, expected = nearest_neighbours(queries, base)
    np.testing.assert_array_equal(indices, plain)
    np.testing.assert_allclose(distances, scale * expected, rtol=1e-12)


def by_name(*args, **kwargs):
    return {r.name: r for r in memorisation_metrics(*args, **kwargs)}


def test_fresh_samples_are_not_memorised():
    train, fresh, samples = draw(4000, seed=1), draw(1000, seed=2), draw(900, seed=3)
    found = by_name(samples, train, fresh, reference="MNIST training set")
    assert found["nearest-training-image distance ratio"].value == pytest.approx(1.0, abs=0.05)
    assert abs(found["data-copying score"].value) < 3
    authenticity = found["authenticity"]
    assert authenticity.value == pytest.approx(authenticity.floor, abs=4 * authenticity.spread)
    indices, distances = nearest_neighbours(samples, train)
    gaps = [np.sort(np.linalg.norm(train - train[i], axis=1))[1] for i in indices[:, 0]]
    assert authenticity.value == np.mean(distances[:, 0] > gaps) and 0.5 < authenticity.value < 0.9
    assert (authenticity.n, authenticity.n_reference, authenticity.reference) == (900, 4000, "MNIST training set")
    assert authenticity.extra["exact_copies"] == 0


def test_copies_are_found():
    train, fresh = draw(4000, seed=1), draw(1000, seed=2)
    copies = by_name(train[:500], train, fresh)
    assert copies["nearest-training-image distance ratio"].value == 0
    assert copies["authenticity"].value == 0
    assert copies["authenticity"].extra["exact_copies"] == 500
    near = by_name(train[:500] + 0.01 * draw(500, seed=4), train, fresh)
    assert near["nearest-training-image distance ratio"].value < 0.1
    assert near["data-copying score"].value < -20
    assert near["authenticity"].extra["nearer_than_any_fresh"] > 400
    half = by_name(np.r_[train[:450], draw(450, seed=5)], train, fresh)
    assert half["authenticity"].value == pytest.approx(half["authenticity"].floor / 2, abs=0.06)


def test_copying_score_value():
    """Mann-Whitney by hand: samples at 1, 3, 3 from training, fresh at 2, 3: U = 0 + 1½ + 1½ of 6."""
    train = np.array([[0.0], [-100.0]])
    score = by_name(np.array([[1.0], [3.0], [3.0]]), train, np.array([[2.0], [3.0]]))["data-copying score"].value
    assert score == pytest.approx((3.0 - 3.0) / np.sqrt(3 * 2 * 6 / 12), abs=1e-12)
    score = by_name(np.array([[1.0], [1.0], [3.0]]), train, np.array([[2.0], [3.0]]))["data-copying score"].value
    assert score == pytest.approx((1.5 - 3.0) / np.sqrt(3), rel=1e-12)


@pytest.mark.parametrize(
    ("samples", "train", "fresh", "message"),
    [
        (np.zeros((0, 3)), draw(5, 3), draw(5, 3), "N ≥ 1"),
        (draw(5, 3), draw(5, 4), draw(5, 3), "d = 4"),
        (draw(5, 3) * np.nan, draw(5, 3), draw(5, 3), "NaN"),
        (draw(5, 3), draw(1, 3), draw(5, 3), "at least 2"),
        (draw(5, 3), draw(5, 3), draw(5, 3), "has not seen"),
    ],
)
def test_invalid_input(samples, train, fresh, message):
    with pytest.raises(MetricError, match=message):
        memorisation_metrics(samples, train, fresh)


def test_neighbours_invalid_input():
    for k in (0, 6):
        with pytest.raises(MetricError, match="1 ≤ k ≤ 5"):
            nearest_neighbours(draw(3), draw(5), k)
    with pytest.raises(MetricError, match="too large for float64"):
        nearest_neighbours(np.full((3, 6), -1e308), np.full((5, 6), 1e308))


def test_the_copying_score_and_authenticity_by_hand():
    """Mann and Whitney's U less its mean, over its deviation; a share with its binomial error."""
    rng = np.random.default_rng(0)
    train, samples, fresh = rng.normal(size=(40, 3)), 0.9 * rng.normal(size=(15, 3)), rng.normal(size=(9, 3))
    ratio, score, authenticity = memorisation_metrics(samples, train, fresh)
    t, u = (np.linalg.norm(v[:, None] - train, axis=-1) for v in (samples, fresh))
    statistic = stats.mannwhitneyu(t.min(axis=1), u.min(axis=1)).statistic
    assert score.value == pytest.approx((statistic - 15 * 9 / 2) / np.sqrt(15 * 9 * 25 / 12), rel=1e-12)
    apart = np.linalg.norm(train[:, None] - train, axis=-1) + np.diag(np.full(40, np.inf))
    rate = np.mean(t.min(axis=1) > apart.min(axis=1)[t.argmin(axis=1)])
    assert 0 < rate < 1 and authenticity.value == pytest.approx(rate)
    assert authenticity.spread == pytest.approx(np.sqrt(rate * (1 - rate) / 15)) and authenticity.better is None
    assert ratio.value == pytest.approx(np.median(t.min(axis=1)) / np.median(u.min(axis=1)))


BASES = {
    "two clusters": np.concatenate([draw(300, 16), 1e5 + draw(300, 16, 1)]),
    "one row far off": np.concatenate([draw(599, 16), np.full((1, 16), 1e8)]),
    "tiny": 1e-50 * draw(600, 16),
    "huge": 1e140 * draw(600, 16),
    "far from 0": 1e9 + draw(600, 16),
}


@pytest.mark.parametrize("kind", BASES)
def test_neighbours_are_right_where_float32_cannot_tell(kind):
    base = BASES[kind]
    q = base[::7] + 0.3 * np.median(np.abs(base - np.median(base, axis=0))) * draw(len(base[::7]), 16, 2)
    real = np.sqrt(((q[:, None] - base) ** 2).sum(-1))
    found, distances = nearest_neighbours(q, base, 3)
    np.testing.assert_allclose(distances, np.sort(real, axis=1)[:, :3], rtol=1e-9)
    np.testing.assert_allclose(np.take_along_axis(real, found, axis=1), distances, rtol=1e-9)
    assert memorisation_metrics(base[:50], base, q)[0].extra["exact_copies"] == 50


@pytest.mark.parametrize("apart", [1e3, 3e3, 1e4])
def test_the_margin_for_rounding_is_wide_enough(apart):
    base = np.concatenate([draw(300, 2), apart + draw(300, 2, 1)])
    q = base[::3] + 0.3 * draw(200, 2, 2)
    real = np.sqrt(((q[:, None] - base) ** 2).sum(-1)).min(axis=1)
    np.testing.assert_allclose(nearest_neighbours(q, base)[1][:, 0], real, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 30, 784])
def test_squares_are_off_by_less_than_their_bound(d, dtype):
    between = module.Distances(100 + draw(90, d), 100 + 3 * draw(200, d, 1), dtype)
    for rows, squared, error in between.blocks():
        off = squared - (between.exact(np.arange(rows.start, rows.stop)[:, None], np.arange(200)) / between.unit) ** 2
        assert error / 1000 < np.abs(off).max() < error


def pairs_looked_at(monkeypatch):
    """How many distances are taken from the differences, call by call."""
    sizes, exact = [], module.Distances.exact
    monkeypatch.setattr(
        module.Distances, "exact", lambda self, i, j: sizes.append(np.broadcast(i, j).size) or exact(self, i, j)
    )
    return sizes


def test_of_ordinary_features_no_row_is_searched_twice(monkeypatch):
    sizes = pairs_looked_at(monkeypatch)
    nearest_neighbours(draw(200, 64), draw(2_000, 64, 1))
    assert sizes == [9 * 200]


@pytest.mark.parametrize("spread", [0.0, 1e-5])
def test_what_is_left_of_ten_modes_is_searched_by_products_in_float64(spread, monkeypatch):
    """A collapsed generator: comparing each with all others by differences would take minutes."""
    sizes = pairs_looked_at(monkeypatch)
    modes = np.repeat(draw(10, 64), 60, axis=0) + spread * draw(600, 64, 1)
    _, distances = nearest_neighbours(modes, modes, 6)
    assert sizes == [14 * 600] * (1 if spread == 0 else 2)
    real = np.sort(np.sqrt(((modes[:, None] - modes) ** 2).sum(-1)), axis=1)[:, :6]
    np.testing.assert_allclose(distances, real, rtol=1e-12)


def test_images_of_three_axes_are_rows_too():
    x = np.random.default_rng(0).uniform(-1, 1, (20, 28, 28))
    assert nearest_neighbours(x[:5], x)[0][:, 0].tolist() == list(range(5))
