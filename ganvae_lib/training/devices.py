"""Several devices: each batch dealt out among them."""

from functools import cache

from ..errors import TrainingError
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf
else:
    import jax


def accelerator():
    """The GPU (or other accelerator) that the backend computes on, in words; '' where it computes on the processor."""
    if BACKEND == "tensorflow":
        found = tf.config.list_physical_devices("GPU")
        return tf.config.experimental.get_device_details(found[0]).get("device_name", "a GPU") if found else ""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return ""
    products = jax.config.jax_default_matmul_precision or "default"
    return f"{device.device_kind}, products of float32 in {products} precision"


def data_parallel(batch_size):
    """The engine that deals each batch out to all devices, and their number: build and fit under its `scope()`.

    Keras' `DataParallel` on JAX, TensorFlow's `MirroredStrategy` on TensorFlow. Each device holds the whole model and
    sees an equal share of the batch; gradients are averaged over the devices in each step, so that the losses are
    those of one device up to float32 rounding.

    Raises:
      TrainingError: there is one device only, or the batch cannot be dealt out evenly.
    """
    devices = keras.distribution.list_devices()
    if len(devices) < 2:
        raise TrainingError(
            f"to distribute takes two devices or more, and {BACKEND} sees only {devices[0]}: train without --distribute"
        )
    if batch_size % len(devices):
        raise TrainingError(
            f"a batch of {batch_size} does not divide evenly among {len(devices)} devices: "
            f"choose a --batch-size that is a multiple of {len(devices)}"
        )
    if BACKEND == "tensorflow":
        return _mirrored(tuple(devices)), len(devices)
    return keras.distribution.DataParallel(devices=devices), len(devices)


@cache
def _mirrored(devices):
    """One strategy a process: a second one would number its collective operations from the start again and fail."""
    return tf.distribute.MirroredStrategy(devices)


def replicas():
    """How many replicas of the model TensorFlow's strategy runs; on JAX one program covers all devices: 1."""
    return tf.distribute.get_strategy().num_replicas_in_sync if BACKEND == "tensorflow" else 1
