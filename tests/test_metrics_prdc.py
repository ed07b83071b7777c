import numpy as np
import pytest

from ganvae_lib.metrics import MetricError, precision_recall_density_coverage
from ganvae_lib.metrics import neighbours as module
from ganvae_lib.metrics.neighbours import smallest
from ganvae_lib.metrics.prdc import radii


def values(a, b, k=5):
    return [r.value for r in precision_recall_density_coverage(a, b, k)]


def by_definition(a, b, k):
    def distances(x, y):
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))

    def radii(x):
        return np.sort(distances(x, x), axis=1)[:, k]  # the first is itself

    d, r_b, r_a = distances(a, b), radii(b), radii(a)
    inside_b, inside_a = d < r_b, d < r_a[:, None]
    return [
        inside_b.any(axis=1).mean(),
        inside_a.any(axis=0).mean(),
        inside_b.sum(axis=1).mean() / k,
        (d.min(axis=0) < r_b).mean(),
    ]


def sets(n, m, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * 0.8 + 0.3, rng.normal(size=(m, d))


@pytest.mark.parametrize(("n", "m", "k"), [(150, 200, 5), (6, 7, 5), (400, 90, 1), (90, 700, 3)])
@pytest.mark.parametrize("block", [2**21, 5000, 1])
def test_value_by_definition_in_blocks_of_any_size(n, m, k, block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", block)
    a, b = sets(n, m)
    assert values(a, b, k) == pytest.approx(by_definition(a, b, k), rel=1e-14)


def test_values_equal_those_of_prdc():
    prdc = pytest.importorskip("prdc")
    a, b = sets(1200, 1000, 16)
    peer = prdc.compute_prdc(real_features=b, fake_features=a, nearest_k=5)
    results = precision_recall_density_coverage(a, b, 5, reference="real")
    assert {r.name: r.value for r in results} == pytest.approx(peer, rel=1e-14)
    assert all((r.n, r.n_reference, r.extra["k"]) == (1200, 1000, 5) for r in results)


def test_by_hand():
    """On a line, k = 1: real 0, 1, 3 with radii 1, 1, 2; measured 0.5, 9, 9.5 with radii 8.5, 0.5, 0.5."""
    a, b = np.array([[0.5], [9.0], [9.5]]), np.array([[0.0], [1.0], [3.0]])
    assert values(a, b, 1) == pytest.approx([1 / 3, 1.0, 2 / 3, 2 / 3])


def test_radii_known_before_change_nothing():
    a, b = sets(80, 90)
    results = precision_recall_density_coverage(a, b, 3, radii_b=radii(b, 3))
    assert results == precision_recall_density_coverage(a, b, 3)


def test_pairs_that_float32_cannot_tell_are_told_apart():
    """On a line, balls of radius 1 around 0, 1, 2, …: on a centre two others have their rim, next to it one of them."""
    b = np.arange(40.0)[:, None]
    for off, balls in ((-1e-12, 2), (0, 1), (1e-12, 2)):
        assert values(b[5:35:7] + off, b, 1)[2] == balls


def test_a_feature_that_never_moves_hides_no_other():
    a, b = 1e-25 * sets(80, 90)[0], 1e-25 * sets(80, 90)[1]
    constant = np.full((80, 1), 100.0), np.full((90, 1), 100.0)
    assert values(np.c_[a, constant[0]], np.c_[b, constant[1]]) == values(*sets(80, 90))


def test_far_apart_and_the_same():
    a, b = sets(100, 100)
    assert values(a + 1e3, b) == [0, 0, 0, 0]
    assert values(b, b, 5)[0] == values(b, b, 5)[1] == values(b, b, 5)[3] == 1.0


def test_a_distant_origin_changes_nothing():
    a, b = sets(300, 300)
    assert values(a + 2.0**24, b + 2.0**24) == values((a + 2.0**24) - 2.0**24, (b + 2.0**24) - 2.0**24)


def test_copies_of_one_image_have_no_ball():
    """A collapsed generator: 50 copies of a real image are precise, and cover that image's neighbours at most."""
    a, b = sets(50, 200)
    precision, recall, _, coverage = values(np.repeat(b[:1], 50, axis=0), b)
    assert precision == 1.0 and recall == 0.0 and 0 < coverage < 0.2
    assert values(a, np.repeat(b[:1], 50, axis=0)) == [0.0, values(a, np.repeat(b[:1], 50, axis=0))[1], 0.0, 0.0]


def test_more_copies_than_k_beside_other_images():
    """The ball of a vector held seven times has radius 0, not a rounding error's; and what lies on a rim is outside."""
    for seed in range(60):
        a, b = sets(30, 60, seed=seed)
        a[:10], b[:7] = b[0], b[0]
        assert values(a, b) == pytest.approx(by_definition(a, b, 5), rel=1e-14)


@pytest.mark.parametrize(("width", "k"), [(1003, 5), (10, 9), (64, 1), (5000, 20)])
def test_smallest_value(width, k):
    rows = np.random.default_rng(0).normal(size=(30, width)).round(2)  # with ties
    columns, found = smallest(rows, k)
    np.testing.assert_array_equal(np.sort(found), np.sort(rows)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(rows, columns, axis=1), found)
    np.testing.assert_array_equal(found[:, -1], np.sort(rows)[:, k - 1])
    assert all(len(set(c)) == k for c in columns)


@pytest.mark.parametrize(
    ("a", "b", "k", "message"),
    [
        (np.zeros((5, 3)), np.zeros((9, 3)), 5, "more than k"),
        (np.zeros((9, 3)), np.zeros((9, 3)), 0, "k ≥ 1"),
        (np.zeros((9, 3)), np.zeros((9, 4)), 2, "one feature network"),
        (np.full((9, 3), np.nan), np.zeros((9, 3)), 2, "NaN"),
        (np.zeros((9, 3)), np.full((9, 3), np.inf), 2, "infinity"),
        (np.zeros((0, 3)), np.zeros((9, 3)), 2, "N ≥ 1"),
    ],
)
def test_invalid_input(a, b, k, message):
    with pytest.raises(MetricError, match=message):
        precision_recall_density_coverage(a, b, k)


def test_density_rewards_concentration_and_has_no_better_direction():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((400, 8))
    typical = real[np.argmin((real**2).sum(axis=1))]
    one = typical + 1e-6 * rng.standard_normal((400, 8))  # one image, again and again
    precision, recall, density, coverage = precision_recall_density_coverage(one, real)
    assert density.value > 3 and precision.value == 1 and recall.value < 0.01 and coverage.value < 0.2
    assert density.better is None and {precision.better, recall.better, coverage.better} == {"higher"}


@pytest.mark.parametrize("scale", [1e-170, 1e-162, 1e154, 1e300])
def test_the_scale_of_features_does_not_matter(scale):
    a, b = sets(150, 200)
    assert values(scale * a, scale * b) == values(a, b)


def test_one_row_far_off_leaves_the_others_as_they_are():
    a, b = sets(300, 400)
    far = b.copy()
    far[0] = 1e12
    np.testing.assert_allclose(values(a, far), values(a, b), atol=0.02)
