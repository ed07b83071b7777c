"""Modulated generators as a page runs them: the page's own script, run by Node where there is one, against Keras."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ganvae_lib.errors import RunError
from ganvae_lib.explore.export import _base64
from ganvae_lib.explore.modulated import modulated_layers
from ganvae_lib.models import conditional_gan, style_gan
from ganvae_lib.quiet_keras import keras
from ganvae_lib.runs import load_run
from ganvae_lib.runs.results import find

STATIC = Path(__file__).parents[1] / "book" / "_static"
RNG = np.random.default_rng(0)
# What the scripts ask of a page, for a page with no explorer in it.
PAGE = "globalThis.document = { readyState: 'complete', querySelectorAll: () => [] };\n"


def half(model):
    """The model with its weights as a page has them."""
    for v in model.weights:
        v.assign(np.asarray(v.value).astype("float16"))
    return model


@pytest.fixture(scope="module")
def conditional():
    keras.utils.set_random_seed(0)
    generator = conditional_gan.generator(latent_dim=5, channels=8, filters=6, embedding_dim=3)
    gan = conditional_gan.ConditionalGAN(generator, conditional_gan.discriminator((4, 8)))
    for layer in gan.averaged.layers:  # statistics as after training, not 0 and 1
        if type(layer).__name__ == "BatchNormalization":
            layer.moving_mean.assign(RNG.standard_normal(layer.moving_mean.shape))
            layer.moving_variance.assign(RNG.uniform(0.2, 2.0, layer.moving_variance.shape))
    return gan


@pytest.fixture(scope="module")
def style():
    keras.utils.set_random_seed(0)
    gan = style_gan.StyleGAN(
        style_gan.mapping(latent_dim=5, hidden=(8,), w_dim=6),
        style_gan.synthesis(w_dim=6, channels=8, filters=(6, 4)),
        style_gan.discriminator((4, 8)),
    )
    for name in style_gan.LAYERS:
        layer = gan.synthesis.get_layer(f"synthesis_{name}_noise")
        layer.strength.assign(RNG.standard_normal(layer.strength.shape))
        layer.bias.assign(RNG.standard_normal(layer.bias.shape))
    gan.w_mean.assign(RNG.standard_normal(6))
    return half(gan)


def in_page(told, script):
    """What the page's scripts make of it: `script` ends in an expression, given back as JSON."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    told = told | {"weights": _base64(told["weights"]), "name": "m", "latent_dim": 5}
    code = PAGE + f"globalThis.ganvaeModels = {{ m: {json.dumps(told)} }};\n"
    scripts = ("decoder.js", "controls.js", "explorer.js", "modulated.js")
    code += "".join((STATIC / name).read_text(encoding="utf-8") for name in scripts)
    done = subprocess.run(["node"], input=f"{code}\nconsole.log(JSON.stringify({script}));", text=True, check=False,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array(json.loads(done.stdout))


def test_the_page_draws_the_class_as_keras_does(conditional):
    told = modulated_layers(conditional)
    assert told["classes"] == 10 and told["weights"].dtype == np.float16
    zy = conditional.prior(6, np.random.default_rng(1))
    x = in_page(told, f"{json.dumps(zy.tolist())}.map((zy) => Array.from(ganvae.decode('m', zy)))")
    # float16 rounds the folded statistics as well: held against Keras with its weights rounded, to float16's digits.
    expected = np.asarray(half(conditional).decode(zy)).reshape(6, 784)
    assert np.abs(expected).max() > 0.1
    assert np.abs(x - expected).max() <= 1e-2 * np.abs(expected).max()


def test_the_page_s_arithmetic_of_classes_is_keras_to_1e_4(conditional):
    """The same with weights and statistics that float16 holds exactly after they are folded: powers of two."""
    gan = half(conditional)
    for layer in gan.averaged.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.moving_mean.assign(RNG.choice([-0.5, 0.25, 1.0], layer.moving_mean.shape))
            layer.moving_variance.assign(RNG.choice([0.25, 1.0, 4.0], layer.moving_variance.shape) - layer.epsilon)
    zy = gan.prior(6, np.random.default_rng(2))
    script = f"{json.dumps(zy.tolist())}.map((zy) => Array.from(ganvae.decode('m', zy)))"
    expected = np.asarray(gan.decode(zy)).reshape(6, 784)
    assert np.abs(in_page(modulated_layers(gan), script) - expected).max() <= 1e-4


def test_the_exported_generator_is_the_one_of_its_run():
    """What stands in book/_static/models, run by the page's script, against Keras with the run's weights."""
    text = (STATIC / "models" / "conditional-gan.js").read_text(encoding="utf-8")
    told = json.loads(text.partition(" = ")[2].rstrip(";\n"))
    stored = find(f"beyond/{told['run']}")
    if stored is None:
        pytest.skip(f"beyond/{told['run']} is not in results/")
    gan = load_run(stored.folder)[0]
    assert gan.page_network().count_params() <= 100_000 and told["epochs"] == stored.record.epochs_done
    zy = gan.prior(8, np.random.default_rng(3))
    weights = np.frombuffer(base64.b64decode(told["weights"]), "<f2")
    script = f"{json.dumps(zy.tolist())}.map((zy) => Array.from(ganvae.decode('m', zy)))"
    expected = np.asarray(gan.decode(zy)).reshape(8, 784)
    assert np.abs(in_page(told | {"weights": weights}, script) - expected).max() <= 0.02


def test_the_page_mixes_styles_as_keras_does(style):
    told = modulated_layers(style)
    z = RNG.standard_normal((3, 5)).astype("float32")
    w = in_page(told, f"{json.dumps(z.tolist())}.map((z) => ganvae.style('m', z, 0.7))")
    np.testing.assert_allclose(w, np.asarray(style.styles(z, 0.7))[:, 0], atol=1e-4)
    ws = RNG.standard_normal((4, 3, 6)).astype("float32")
    noise = RNG.standard_normal((4, style_gan.PIXELS)).astype("float32")
    script = f"{json.dumps(ws.tolist())}.map((w, i) => Array.from(ganvae.synthesize('m', w, NOISE[i])))"
    x = in_page(told, script.replace("NOISE", json.dumps(noise.tolist())))
    expected = np.asarray(style.synthesize(ws, noise)).reshape(4, 784)
    assert np.abs(x - expected).max() <= 1e-4 and np.abs(expected).max() > 0.1
    quiet = in_page(told, script.replace("NOISE", "[]"))
    assert np.abs(quiet - np.asarray(style.synthesize(ws)).reshape(4, 784)).max() <= 1e-4


def test_another_kind_is_answered(conditional):
    class Other:
        page_kind = "sounds"

    with pytest.raises(RunError, match="classes, styles"):
        modulated_layers(Other())
