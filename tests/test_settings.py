"""What Keras was told elsewhere, in keras.json or the environment, changes nothing or is refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COUNT = """
from ganvae_lib.quiet_keras import keras
from ganvae_lib.networks import discriminator
network = discriminator()
print(network.count_params(), network.input_shape, network.dtype_policy.name, keras.config.epsilon())
"""


def python(code, home, settings=None, **environment):
    """Run `code` under a keras.json of its own."""
    if settings is not None:
        (home / "keras.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        env=clean | {"KERAS_HOME": str(home)} | environment,
    )  # fmt: skip


def test_the_networks_are_the_course_s_whatever_keras_json_says(tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "tensorflow"}
    done = python(COUNT, tmp_path, settings)
    assert done.stdout.strip() == "4305409 (None, 28, 28, 1) float32 1e-07", done.stderr


COMMAND = "import sys; sys.argv = 'ganvae train vae --limit 10'.split()\nfrom ganvae_lib.cli import main; main()"


@pytest.mark.parametrize(
    ("settings", "environment", "part"),
    [
        (None, {"KERAS_BACKEND": "torch"}, "KERAS_BACKEND names the backend 'torch'"),
        (None, {"KERAS_BACKEND": "theano"}, "runs on tensorflow and jax"),
        ({"backend": "openvino"}, {}, "keras.json names the backend 'openvino'"),
        ({"backend": ["jax"]}, {}, "names the backend"),
        ({"floatx": "float8"}, {}, "sets floatx to 'float8'"),
        ({"floatx": []}, {}, "sets floatx"),
        ({"epsilon": 1}, {}, "sets epsilon"),
        ({"image_data_format": "x"}, {}, "sets image_data_format"),
        ({"nnx_enabled": True}, {}, "nnx_enabled"),
        ("[1]", {}, "holds no settings"),
        ("5", {}, "holds no settings"),
        (None, {"KERAS_MAX_EPOCHS": "1"}, "KERAS_MAX_EPOCHS is set"),
        (None, {"KERAS_MAX_STEPS_PER_EPOCH": "2"}, "KERAS_MAX_STEPS_PER_EPOCH is set"),
        (None, {"KERAS_NNX_ENABLED": "1"}, "KERAS_NNX_ENABLED is set"),
        (None, {"KERAS_BACKEND": "jax", "JAX_THREEFRY_PARTITIONABLE": "0"}, "JAX_THREEFRY_PARTITIONABLE is set"),
        ({"backend": "jax"}, {"JAX_DEFAULT_PRNG_IMPL": "rbg"}, "the course is made with JAX as it comes: unset it"),
        (None, {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "True"}, "JAX_ENABLE_X64 is set"),
    ],
)
def test_what_would_change_a_training_is_refused_in_one_line_before_keras_loads(tmp_path, settings, environment, part):
    code = "import atexit\natexit.register(lambda: print('keras' in sys.modules))\n" + COMMAND
    done = python(code, tmp_path, settings, **environment)
    assert part in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "False"


def test_a_keras_json_that_is_no_json_is_passed_over_as_keras_does(tmp_path):
    done = python("from ganvae_lib.quiet_keras import check_settings as c; print(c())", tmp_path, "{")
    assert done.stdout.strip() == "None", done.stderr


def test_nobody_s_home_is_no_traceback(monkeypatch):
    """A user without an entry in the system's list, HOME unset: `Path.home()` raises."""
    import pwd

    from ganvae_lib import data
    from ganvae_lib.errors import DataError
    from ganvae_lib.metrics import feature_network

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "KERAS_HOME", "GANVAE_MNIST", "GANVAE_INCEPTION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()
    assert data._cache_folder() == Path("/tmp/.keras/datasets")
    assert len(data.load_mnist().x_test) > 0
    with pytest.raises(DataError, match="not at hand"):
        feature_network("inception")
    monkeypatch.setenv("GANVAE_MNIST", "~/mnist.npz")
    with pytest.raises(DataError, match="is not there"):
        data.load_mnist()


def test_a_chapter_shows_its_figures_whatever_backend_the_shell_names():
    code = """
import nbformat
from nbclient import NotebookClient
source = "import matplotlib.pyplot as plt\\nfrom ganvae_lib.plots import use_style\\nuse_style()\\nplt.plot([1, 2]);"
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
NotebookClient(book, kernel_name="python3").execute()
print(["image/png" in output.get("data", {}) for output in book.cells[0].outputs])
"""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": path})  # fmt: skip
    assert done.stdout.strip() == "[True]", done.stderr[-2000:]


@pytest.mark.parametrize(
    ("dist", "nbval", "lax", "wanted"),
    [("load", True, False, "loadscope"), ("load", False, True, "loadscope"), ("load", False, False, "load"),
     ("no", True, False, "no"), ("each", True, False, "each")],
)  # fmt: skip
def test_the_cells_of_a_chapter_go_to_one_process(dist, nbval, lax, wanted):
    from importlib.util import module_from_spec, spec_from_file_location
    from types import SimpleNamespace

    spec = spec_from_file_location("root_conftest", ROOT / "conftest.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    option = SimpleNamespace(dist=dist, nbval=nbval, nbval_lax=lax)
    module.pytest_configure(SimpleNamespace(option=option))
    assert option.dist == wanted
