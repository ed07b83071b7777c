import numpy as np
import pytest

from ganvae_lib.metrics import MetricError, class_metrics


def logits(counts):
    return 9.0 * np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]


def test_balanced_digits():
    entropy, modes = class_metrics(logits([20] * 10), logits([5] * 10), reference="MNIST test set")
    assert (entropy.name, modes.name) == ("class entropy", "digit modes")
    assert entropy.value == pytest.approx(np.log(10)) and entropy.floor == pytest.approx(np.log(10))
    assert entropy.spread == pytest.approx(0, abs=1e-7) and entropy.unit == "nats"
    assert modes.value == 10 and modes.floor == 10 and modes.unit == "of 10"
    assert entropy.extra["counts"] == [20] * 10 and entropy.n == 200 and entropy.n_reference == 50


def test_collapsed_onto_one_class():
    entropy, modes = class_metrics(logits([0, 0, 30]))
    assert entropy.value == 0 and entropy.spread == 0 and entropy.floor is None
    assert modes.value == 1 and modes.extra["counts"] == [0, 0, 30]


def test_a_class_of_one_percent_is_a_mode_and_of_less_is_lost():
    _, modes = class_metrics(logits([980, 10, 9, 1]))
    assert modes.value == 2 and modes.extra["threshold"] == 0.01


def test_spread_is_the_standard_error_over_draws():
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.15, 0.05])
    found = [class_metrics(logits(rng.multinomial(400, p)))[0] for _ in range(300)]
    assert np.mean([r.spread for r in found]) == pytest.approx(np.std([r.value for r in found]), rel=0.15)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((0, 10)), None, "shape"),
        (np.full((3, 10), np.nan), None, "NaN"),
        (np.zeros((3, 10)), np.zeros((3, 9)), "one classifier"),
    ],
)
def test_invalid_input(a, b, message):
    with pytest.raises(MetricError, match=message):
        class_metrics(a, b)


def test_one_image_has_no_standard_error():
    assert class_metrics(logits([1, 0]))[0].spread is None
