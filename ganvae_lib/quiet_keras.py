"""Imports Keras and its backend without start-up lines, which would stand on stderr in every notebook, and with oneDNN.

Keras has the course's settings here, whatever keras.json or the environment say; what cannot be put right is refused.
TensorFlow 2.20 and newer print some of the lines before any log level is read: the file descriptor is turned aside.
"""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from .errors import CourseError

BACKENDS = ("tensorflow", "jax")
# Read by Keras from keras.json and refused there with a traceback. A legal one is put back to the course's own below.
LEGAL = {
    "floatx": lambda value: value in ("float16", "float32", "float64"),
    "epsilon": lambda value: isinstance(value, float),
    "image_data_format": lambda value: value in ("channels_last", "channels_first"),
}
# Settings of JAX that the course is made with. With another of the first two a seed gives other noise; the others may
# change the width of a number, or end in an error of JAX.
JAX = {
    "JAX_THREEFRY_PARTITIONABLE": ("1", "true"),
    "JAX_DEFAULT_PRNG_IMPL": ("threefry2x32",),
    "JAX_ENABLE_X64": ("0", "false"),
    "JAX_NUMPY_DTYPE_PROMOTION": ("standard",),
    "JAX_NUMPY_RANK_PROMOTION": ("allow",),
}


@contextmanager
def stderr_aside():
    """Send file descriptor 2 to nowhere for a moment; exceptions pass as ever."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _settings_file() -> Path:
    """Where Keras looks for its settings."""
    home = os.path.expanduser("~")
    default = Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
    return Path(os.environ.get("KERAS_HOME", default)).expanduser() / "keras.json"


def check_settings() -> None:
    """Refuse, before Keras is loaded, what it would answer with a traceback or what would change a training.

    Raises:
      CourseError: a backend the course does not run on, a damaged keras.json, a limit on epochs or steps, a setting of
        JAX that is not its own.
    """
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        if name in os.environ:
            raise CourseError(f"{name} is set, which cuts every training short unasked: unset it")
    if os.environ.get("KERAS_NNX_ENABLED", "").lower() in ("true", "1"):
        raise CourseError("KERAS_NNX_ENABLED is set, which the course does not run with: unset it")
    path, settings = _settings_file(), {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass  # Keras goes on without it
    except RecursionError:
        settings = None
    if not isinstance(settings, dict):
        raise CourseError(f"{path} holds no settings of Keras: delete it")
    for name, legal in LEGAL.items():
        if name in settings and not legal(settings[name]):
            raise CourseError(f"{path} sets {name} to {str(settings[name])[:40]!r}, which Keras refuses: delete it")
    if settings.get("nnx_enabled"):
        raise CourseError(f"{path} sets nnx_enabled, which the course does not run with: delete it there")
    named = os.environ.get("KERAS_BACKEND")
    backend = named or settings.get("backend", "tensorflow")
    check_backend(backend, "KERAS_BACKEND" if named else str(path))
    for name, legal in JAX.items():
        if backend == "jax" and os.environ.get(name, legal[0]).lower() not in legal:
            raise CourseError(f"{name} is set, and the course is made with JAX as it comes: unset it")


def check_backend(backend: str, where: str) -> None:
    """CourseError where the course does not run on that backend."""
    if backend not in BACKENDS:
        raise CourseError(
            f"{where} names the backend {str(backend)[:40]!r}; the course runs on {' and '.join(BACKENDS)}: "
            "set KERAS_BACKEND to one of them"
        )


if "keras" not in sys.modules:
    check_settings()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's faster kernels. It turns them on by itself only where a processor has instructions made for neural
# networks (release notes of 2.9): not with AVX2 alone, where they halve a step of the report's GAN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
with stderr_aside():
    import keras
    from keras import layers, ops

check_backend(keras.config.backend(), "an earlier 'import keras'")
# The networks, the noise and the losses are written for these; a reader's keras.json must not make them others.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_dtype_policy("float32")

__all__ = ["keras", "layers", "ops"]
