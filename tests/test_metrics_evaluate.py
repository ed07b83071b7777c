import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganvae_lib.errors import CourseError, DataError
from ganvae_lib.metrics import (
    MetricResult,
    evaluate_samples,
    feature_network,
    format_table,
    frechet_distance,
    inception_score,
    kernel_distance,
    load_images,
)
from ganvae_lib.metrics import evaluate as module


class Tiny:
    """Six means of the image as features, three of them as logits: a network in place of a network."""

    batch_size = 64

    def __init__(self):
        self.largest, self.images = 0, 0

    def describe(self):
        return {
            "name": "tiny",
            "title": "tiny-network",
            "dim": 6,
            "sha256": "f" * 64,
            "accuracy": None,
            "pixel_range": [-1, 1],
        }

    def __call__(self, x):
        self.largest, self.images = max(self.largest, len(x)), self.images + len(x)
        features = x.reshape(len(x), -1)[:, :780].reshape(len(x), 6, 130).mean(axis=2)
        return features.astype("float32"), 20 * features[:, :3]


def digits(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    levels = rng.normal(size=(n, 7, 1)) * 0.2 + shift
    x = np.repeat(levels, 112, axis=2).reshape(n, 28, 28, 1) + 0.1 * rng.normal(size=(n, 28, 28, 1))
    x[:, 0, 0] = -1
    return np.clip(x, -1, 1).astype("float32")


def by_name(results):
    return {r.name: r for r in results}


@pytest.fixture(scope="module")
def evaluated():
    x, real, other = digits(300, 1, 0.1), digits(400, 2), digits(900, 3)
    network, seen = Tiny(), []
    results = evaluate_samples(
        x,
        real,
        [network],
        seed=4,
        floor_images=other,
        train_images=other,
        progress=lambda *told: seen.append(told),
    )
    return x, real, other, network, seen, results


def test_all_of_them_with_network_counts_and_floor(evaluated):
    *_, results = evaluated
    names = [r.name.removeprefix("tiny-network ") for r in results]
    assert names == [
        "Fréchet distance",
        "kernel distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "inception score",
        "nearest-training-image distance ratio",
        "data-copying score",
        "authenticity",
    ]
    for r in results:
        assert isinstance(r, MetricResult) and r.name.startswith("tiny-network ")
        assert r.n == 300 and r.feature_network.sha256 == "f" * 64 and r.pixel_range == (-1, 1)
        assert MetricResult.model_validate_json(r.model_dump_json()) == r
    for r in results[:7]:
        assert r.floor is not None
        assert r.floor_how == (
            "300 images of the MNIST training set, drawn with seed 4, against the 400 of the MNIST test set"
        )
    assert results[0].n_reference == 400 and results[7].n_reference == 900


def test_values_are_those_of_each_metric(evaluated):
    x, real, _, network, _, results = evaluated
    found = by_name(results)
    (a, logits), (b, _) = network(x), network(real)
    assert found["tiny-network Fréchet distance"].value == pytest.approx(float(frechet_distance(a, b)), rel=1e-9)
    assert found["tiny-network kernel distance"].value == pytest.approx(float(kernel_distance(a, b)), rel=1e-9)
    assert found["tiny-network inception score"].value == pytest.approx(float(inception_score(logits)), rel=1e-12)
    assert found["tiny-network Fréchet distance"].extra["parts"] == [10, 10]


def test_the_samples_are_worse_than_the_floor(evaluated):
    found = by_name(evaluated[-1])
    distance = found["tiny-network Fréchet distance"]
    assert distance.value > distance.floor + 3 * distance.spread
    assert distance.extra["infinite_n"] < distance.value


def test_progress_and_batches(evaluated):
    _, _, _, network, seen, _ = evaluated
    assert network.largest <= 64 or network.largest == 400  # 400: the test above asked for all at once
    stages = list(dict.fromkeys(what for what, _, _ in seen))
    assert stages == [
        f"{what}, tiny" for what in ("images measured", "reference images", "real images, floor", "training images")
    ]
    for what in stages:
        counts = [(done, total) for w, done, total in seen if w == what]
        assert counts == sorted(counts) and counts[-1][0] == counts[-1][1]


def test_the_same_seed_gives_the_same_results():
    x, real = digits(60, 1), digits(80, 2)
    one, two = (evaluate_samples(x, real, [Tiny()], seed=1) for _ in "12")
    assert one == two
    assert one != evaluate_samples(x, real, [Tiny()], seed=2)


def test_without_other_images_half_of_the_reference_gives_the_floor():
    x, real = digits(60, 1, 0.1), digits(80, 2)
    result = evaluate_samples(x, real, [Tiny()], seed=1, reference="test digits")[0]
    assert result.floor_how == "40 images of the test digits, drawn with seed 1, against its other 40"
    assert result.n_reference == 80  # the samples are measured against all of it
    order = np.random.default_rng(1)
    order.permutation(60)
    order = order.permutation(80)
    halves = (Tiny()(real[part])[0] for part in (order[:40], order[40:]))
    assert result.floor == pytest.approx(float(frechet_distance(*halves)), rel=1e-9)


def test_the_floor_is_of_as_many_other_images_none_of_them_twice():
    x, real, other = digits(60, 1), digits(80, 2), digits(60, 3)
    network = Tiny()
    result = evaluate_samples(x, real, [network], floor_images=other)[0]
    assert result.floor == pytest.approx(float(frechet_distance(network(other)[0], network(real)[0])), rel=1e-9)


def test_against_the_training_images_the_fresh_ones_are_those_of_the_floor():
    x, train, test = digits(60, 1), digits(80, 2), digits(70, 3)
    known = {"train_images": train, "reference": "MNIST training set"}
    found = by_name(evaluate_samples(x, train, [Tiny()], floor_images=test, **known))
    assert found["tiny-network authenticity"].extra["fresh"] == 60
    assert found["tiny-network authenticity"].n_reference == 80
    assert "tiny-network authenticity" not in by_name(evaluate_samples(x, train, [Tiny()], **known))


def test_two_images_are_enough_and_ten_classes_bring_the_class_metrics():
    results = evaluate_samples(digits(2, 1), digits(3, 2), [feature_network("pixels")])
    assert [r.name for r in results] == ["pixel Fréchet distance", "pixel kernel distance"]
    assert results[0].floor is None

    class Ten(Tiny):
        def __call__(self, x):
            features, logits = super().__call__(x)
            return features, np.pad(logits, ((0, 0), (0, 7)))

    names = by_name(evaluate_samples(digits(40, 1), digits(50, 2), [Ten()]))
    assert names["tiny-network digit modes"].unit == "of 10"
    assert names["tiny-network class entropy"].floor_how == "the 50 reference images themselves"


def test_features_kept_do_not_grow_beyond_a_limit(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 50)
    found = by_name(evaluate_samples(digits(130, 1), digits(140, 2), [Tiny()], floor_images=digits(200, 3)))
    assert found["tiny-network precision"].n == 50 and found["tiny-network precision"].n_reference == 50
    assert found["tiny-network Fréchet distance"].n == 130 and found["tiny-network kernel distance"].n == 130


@pytest.mark.parametrize(
    ("x", "real", "message"),
    [
        (digits(1, 1), digits(9, 2), "at least 2"),
        (digits(9, 1), digits(9, 2)[:0], "no images"),
        (digits(9, 1) * np.nan, digits(9, 2), "NaN"),
        (digits(9, 1)[..., 0], digits(9, 2), "shape"),
        (digits(9, 1) * 200, digits(9, 2), "−1 to 1"),
    ],
)
def test_invalid_input(x, real, message):
    with pytest.raises(CourseError, match=message):
        evaluate_samples(x, real, [Tiny()])


def test_the_table(evaluated):
    lines = format_table(evaluated[-1]).splitlines()
    assert len(lines) == 12 and lines[0].split()[:2] == ["metric", "value"]
    assert lines[2].startswith("tiny-network Fréchet distance")
    assert "300  400 MNIST test set" in lines[2] and max(map(len, lines)) < 140
    assert len(format_table([]).splitlines()) == 2


# --- files --------------------------------------------------------------------------------------------------------


def test_load_npz_in_every_allowed_form(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    x = grey[..., None] / np.float32(127.5) - 1
    forms = {
        "images": grey,
        "samples": grey.reshape(5, 784),
        "x": x,
        "arr_0": (grey / 255.0)[..., None],
        "other": x.astype("float64"),
        "rounded": np.where(grey == 0, -1e-7, grey / 255.0),
    }
    for name, array in forms.items():
        np.savez_compressed(tmp_path / "some.npz", **{name: array})
        loaded = load_images(tmp_path / "some.npz")
        assert loaded.shape == (5, 28, 28, 1) and loaded.dtype == np.float32
        np.testing.assert_allclose(loaded, x, atol=2e-7)
    np.savez(tmp_path / "some.npz", x=x, labels=np.arange(5))
    np.testing.assert_array_equal(load_images(str(tmp_path / "some.npz")), x)


def test_load_folder(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    for i, image in enumerate(grey):
        Image.fromarray(image).convert("RGB" if i else "L").save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    np.testing.assert_allclose(load_images(tmp_path), grey[..., None] / 127.5 - 1, atol=1e-6)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no .npz file"),
        (lambda path: path.write_bytes(b""), "no readable"),
        (lambda path: path.write_text("<html>"), "no readable"),
        (npz(x=np.array([{}, {}], dtype=object)), "no readable"),
        (npz(a=np.zeros((2, 28, 28)), b=np.zeros((2, 28, 28))), "name the images 'x'"),
        (npz(), "name the images 'x'"),
        (npz(x=np.zeros((2, 32, 32))), "shape"),
        (npz(x=np.zeros((0, 28, 28))), "shape"),
        (npz(x=np.zeros((2, 28, 28, 3))), "shape"),
        (npz(x=np.zeros((2, 28, 28), "int64")), "int64"),
        (npz(x=np.full((2, 28, 28), np.nan)), "NaN"),
        (npz(x=np.full((2, 28, 28), 255.0)), "255"),
        (npz(x=np.eye(28, dtype="uint8")[None].repeat(2, 0)), "0 and 1 alone"),
        (npz(x=np.eye(28)[None] * 1.05 - 0.05), "neither"),
    ],
)
def test_load_npz_invalid_input(tmp_path, write, message):
    path = tmp_path / "some.npz"
    write(path)
    with pytest.raises(DataError, match=message) as raised:
        load_images(path)
    assert "\n" not in str(raised.value) and "some.npz" in str(raised.value)


def test_load_half_an_npz(tmp_path):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8))
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="no readable"):
            load_images(path)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="no readable"):
        load_images(path)


def test_load_folder_invalid_input(tmp_path):
    with pytest.raises(DataError, match=r"no \.png files"):
        load_images(tmp_path)
    Image.new("L", (32, 28)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="32×28"):
        load_images(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataError, match="no readable PNG"):
        load_images(tmp_path)


def test_importing_the_metrics_touches_neither_keras_nor_scipy():
    code = "import sys, ganvae_lib.metrics; print({'keras', 'tensorflow', 'jax', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_two_networks_of_one_description_and_no_hash_share_nothing():
    class Own(Tiny):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def describe(self):
            return super().describe() | {"sha256": None}

        def __call__(self, x):
            features, logits = super().__call__(x)
            return features**self.sign, logits

    rng = np.random.default_rng(0)
    x, real = (rng.uniform(-1, 1, (60, 28, 28, 1)).astype("float32") for _ in "xy")
    second = [[r.value for r in evaluate_samples(x, real, [Own(power)])] for power in (1, 3, 1)]
    assert second[0] == second[2] != second[1]
    alone = [Own(3)]
    module._REAL.clear(), module._FLOORS.clear()
    assert [r.value for r in evaluate_samples(x, real, alone)] == second[1]
