"""What a code says about the digit: closed forms."""

import numpy as np
import pytest

from ganvae_lib.metrics import MetricError
from ganvae_lib.metrics.codes import (
    accuracy_metric,
    code_metrics,
    code_table,
    correlation_metric,
    matched_digits,
    mutual_information,
)

RNG = np.random.default_rng(0)
PERMUTATION = RNG.permutation(10)
CODE = np.tile(np.arange(10), 100)


def test_independent_codes_have_no_information_and_a_permutation_all_of_it():
    assert mutual_information(np.ones((10, 10)))[0] == pytest.approx(0, abs=1e-12)
    table = np.outer(RNG.integers(1, 9, 10), RNG.integers(1, 9, 10))  # p(c, d) = p(c) p(d)
    assert mutual_information(table) == pytest.approx((0, 0), abs=1e-7)
    information, error = mutual_information(code_table(CODE, PERMUTATION[CODE]))
    assert information == pytest.approx(np.log(10)) and error == pytest.approx(0, abs=1e-6)


def test_a_noisy_channel_has_its_known_information():
    """A fair bit flipped with probability 0.1: log 2 − H(0.1)."""
    expected = np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)
    information, error = mutual_information([[45, 5], [5, 45]])
    assert information == pytest.approx(expected)
    # log 2·0.9 with probability 0.9, log 2·0.1 with 0.1: its deviation is 0.3 log 9, over √100 samples
    assert error == pytest.approx(0.3 * np.log(9) / 10)


def test_the_estimate_of_independent_codes_is_as_biased_as_it_says_and_within_its_error_elsewhere():
    n, found = 2_000, []
    for _ in range(200):
        table = code_table(RNG.integers(10, size=n), RNG.integers(10, size=n))
        found.append(mutual_information(table)[0])
    assert np.mean(found) == pytest.approx(81 / (2 * n), rel=0.1)
    values, errors = [], []
    for _ in range(200):
        code = RNG.integers(10, size=n)
        digit = np.where(RNG.random(n) < 0.7, PERMUTATION[code], RNG.integers(10, size=n))
        value, error = mutual_information(code_table(code, digit))
        values.append(value)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_the_matching_is_one_to_one_even_where_two_codes_want_a_digit():
    assert (matched_digits(code_table(CODE, PERMUTATION[CODE])) == PERMUTATION).all()
    # Codes 0 and 1 both draw digit 0 most often; the best pairing gives it to code 0 (6 + 4 against 5 + 0 …).
    assert matched_digits([[6, 0], [5, 4]]).tolist() == [0, 1]
    assert matched_digits([[6, 5], [9, 0]]).tolist() == [1, 0]


def test_code_metrics_of_a_code_that_is_half_the_digit():
    digit = np.where(np.arange(1000) % 20 < 10, PERMUTATION[CODE], (PERMUTATION[CODE] + 1) % 10)
    real = (CODE, CODE)
    information, purity = code_metrics(CODE, digit, real=real, reference="labels", seed=3)
    assert purity.name == "purity of the code" and purity.value == pytest.approx(0.5)
    assert purity.spread == pytest.approx(np.sqrt(0.25 / 1000))
    assert information.value == pytest.approx(np.log(10) - np.log(2))
    assert information.floor == pytest.approx(np.log(10)) and purity.floor == 1.0
    assert sorted(purity.extra["digit_of_code"]) == list(range(10))
    shuffled = code_metrics(CODE, RNG.permutation(digit))
    assert shuffled[0].value < 0.06 and shuffled[1].value < 0.2


def test_accuracy_by_class():
    seen = CODE.copy()
    seen[CODE == 3] = 5
    result = accuracy_metric("accuracy", CODE, seen, extra={"told": 1})
    assert result.value == pytest.approx(0.9) and result.extra["told"] == 1
    assert result.extra["by_class"] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert result.spread == pytest.approx(np.sqrt(0.09 / 1000))


def test_the_strongest_correlation_is_taken_and_its_sign_kept_beside_it():
    a = RNG.standard_normal(5_000)
    codes = np.stack([RNG.standard_normal(5_000), -a + RNG.standard_normal(5_000)], axis=1)
    result = correlation_metric("correlation", codes, a)
    assert result.value == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert result.extra["correlations"][1] == pytest.approx(-result.value)
    assert abs(result.extra["correlations"][0]) < 0.05
    assert correlation_metric("correlation", codes, 3 * codes[:, 0] - 1).value == pytest.approx(1)
    assert correlation_metric("correlation", codes, np.ones(5_000)).value == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: code_table([0, 1], [0]), "one of each a sample"),
        (lambda: code_table([0.0, 1.0], [0, 1]), "integers"),
        (lambda: code_table([0, 10], [0, 1]), "0 … 9"),
        (lambda: code_table([], []), "integers"),
        (lambda: mutual_information(np.zeros((2, 2))), "at least one sample"),
        (lambda: mutual_information([[1, -1], [1, 1]]), "counts"),
        (lambda: correlation_metric("c", np.zeros((5, 2)), np.zeros(4)), "must be"),
        (lambda: correlation_metric("c", np.full((5, 2), np.nan), np.zeros(5)), "NaN"),
    ],
)
def test_bad_input_is_answered(call, said):
    with pytest.raises(MetricError, match=said):
        call()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_a_correlation_has_no_scale(scale):
    codes = np.random.default_rng(0).standard_normal((50, 2))
    values = codes[:, 1] + 0.3 * codes[:, 0]
    expected = np.corrcoef(codes[:, 1], values)[0, 1]
    found = correlation_metric("c", codes * scale, values / scale)
    assert found.value == pytest.approx(expected, rel=1e-6) and found.extra["correlations"][1] > 0


def test_no_codes_at_all_are_answered():
    with pytest.raises(MetricError):
        correlation_metric("c", np.zeros((5, 0)), np.arange(5.0))


def test_counts_of_small_integer_types_do_not_wrap_around():
    for k, kind in ((20, "uint8"), (20, "int8"), (17, "uint8")):
        code = np.arange(k).astype(kind)
        assert accuracy_metric("x", code, code.astype("uint64"), k=k).value == 1
