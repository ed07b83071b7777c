import numpy as np
import pytest
from pydantic import ValidationError

from ganvae_lib.metrics import FeatureNetwork, MetricError, MetricResult
from ganvae_lib.metrics.result import checked_features, figure

NETWORK = {
    "name": "mnist",
    "title": "MNIST-classifier",
    "dim": 64,
    "sha256": "0123456789abcdef",
    "accuracy": 0.9953,
    "pixel_range": [-1, 1],
    "classes": 10,
}


def result(**more):
    known = {"network": NETWORK, "n_reference": 10_000, "reference": "MNIST test set", "better": "lower"}
    return MetricResult.of("Fréchet distance", 12.345678, 5_000, **(known | more))


def test_printed_it_is_one_line_that_says_what_the_number_depends_on():
    one = result(spread=0.5, spread_kind="standard error", floor=1.25, floor_how="real images", seed=3)
    assert str(one) == (
        "MNIST-classifier Fréchet distance 12.35 ± 0.5000 (standard error) · N = 5,000 against 10,000 of MNIST test "
        "set · real against real 1.250 · network mnist, 64 features, 01234567, accuracy 99.53% · pixels in [−1, 1] · "
        "seed 3"
    )
    assert float(one) == 12.345678


def test_json_round_trip():
    one = result(extra={"infinite_n": 11.5, "parts": [10, 10], "kernel": "cubic", "exact": True})
    back = MetricResult.model_validate_json(one.model_dump_json())
    assert back == one
    assert back.extra == {"infinite_n": 11.5, "parts": [10, 10], "kernel": "cubic", "exact": True}
    assert back.feature_network == FeatureNetwork.of(NETWORK)


@pytest.mark.parametrize("field", sorted(MetricResult.model_fields))
def test_a_missing_field_is_an_error(field):
    fields = result().model_dump()
    del fields[field]
    with pytest.raises(ValidationError, match=field):
        MetricResult(**fields)


def test_an_unknown_field_is_an_error():
    with pytest.raises(ValidationError, match="verdict"):
        MetricResult(**result().model_dump(), verdict="good")


@pytest.mark.parametrize("name", ["FID", "pixel FID", "Inception-FID"])
def test_a_name_that_is_bare_fid_is_refused(name):
    with pytest.raises(ValidationError, match="says which features"):
        MetricResult(**(result().model_dump() | {"name": name}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_nan_becomes_a_record(value):
    with pytest.raises(MetricError, match="too large"):
        MetricResult.of("Fréchet distance", value, 10)
    with pytest.raises(ValidationError):
        MetricResult(**(result().model_dump() | {"value": value}))


def test_spread_and_floor_say_of_what_they_are():
    with pytest.raises(ValidationError, match="spread_kind come together"):
        result(spread=1.0)
    with pytest.raises(ValidationError, match="floor_how come together"):
        result(floor=1.0)
    assert result().with_floor(2, "real images").floor == 2.0


def test_a_result_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        result().value = 0.0


def test_a_network_without_weights():
    pixels = {"name": "pixels", "title": "pixel", "dim": 784, "pixel_range": (-1, 1)}
    assert MetricResult.of("Fréchet distance", 1.0, 2, network=pixels).name == "pixel Fréchet distance"
    assert MetricResult.of("Fréchet distance", 1.0, 2).name == "Fréchet distance"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (10.0, "10"),
        (1.23456, "1.235"),
        (-103.3149, "-103.3"),
        (0.00012345, "0.0001234"),
        (5e7 + 0.5, "5e+07"),
    ],
)
def test_figure_value(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((0, 3)), "shape"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.array([[1j]]), "real numbers"),
        (np.array([[1.0, np.nan]]), "NaN or infinity"),
        (np.array([[1.0, -np.inf]]), "NaN or infinity"),
    ],
)
def test_features_invalid_input(features, message):
    with pytest.raises(MetricError, match=message):
        checked_features(features)
    with pytest.raises(MetricError, match="d = 3"):
        checked_features(np.zeros((2, 3)), dim=2)


def test_masked_entries_are_refused():
    x = np.ma.masked_greater(np.array([[1.0, 2.0], [3.0, 99.0]]), 10)
    with pytest.raises(MetricError, match="masked entries"):
        checked_features(x)
    assert checked_features(np.ma.masked_greater(x.data, 100)).tolist() == x.data.tolist()
