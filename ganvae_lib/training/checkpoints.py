"""Checkpoints: everything that a resume needs, there whole or not at all."""

import json
import math
import shutil
import time
import zlib
from pathlib import Path

import numpy as np

from ..errors import RunError
from ..files import crc32, first_line, link, whole, write_text
from ..paper import DECISIONS, TRAINING
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf

FRONT = 512  # bytes before HDF5's own, which leaves them alone
MARK = "ganvae_lib: HDF5 from byte 512 on, of the CRC-32 "
META = "ganvae_lib meta"
HDF5 = b"\x89HDF\r\n\x1a\n"


def save_arrays(path, arrays, meta):
    """Write named arrays and a JSON-able `meta` to an HDF5 file that is there whole or not at all, with checksums.

    Raises:
      RunError: the disk is full or the folder cannot be written. What stood at `path` before is untouched.
    """
    import h5py

    path, text = Path(path), json.dumps(meta)
    need = sum(array.nbytes for array in arrays.values()) + 1_000_000
    with whole(path, "make room or choose another folder, then resume") as part:
        free = shutil.disk_usage(path.parent).free
        if free < need:  # asked first: HDF5 reports a full disk late and at length
            raise OSError(f"{need / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free")
        with h5py.File(part, "w", userblock_size=FRONT) as file:
            file[META] = np.frombuffer(text.encode(), "uint8")  # an attribute holds 64 kB: some 400 epochs
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
        told = f"{MARK}{crc32(part, FRONT):08x}\n".encode()
        with open(part, "r+b") as file:
            file.write(told)


def load_arrays(path):
    """Read what `save_arrays` wrote. → ({name: array}, meta). RunError where the file is missing or damaged."""
    import h5py

    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path} is not there: train the run first, or name another")
    arrays = {}

    def take(name, node):
        if isinstance(node, h5py.Dataset) and name != META:
            arrays[name] = node[()]
            _check(name, np.ascontiguousarray(arrays[name]), node.attrs)

    try:
        _check_bytes(path)
        with h5py.File(path, "r") as file:
            file.visititems(take)
            text = bytes(file[META][()]) if META in file else file.attrs["meta"].encode()
            _check("what is said of it", text, file.attrs)
            return arrays, json.loads(text)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged ({first_line(error)}): delete it, and resume from what the folder holds besides"
        ) from error


def _check_bytes(path):
    """Asked before HDF5 reads it, which a damaged file can keep busy for ever. An older version wrote no such front."""
    with open(path, "rb") as file:
        front = file.read(FRONT)
    if not front.startswith(HDF5) and front.rstrip(b"\0") != f"{MARK}{crc32(path, FRONT):08x}\n".encode():
        raise ValueError("its checksum is not that of its bytes")


def _check(name, data, attributes):
    """An older version wrote a checksum for each array, or none."""
    if "crc32" in attributes and zlib.crc32(data) != int(attributes["crc32"]):
        raise ValueError(f"the checksum of {name} is not that of its bytes")


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
    `seconds` > 0 is for a GPU, whose epoch of the report's GAN takes less time than writing a gigabyte: no rolling
    checkpoint within that time of the last, and the named ones hold the networks' weights alone. `told` is what each
    says besides: whose it is, for another run's is refused, and where it was trained. Without `writes` only the history
    is kept, in memory: of the processes that train one model the first alone writes.
    """

    def __init__(self, folder, epochs, history=(), every=TRAINING.checkpoint_every, seconds=0.0,
                 told=None, writes=True):  # fmt: skip
        super().__init__()
        self.writes = writes
        self.folder, self.epochs, self.every = Path(folder), epochs, every
        self.seconds, self.saved, self.told = seconds, float("-inf"), told or {}
        self.history = [dict(row) for row in history]

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        seconds = time.perf_counter() - self.started
        self.history.append({"epoch": done, "seconds": seconds, **{k: float(v) for k, v in logs.items()}})
        if not self.writes:
            return
        write_history(self.folder.parent / "history.csv", self.history)
        due = time.perf_counter() - self.saved >= self.seconds or done == self.epochs or self.model.stop_training
        meta = {"epoch": done, "history": self.history, **self.told}
        if due:
            save_arrays(self.folder / "last.h5", state_arrays(self.model), meta)
            self.saved = time.perf_counter()
        if due and not self.seconds:
            self._name(done)
        elif self._is_named(done):
            save_arrays(self.folder / f"epoch-{done:03d}.h5", state_arrays(self.model, weights_only=True), meta)

    def restore(self, path):
        """Write again what the checkpoint `path` of this history knows, and a kill just after it left unwritten."""
        if self.history and self.writes:
            write_history(self.folder.parent / "history.csv", self.history)
            if path.name == "last.h5" and not self.seconds:
                self._name(len(self.history))

    def _is_named(self, epoch):
        return epoch % self.every == 0 or epoch in (*DECISIONS.early_checkpoints, self.epochs)

    def _name(self, epoch):
        """The rolling checkpoint under its epoch's name: no second copy on disk until it moves on."""
        if self._is_named(epoch):
            link(self.folder / "last.h5", self.folder / f"epoch-{epoch:03d}.h5")


def newest_checkpoint(folder):
    """The file to resume from: the rolling checkpoint, or where it was deleted the newest named one; None if none."""
    folder = Path(folder)
    if (folder / "last.h5").is_file():
        return folder / "last.h5"
    named = named_checkpoints(folder)
    return named[max(named)] if named else None


def named_checkpoints(folder):
    """The checkpoints that are named by their epoch, {epoch: file}."""
    paths = {path.stem.removeprefix("epoch-"): path for path in Path(folder).glob("epoch-*.h5")}
    return {int(epoch): path for epoch, path in paths.items() if epoch.isascii() and epoch.isdecimal()}


def write_history(path, history):
    """One CSV row an epoch, replaced as a whole so that a kill leaves the old file or the new one.

    Of a run that another version of its model goes on with, which reports other losses, it has all columns: nan where
    an epoch has none.
    """
    columns = list(dict.fromkeys(column for row in history for column in row))
    lines = [",".join(columns), *(",".join(f"{row.get(c, math.nan):.9g}" for c in columns) for row in history)]
    write_text(path, "\n".join(lines) + "\n")
