"""What a page is given: layers and weights that say what Keras says. The page's own arithmetic: test_book.py."""

import base64
import json
import re

import numpy as np
import pytest

from ganvae_lib import load_mnist, networks, runs
from ganvae_lib.errors import RunError
from ganvae_lib.evaluation import publish
from ganvae_lib.export import export, layers_of
from ganvae_lib.quiet_keras import keras


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
    runs.train("vae", data, folder / "run", variation="narrow", epochs=1, batch_size=64, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganvae_lib.evaluation.evaluate_target", lambda *a, **o: [])  # its own tests measure
        publish(folder / "run", folder / "results", n=20, progress=False)
    return folder / "results"


def test_the_script_holds_the_model_and_the_codes(published, tmp_path):
    told = export(published, tmp_path / "models", name="narrow")
    text = (tmp_path / "models" / "narrow.js").read_text()
    stored = json.loads(re.fullmatch(r"\(globalThis\.ganvaeModels \?\?= \{\}\)\[\"narrow\"\] = (.*);\n", text)[1])
    assert stored == told
    assert (stored["run"], stored["epochs"], stored["latent_dim"]) == ("vae-narrow-seed0", 1, 10)
    assert stored["layers"][-1] == {"type": "activation", "of": "tanh", "scale": 0.5}  # x̂ = tanh(a/2)
    model, _ = runs.load_run(published)
    assert len(base64.b64decode(stored["weights"])) == 2 * model.decoder.count_params()

    points = np.frombuffer(base64.b64decode(stored["points"]), "<f2").reshape(-1, 2)
    assert len(points) == len(stored["digits"]) == 1000
    axes = np.array(stored["axes"])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-4)
    mnist = load_mnist()
    codes = np.asarray(model.encoder(mnist.x_test)[0])
    np.testing.assert_allclose(points, (codes - codes.mean(axis=0)) @ axes.T, atol=0.02)
    assert stored["digits"] == "".join(map(str, mnist.y_test))
    np.testing.assert_allclose(stored["means"][7], codes[mnist.y_test == 7].mean(axis=0), atol=1e-3)
    assert (tmp_path / "models" / "narrow.png").stat().st_size > 1000


def test_a_run_without_weights_is_answered(published, tmp_path):
    (tmp_path / "record.json").write_text((published / "record.json").read_text())
    with pytest.raises(RunError, match="keeps no weights"):
        export(tmp_path, tmp_path / "models")
