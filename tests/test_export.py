"""What a page is given: layers and weights that say what Keras says. The page's own arithmetic: tests/book."""

import base64
import json
import re

import numpy as np
import pytest

from ganvae_lib import load_mnist, networks, runs
from ganvae_lib.data import to_uint8
from ganvae_lib.errors import RunError
from ganvae_lib.explore.export import encoder_layers_of, export, layers_of
from ganvae_lib.quiet_keras import keras
from ganvae_lib.runs.publishing import publish


def test_weights_lie_where_the_layers_say():
    network = networks.decoder(latent_dim=3, hidden=(8, 64), filters=(2, 1))
    layers, weights = layers_of(network)
    assert [told["type"] for told in layers] == [
        "dense", "leaky", "dense", "leaky", "deconvolution", "leaky", "deconvolution", "crop",
    ]  # fmt: skip
    assert len(weights) == network.count_params() and weights.dtype == np.float16
    kept, real = [one for one in layers if "at" in one], [one for one in network.layers if one.weights]
    for told, layer in zip(kept, real, strict=True):
        kernel = np.asarray(layer.kernel).ravel()
        at = told["at"]
        np.testing.assert_array_equal(weights[at : at + kernel.size], kernel.astype("float16"))
        end = at + kernel.size + layer.bias.shape[0]
        np.testing.assert_array_equal(weights[at + kernel.size : end], np.asarray(layer.bias).astype("float16"))
    assert end == len(weights)


def test_a_generator_ends_in_its_own_tanh():
    layers, _ = layers_of(networks.generator(latent_dim=3, hidden=(7 * 7 * 2,), filters=(2, 1)))
    assert layers[-1] == {"type": "activation", "of": "tanh", "scale": 1.0}


def test_an_encoder_s_two_heads_are_one_layer():
    encoder = networks.encoder(latent_dim=3, filters=(2, 4), hidden=(8,))
    layers, weights = encoder_layers_of(encoder)
    assert [told["type"] for told in layers] == [
        "convolution",
        "leaky",
        "convolution",
        "leaky",
        "dense",
        "leaky",
        "dense",
    ]
    assert layers[0] | {"at": 0} == {
        "type": "convolution", "size": 28, "channels": 1, "filters": 2, "kernel": 3, "stride": 2, "at": 0,
    }  # fmt: skip
    assert len(weights) == encoder.count_params()
    assert (layers[-1]["inputs"], layers[-1]["units"]) == (8, 6)
    joined = weights[layers[-1]["at"] :]
    for columns, name in ((slice(0, 3), "encoder_mu"), (slice(3, 6), "encoder_log_var")):
        head = encoder.get_layer(name)
        np.testing.assert_array_equal(joined[:48].reshape(8, 6)[:, columns], np.asarray(head.kernel, "float16"))
        np.testing.assert_array_equal(joined[48:][columns], np.asarray(head.bias, "float16"))


@pytest.mark.parametrize(
    "layer", [keras.layers.BatchNormalization(), keras.layers.Dense(2, "relu"), keras.layers.Activation("relu")]
)
def test_a_layer_that_pages_do_not_know_is_refused(layer):
    with pytest.raises(RunError, match=r"cannot be exported|of its own"):
        layers_of(keras.Sequential([keras.Input((3,)), layer]))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    data = load_mnist().limit(128)
    runs.train("vae", data, folder / "run", variation="narrow", epochs=2, batch_size=64, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganvae_lib.runs.publishing.evaluate_target", lambda *a, **o: [])  # its own tests measure
        publish(folder / "run", folder / "results", n=20, progress=False)
    return folder / "results"


def stored(path):
    """The name and the object that a script puts into the page."""
    name, told = re.fullmatch(
        r"\(globalThis\.ganvaeModels \?\?= \{\}\)\[\"([\w.-]+)\"\] = (.*);\n", path.read_text()
    ).groups()
    return name, json.loads(told)


def halves(text):
    return np.frombuffer(base64.b64decode(text), "<f2")


def test_the_script_holds_the_model_and_the_codes(published, tmp_path):
    told = export(published, tmp_path / "models")
    assert stored(tmp_path / "models" / "vae-narrow.js") == ("vae-narrow", told)
    assert (told["run"], told["variation"], told["epochs"]) == ("vae-narrow-seed0", "narrow", 2)
    assert told["layers"][-1] == {"type": "activation", "of": "tanh", "scale": 0.5}  # x̂ = tanh(a/2)
    model, _ = runs.load_run(published)
    assert len(halves(told["weights"])) == model.decoder.count_params()

    points = halves(told["points"]).reshape(-1, 2)
    assert len(points) == len(told["digits"]) == 1000
    axes = np.array(told["axes"])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-4)
    mnist = load_mnist()
    codes = np.asarray(model.encoder(mnist.x_test)[0])
    np.testing.assert_allclose(points, (codes - codes.mean(axis=0)) @ axes.T, atol=0.02)
    assert told["digits"] == "".join(map(str, mnist.y_test))
    np.testing.assert_allclose(told["means"][7], codes[mnist.y_test == 7].mean(axis=0), atol=1e-3)
    assert (tmp_path / "models" / "vae-narrow.png").stat().st_size > 1000


def test_the_encoder_has_a_script_of_its_own_where_it_is_small(published, tmp_path, monkeypatch):
    export(published, tmp_path, name="mine")
    model, _ = runs.load_run(published)
    name, told = stored(tmp_path / "mine.encoder.js")
    assert name == "mine.encoder" and len(halves(told["weights"])) == model.encoder.count_params()
    monkeypatch.setattr("ganvae_lib.explore.export.ENCODER_LIMIT", 800_000)  # bytes: less than this encoder's
    export(published, tmp_path, name="mine")
    assert not (tmp_path / "mine.encoder.js").exists(), "one of an earlier export is no part of this one"


def test_earlier_epochs_are_kept_where_the_decoder_is_small(published, tmp_path):
    """What `publish` keeps of a checkpoint is that checkpoint's decoder, and what a page gets of it is the same."""
    export(published, tmp_path)
    told = stored(tmp_path / "vae-narrow.training.js")[1]
    assert told["epochs"] == [1, 2] and len(told["weights"]) == len(told["points"]) == 1  # the last is in vae-narrow.js
    run = published.parent / "run"
    first, _ = runs.load_run(run, 1)
    for kept, real in zip(
        np.split(halves(told["weights"][0]), _ends(first.decoder)), first.decoder.weights, strict=True
    ):
        np.testing.assert_array_equal(kept, np.asarray(real).ravel().astype("float16"))
    with np.load(published / "snapshots.npz") as file:
        images = to_uint8(np.asarray(first.decode(np.float32(told["draws"])))).astype(int)
        assert np.abs(images - file["samples_001"][: len(images)]).max() <= 1  # the same draws of z
    last = stored(tmp_path / "vae-narrow.js")[1]
    codes = np.asarray(first.encoder(load_mnist().x_test)[0])
    expected = (codes - np.array(last["mean"])) @ np.array(last["axes"]).T
    np.testing.assert_allclose(halves(told["points"][0]).reshape(-1, 2), expected, atol=0.01)


def _ends(network):
    return np.cumsum([int(np.prod(variable.shape)) for variable in network.weights])[:-1]


def test_a_gan_has_no_codes_and_no_encoder(tmp_path):
    runs.train(
        "gan", load_mnist().limit(64), tmp_path / "run", variation="compact", epochs=2, batch_size=64, progress=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganvae_lib.runs.publishing.evaluate_target", lambda *a, **o: [])
        publish(tmp_path / "run", tmp_path / "results", n=20, progress=False)
    told = export(tmp_path / "results", tmp_path / "models")
    assert told["name"] == "gan-compact" and "means" not in told and "points" not in told
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        "gan-compact.js", "gan-compact.png", "gan-compact.training.js",
    }  # fmt: skip
    training = stored(tmp_path / "models" / "gan-compact.training.js")[1]
    assert training["epochs"] == [1, 2] and "points" not in training


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".x", "a\\b"])
def test_a_path_for_a_name_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="no name for a model"):
        export(tmp_path, tmp_path / "models", name=name)
    assert not (tmp_path / "models").exists()


def test_a_run_without_weights_is_answered(published, tmp_path):
    (tmp_path / "record.json").write_text((published / "record.json").read_text())
    with pytest.raises(RunError, match="keeps no weights"):
        export(tmp_path, tmp_path / "models")
