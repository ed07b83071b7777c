"""The models on Keras' jax backend, in a process where TensorFlow cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("test_losses.py", "test_gan.py", "test_vae.py", "test_training.py", "test_latent.py")
if os.environ.get("GANVAE_JAX") == "all":  # `make test-more`: compiling them takes a quarter of an hour
    FILES += (
        "test_conditional_vae.py", "test_infogan.py", "test_bottleneck_gan.py", "test_diffusion.py", "test_avb.py",
        "test_discogan.py", "test_conditional_gan.py", "test_style_gan.py", "test_stateful.py",
    )  # fmt: skip

WITHOUT_TENSORFLOW = """
import sys, pytest
sys.modules["tensorflow"] = None  # importing it raises ImportError
code = pytest.main(sys.argv[1:])
import keras
assert keras.backend.backend() == "jax"
sys.exit(code)
"""


def test_the_same_tests_pass_on_jax_with_no_tensorflow():
    pytest.importorskip("jax")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, "-q", "-x", "-p", "no:cacheprovider"]
    command += [str(ROOT / "tests" / name) for name in FILES]
    env = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    env.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
