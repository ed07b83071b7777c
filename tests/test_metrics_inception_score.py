import numpy as np
import pytest

from ganvae_lib.metrics import MetricError, inception_score
from ganvae_lib.metrics.inception_score import entropy, log_softmax


def one_hot(n, k=10):
    return np.eye(k)[np.arange(n) % k]


def test_perfect_digits_score_ten():
    """Exactly one-hot: p log p of 0 is 0, where openai's formula gives NaN."""
    with np.errstate(divide="ignore"):
        logits = np.log(one_hot(1000))  # −∞ is a probability of 0
    assert inception_score(logits).value == pytest.approx(10.0, rel=1e-12)
    assert inception_score(1e4 * one_hot(1000)).value == pytest.approx(10.0, rel=1e-12)
    assert inception_score((1e4 * one_hot(1000)).astype("f4")).value == pytest.approx(10.0, rel=1e-12)


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e3, 1e30])
def test_a_collapsed_generator_scores_one(size):
    assert inception_score(size * np.eye(10)[np.full(100, 7)]).value == pytest.approx(1.0, abs=1e-12)


def test_rounding_never_makes_it_less_than_one():
    for seed in range(60):
        logits = np.tile(np.random.default_rng(seed).normal(size=10), (37, 1))
        assert 1 <= inception_score(logits).value < 1 + 1e-12


def test_value_by_hand():
    """Half the images (0.9, 0.1), half (0.2, 0.8): exp of the mean KL to (0.55, 0.45)."""
    p = np.array([[0.9, 0.1], [0.2, 0.8]] * 50)
    marginal = np.array([0.55, 0.45])
    exact = np.exp(np.mean([np.sum(row * np.log(row / marginal)) for row in p]))
    result = inception_score(np.log(p) + 3.0, seed=5)  # a constant in the logits changes nothing
    assert result.value == pytest.approx(exact, rel=1e-13)
    assert (result.name, result.n, result.splits, result.seed) == ("inception score", 100, 1, 5)
    assert result.spread is None and result.better == "higher"


@pytest.mark.parametrize(("n", "splits"), [(11, 10), (23, 4), (10, 10), (7, 1), (12, 12)])
def test_exactly_as_many_parts_as_asked_for(n, splits, monkeypatch):
    from ganvae_lib.metrics import inception_score as function

    module = __import__(function.__module__, fromlist=["np"])
    cuts = []
    real = np.array_split
    monkeypatch.setattr(module.np, "array_split", lambda v, k: cuts.append(real(v, k)) or cuts[-1])
    inception_score(np.random.default_rng(0).normal(size=(n, 10)), splits)
    sizes = [len(part) for part in cuts[0]]
    assert len(sizes) == splits and max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(cuts[0])) == list(range(n))  # every image in one part


def test_small_parts_score_too_low():
    """Perfect digits in ten parts: about 6.5 at N = 100, 9.6 at 1,000, 9.96 at 10,000."""
    for n, expected in ((100, 6.5), (1000, 9.56), (10_000, 9.966)):
        result = inception_score(50 * one_hot(n), splits=10)
        assert result.value == pytest.approx(expected, abs=40 / n)
        assert result.spread > 0 and result.spread_kind == "standard deviation over splits"
        whole = inception_score(50 * one_hot(n))
        assert whole.extra["ten_split_mean"] == result.value and whole.extra["ten_split_std"] == result.spread
        assert whole.value == pytest.approx(10)


def test_parts_come_from_the_seed():
    logits = (
        20 * one_hot(200)[np.argsort(np.arange(200) % 10)]
    )  # sorted by class: unshuffled parts would score 2 or less
    a, b, c = (inception_score(logits, 10, seed=s).value for s in (0, 0, 1))
    assert a == b != c
    assert a > 5


def test_one_image_and_few_images():
    assert inception_score(np.zeros((1, 10))).value == 1.0
    assert "ten_split_mean" not in inception_score(np.zeros((9, 10))).extra
    assert inception_score(np.zeros((10, 10))).extra["ten_split_mean"] == 1.0


def test_two_parts_have_a_spread():
    logits = np.random.default_rng(0).normal(size=(40, 10))
    parts = [inception_score(logits[part]).value for part in np.split(np.random.default_rng(3).permutation(40), 2)]
    found = inception_score(logits, 2, seed=3)
    assert (found.value, found.spread) == pytest.approx((np.mean(parts), np.std(parts)), rel=1e-12)
    assert found.spread_kind == "standard deviation over splits"


@pytest.mark.parametrize(
    ("logits", "splits", "message"),
    [
        (np.zeros((5, 10)), 6, "5 images cannot be cut into 6 parts"),
        (np.zeros((5, 10)), 0, "0 parts"),
        (np.zeros((0, 10)), 1, "shape"),
        (np.zeros(10), 1, "shape"),
        (np.zeros((5, 1)), 1, "k ≥ 2"),
        (np.full((5, 10), np.nan), 1, "NaN"),
        (np.where(np.eye(10) > 0, np.inf, 0), 1, "∞"),
        (np.full((5, 10), -np.inf), 1, "without any class"),
        (np.array([["a", "b"]]), 1, "numbers"),
    ],
)
def test_invalid_input(logits, splits, message):
    with pytest.raises(MetricError, match=message):
        inception_score(logits, splits)


def test_a_nan_beside_larger_logits_is_found():
    logits = np.zeros((5, 10))
    logits[3, 2] = np.nan
    with pytest.raises(MetricError, match="NaN"):
        log_softmax(logits)


def test_entropy_value():
    assert entropy([0.25] * 4) == pytest.approx(np.log(4))
    assert entropy([1.0, 0.0]) == 0.0
    np.testing.assert_allclose(np.exp(log_softmax([[1000.0, 1000.0]])), [[0.5, 0.5]])
