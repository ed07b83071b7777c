"""Several devices, of one machine or of several: each batch dealt out among them."""

import json
import os
from functools import cache

from ..errors import TrainingError
from ..files import first_line
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf
else:
    import jax

JAX_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"  # Keras' name; with it go …_NUM_PROCESSES and …_PROCESS_ID


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


def keep_programs(folder):
    """On JAX, keep compiled programs in `folder`: another process, or another seed, finds them there."""
    if BACKEND == "jax":
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def join():
    """Find the processes that train one model together, before the backend computes. → (own number, of how many).

    TensorFlow reads them from `TF_CONFIG`; JAX from Keras' `KERAS_DISTRIBUTION_…`, or it has joined them already
    (`jax.distributed.initialize`). Where nothing names others it is alone: (0, 1).

    Raises:
      TrainingError: what names them cannot be read, or the first of them does not answer.
    """
    try:
        if BACKEND == "jax":
            if JAX_ADDRESSES in os.environ and not jax.distributed.is_initialized():
                keras.distribution.initialize()
            return jax.process_index(), jax.process_count()
        told = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster = told.get("cluster", {})
        names = [(job, i) for job in ("chief", "worker") for i in range(len(cluster.get(job, ())))]
        if len(names) < 2:
            return 0, 1
        if set(cluster) - {"chief", "worker"}:
            raise ValueError("its jobs must be 'chief' and 'worker' alone")
        _mirrored(None)
        return names.index((told["task"]["type"], int(told["task"]["index"]))), len(names)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        where = JAX_ADDRESSES if BACKEND == "jax" else "TF_CONFIG"
        raise TrainingError(
            f"the machines that {where} names cannot be joined ({first_line(error)}): mend or unset it"
        ) from error


def data_parallel(batch_size):
    """The engine that deals each batch out to all devices, and their number: build and fit under its `scope()`.

    Keras' `DataParallel` on JAX; TensorFlow's `MirroredStrategy` on TensorFlow, or on several machines its
    `MultiWorkerMirroredStrategy`. Each device holds the whole model and sees an equal share of the batch; gradients
    are averaged over the devices in each step, so that the losses are those of one device up to float32 rounding.

    Raises:
      TrainingError: there is one device only, or the batch cannot be dealt out evenly.
    """
    machines = join()[1]
    engine = _mirrored(None) if BACKEND == "tensorflow" and machines > 1 else None
    devices = keras.distribution.list_devices()
    count = engine.num_replicas_in_sync if engine else len(devices)
    if count < 2:
        raise TrainingError(
            f"to distribute takes two devices or more, and {BACKEND} sees only {devices[0]}: train without --distribute"
        )
    if batch_size % count or count % machines:
        raise TrainingError(
            f"a batch of {batch_size} does not divide evenly among {count} devices: "
            f"choose a --batch-size that is a multiple of {count}"
        )
    if BACKEND == "tensorflow":
        return engine or _mirrored(tuple(devices)), count
    # Each process gives its own rows (`Batches`): Keras deals out datasets of TensorFlow's alone.
    return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False), count


@cache
def _mirrored(devices):
    """One strategy a process: a second one would number its collective operations from the start again and fail.

    Without `devices`, that of all the machines of `TF_CONFIG`: TensorFlow wants it before anything is computed.
    """
    return tf.distribute.MirroredStrategy(devices) if devices else tf.distribute.MultiWorkerMirroredStrategy()


def over_machines():
    """Whether TensorFlow's strategy in scope is that of several machines."""
    return isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)


def replicas():
    """How many replicas of the model TensorFlow's strategy runs; on JAX one program covers all devices: 1."""
    return tf.distribute.get_strategy().num_replicas_in_sync if BACKEND == "tensorflow" else 1
