"""Checkpoints: everything that a resume needs, there whole or not at all."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np

from ..errors import RunError
from ..files import first_line, write_text
from ..paper import DECISIONS, TRAINING
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf


def save_arrays(path, arrays, meta):
    """Write named arrays and a JSON-able `meta` to an HDF5 file that is there whole or not at all.

    Raises:
      RunError: the disk is full or the folder cannot be written. What stood at `path` before is untouched.
    """
    import h5py

    path = Path(path)
    part = path.with_name(path.name + ".part")
    need = sum(array.nbytes for array in arrays.values()) + 1_000_000
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < need:  # asked first: HDF5 reports a full disk late and at length
            raise OSError(f"{need / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free")
        with h5py.File(part, "w") as file:
            file.attrs["meta"] = json.dumps(meta)
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True) if part.parent.is_dir() else None
        raise RunError(
            f"{path} could not be written ({first_line(error)}): make room or choose another folder, then resume"
        ) from error


def load_arrays(path):
    """Read what `save_arrays` wrote. → ({name: array}, meta). RunError where the file is missing or damaged."""
    import h5py

    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path} is not there: train the run first, or name another")
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, node: arrays.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
            return arrays, json.loads(file.attrs["meta"])
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise RunError(
            f"{path} is damaged ({first_line(error)}): delete it; resuming takes up the newest whole checkpoint"
        ) from error


def state_arrays(model, weights_only=False):
    """{path: array} of a model's state; with `weights_only`, of its networks alone."""
    variables = model.weights if weights_only else model.state_variables()
    # A mirrored variable of TensorFlow's is no array; the tensor that it reads as is one.
    read = tf.convert_to_tensor if BACKEND == "tensorflow" else lambda value: value
    return {v.path: np.array(read(v.value)) for v in variables}


def assign_arrays(model, arrays, path, weights_only=False):
    """Put loaded arrays into a model; RunError where they belong to another one."""
    variables = model.weights if weights_only else model.state_variables()
    for v in variables:
        if v.path not in arrays or arrays[v.path].shape != tuple(v.shape):
            found = f"has shape {arrays[v.path].shape}" if v.path in arrays else "is missing"
            raise RunError(
                f"{path} belongs to another model: {v.path} {found}, {tuple(v.shape)} was expected. Name its own folder"
            )
    for v in variables:
        v.assign(arrays[v.path])


class Checkpoints(keras.callbacks.Callback):
    """Each epoch a rolling checkpoint and `history.csv`; early, every `every` epochs and at the end a named one.

    A checkpoint holds everything that a resume needs: weights, both optimizers, the noise counter, the history.
    `seconds` > 0 leaves out a rolling checkpoint within that time of the last (a GPU's epoch of the report's GAN takes
    less time than writing it).
    """

    def __init__(self, folder, epochs, history=(), every=TRAINING.checkpoint_every, seconds=0.0):
        super().__init__()
        self.folder, self.epochs, self.every = Path(folder), epochs, every
        self.seconds, self.saved = seconds, time.perf_counter()
        self.history = [dict(row) for row in history]

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        seconds = time.perf_counter() - self.started
        self.history.append({"epoch": done, "seconds": seconds, **{k: float(v) for k, v in logs.items()}})
        write_history(self.folder.parent / "history.csv", self.history)
        named = done % self.every == 0 or done in (*DECISIONS.early_checkpoints, self.epochs)
        due = time.perf_counter() - self.saved >= self.seconds
        if not (named or due or self.model.stop_training):
            return
        arrays, meta = state_arrays(self.model), {"epoch": done, "history": self.history}
        save_arrays(self.folder / "last.h5", arrays, meta)
        self.saved = time.perf_counter()
        if named:
            named = self.folder / f"epoch-{done:03d}.h5"
            named.unlink(missing_ok=True)
            try:
                os.link(self.folder / "last.h5", named)  # the same bytes: no second copy on disk until 'last' moves on
            except OSError:
                save_arrays(named, arrays, meta)


def newest_checkpoint(folder):
    """The file to resume from: the rolling checkpoint, or where it was deleted the newest named one; None if none."""
    folder = Path(folder)
    if (folder / "last.h5").is_file():
        return folder / "last.h5"
    return max(folder.glob("epoch-*.h5"), default=None)


def write_history(path, history):
    """One CSV row an epoch, replaced as a whole so that a kill leaves the old file or the new one."""
    columns = list(history[0])
    lines = [",".join(columns), *(",".join(f"{row[c]:.9g}" for c in columns) for row in history)]
    write_text(path, "\n".join(lines) + "\n")
