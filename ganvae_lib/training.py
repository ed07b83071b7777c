"""Training: the one room that knows the backend. Gradients, noise, order of the data, checkpoints, progress.

`StepModel` lets a model with several optimizers be written once with `keras.ops` and trained by Keras' own `fit` on
TensorFlow and on JAX. The rest makes a run repeatable: it ends bit for bit the same, killed and resumed or not.
"""

import json
import math
import os
import shutil
import time
from functools import cache
from pathlib import Path

import numpy as np

from .errors import RunError, TrainingError
from .paper import DECISIONS, TRAINING
from .quiet_keras import keras, ops

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    raise TrainingError(
        f"the course runs on Keras' 'tensorflow' or 'jax' backend, not on {BACKEND!r}: set KERAS_BACKEND"
    )


# --- optimizer -------------------------------------------------------------------------------------------------------


def adam(learning_rate=TRAINING.learning_rate, beta_1=DECISIONS.vae_beta_1, name="adam"):
    """Adam (Kingma & Ba 2015) at the report's 2e-4; on TensorFlow each variable is updated by one fused kernel."""
    kind = FusedAdam if BACKEND == "tensorflow" else keras.optimizers.Adam
    return kind(learning_rate, beta_1=beta_1, beta_2=DECISIONS.beta_2, epsilon=DECISIONS.epsilon, name=name)


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, its update computed in one pass over memory instead of a dozen (TensorFlow's ApplyAdam kernel).

    The generator has 79.7 million parameters: at that size an update is bound by memory, not by arithmetic.
    """

    def apply(self, grads, trainable_variables=None):
        # Keras adds up the replicas' gradients; each is that of a mean over its own share of the batch.
        if (count := replicas()) > 1:
            grads = [gradient / count for gradient in grads]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        t = ops.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[i].value.handle, v=self._velocities[i].value.handle,
            beta1_power=ops.power(ops.cast(self.beta_1, variable.dtype), t),
            beta2_power=ops.power(ops.cast(self.beta_2, variable.dtype), t),
            lr=ops.cast(learning_rate, variable.dtype), beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon,
            grad=ops.cast(gradient, variable.dtype),
        )  # fmt: skip


# --- a model of several players --------------------------------------------------------------------------------------


class StepModel(keras.Model):
    """A model that says in `step(x)` what one round of training does; `fit` runs it on either backend.

    A subclass names its losses in `loss_names`, gives `step(x) -> {name: scalar}`, and calls `compile_players` from
    `compile`. Inside `step` it uses `noise`, `minimize`, `vjp` and the function `value_and_gradient`.
    """

    loss_names: tuple[str, ...] = ()

    def __init__(self, seed=0, name=None):
        super().__init__(name=name)
        # Keras keeps (seed, number of draws): the noise of step t is a function of (seed, t), and checkpoints hold it.
        self.noise_seed = keras.random.SeedGenerator(seed, name="noise")
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names]
        self.players = {}
        self.built = True

    def compile_players(self, players, **kwargs):
        """Build each optimizer for its variables. TensorFlow goes without XLA on a CPU, whose convolutions it slows."""
        for optimizer, variables in players.items():
            optimizer.build(variables)
        self.players = players
        kwargs.setdefault("jit_compile", BACKEND == "jax" or (bool(tf.config.list_physical_devices("GPU")) and
                                                              replicas() == 1))  # fmt: skip
        super().compile(optimizer=next(iter(players)), **kwargs)

    def fit(self, x=None, *args, **kwargs):
        """Keras' `fit`; on TensorFlow it takes `Batches` as a dataset that leaves the step its threads."""
        if BACKEND == "tensorflow" and isinstance(x, Batches):
            x = x.as_dataset()
        return super().fit(x, *args, **kwargs)

    @property
    def metrics(self):
        return self.trackers

    @property
    def non_trainable_variables(self):
        """Keras' JAX trainer carries `self.optimizer`'s variables only: the other optimizers' state travels here."""
        others = [o for o in self.players if o is not self.optimizer]
        return super().non_trainable_variables + [v for o in others for v in o.variables]

    def state_variables(self):
        """Everything that a step reads or writes, in a fixed order: weights, noise counter, optimizers."""
        weights = [*self.trainable_variables, *super().non_trainable_variables]
        metrics = {id(v) for v in self.metrics_variables}
        own = [v for v in weights if id(v) not in metrics]
        return own + [v for o in self.players for v in o.variables]

    def noise(self, n, d):
        """Standard normal noise (n, d), fresh at each call and each step.

        A replica of TensorFlow's draws the whole batch's noise and takes its own rows: the same as on one device.
        """
        if (count := replicas()) == 1:
            return keras.random.normal((n, d), seed=self.noise_seed)
        first = n * tf.distribute.get_replica_context().replica_id_in_sync_group
        return keras.random.normal((n * count, d), seed=self.noise_seed)[first : first + n]

    def minimize(self, loss_fn, network, optimizer, has_aux=False):
        """One optimizer step on `loss_fn()` for the weights of `network`. → the loss, or (loss, aux)."""
        result, pull_back = self.vjp(loss_fn, network, has_aux)
        loss = result[0] if has_aux else result
        optimizer.apply(pull_back(ops.ones_like(loss)), network.trainable_variables)
        return result

    def vjp(self, fn, network, has_aux=False):
        """`fn()` and its vector-Jacobian product: pull_back(v) = (∂fn/∂θ)ᵀ v for the weights θ of `network`."""
        theta = network.trainable_variables
        if BACKEND == "tensorflow":
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([v.value for v in theta])
                result = fn()
            out = result[0] if has_aux else result
            return result, lambda v: tape.gradient(out, [t.value for t in theta], output_gradients=v)

        ids = {id(v) for v in theta}
        rest = [v for v in [*self.state_variables(), *self.metrics_variables] if id(v) not in ids]
        rest_values = [v.value for v in rest]

        def pure(theta_values):
            mapping = [*zip(theta, theta_values, strict=True), *zip(rest, rest_values, strict=True)]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                result = fn()
            out, aux = result if has_aux else (result, None)
            return out, (aux, [scope.get_current_value(v) for v in rest])

        out, pull_back, (aux, new_values) = jax.vjp(pure, [v.value for v in theta], has_aux=True)
        for variable, value in zip(rest, new_values, strict=True):
            variable.assign(value)
        return (out, aux) if has_aux else out, lambda v: pull_back(v)[0]

    def tracked_step(self, data):
        """`step`, with the running mean of each loss over the epoch as what `fit` reports."""
        x = data[0] if isinstance(data, (tuple, list)) else data
        values = self.step(x)
        for tracker in self.trackers:
            tracker.update_state(values[tracker.name])
        return {tracker.name: tracker.result() for tracker in self.trackers}

    if BACKEND == "tensorflow":

        def train_step(self, data):
            return self.tracked_step(data)

    else:

        def train_step(self, state, data):
            """Keras' JAX trainer wants state in, state out: run the stateful step in a scope over the given state."""
            groups = [
                self.trainable_variables,
                self.non_trainable_variables,
                self.optimizer.variables,
                self.metrics_variables,
            ]
            mapping = [
                pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                logs = self.tracked_step(data)
            return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)


# --- gradients of anything -------------------------------------------------------------------------------------------


def value_and_gradient(fn, x):
    """`fn(x)`, a scalar, and its gradient in the tensor x."""
    if BACKEND == "tensorflow":
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = fn(x)
        return value, tape.gradient(value, x)
    return jax.value_and_grad(fn)(x)


def compiled(fn):
    """`fn` of tensors, traced once and then run as one graph."""
    return tf.function(fn, autograph=False) if BACKEND == "tensorflow" else jax.jit(fn)


# --- several devices -------------------------------------------------------------------------------------------------


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


# --- the data's order ------------------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """Whole batches of x in an order that is a function of (seed, epoch); the remainder of an epoch is left out."""

    def __init__(self, x, batch_size, seed=0, epoch=0):
        super().__init__()
        if not 1 <= batch_size <= len(x):
            raise TrainingError(f"batch_size must be between 1 and {len(x):,}, the number of images; got {batch_size}")
        self.x, self.batch_size, self.seed = x, batch_size, seed
        self.shuffle(epoch)

    def shuffle(self, epoch):
        """Put the images into the order of `epoch`."""
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.x))

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, i):
        return (self.x[self.order[i * self.batch_size : (i + 1) * self.batch_size]],)

    def as_dataset(self):
        """The same batches as TensorFlow's dataset, in the order of the moment when an epoch starts.

        Keras would make one that tunes itself, and with it all steps of an epoch may run on a single thread: in about
        half of the VAE's epochs they did (bench/README.md).
        """
        options = tf.data.Options()
        options.autotune.enabled = False
        shape, dtype = (self.batch_size, *self.x.shape[1:]), self.x.dtype

        def batch(i):
            return (tf.ensure_shape(tf.numpy_function(lambda i: self[i][0], [i], dtype), shape),)

        return tf.data.Dataset.range(len(self)).map(batch).prefetch(2).with_options(options)


class Shuffle(keras.callbacks.Callback):
    """Tells `Batches` which epoch `fit` is in; a PyDataset's own hook is called more often than once an epoch."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.shuffle(epoch)


# --- checkpoints -----------------------------------------------------------------------------------------------------


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
            f"{path} could not be written ({_first_line(error)}): make room or choose another folder, then resume"
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
            f"{path} is damaged ({_first_line(error)}): delete it; resuming takes up the newest whole checkpoint"
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
    """

    def __init__(self, folder, epochs, history=(), every=TRAINING.checkpoint_every):
        super().__init__()
        self.folder, self.epochs, self.every = Path(folder), epochs, every
        self.history = [dict(row) for row in history]

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        seconds = time.perf_counter() - self.started
        self.history.append({"epoch": done, "seconds": seconds, **{k: float(v) for k, v in logs.items()}})
        arrays, meta = state_arrays(self.model), {"epoch": done, "history": self.history}
        save_arrays(self.folder / "last.h5", arrays, meta)
        write_history(self.folder.parent / "history.csv", self.history)
        if done % self.every == 0 or done in (*DECISIONS.early_checkpoints, self.epochs):
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


def write_text(path, text):
    """Write a small text file atomically; RunError where it cannot be written."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise RunError(
            f"{path} could not be written ({_first_line(error)}): make room or choose another folder"
        ) from error


# --- watching --------------------------------------------------------------------------------------------------------


class StopOnNaN(keras.callbacks.Callback):
    """Stop where a loss is not finite, before it reaches a checkpoint: a running mean stays NaN until it is seen."""

    def on_train_batch_end(self, batch, logs=None):
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                raise TrainingError(
                    f"{name} became {float(value)} by step {batch + 1} of this epoch; the last checkpoint is whole. "
                    "Resume from it with another seed, a lower learning rate or float32"
                )


class Progress(keras.callbacks.Callback):
    """Epoch, losses and time left: a live bar in a terminal, one line an epoch in a log."""

    def __init__(self, epochs, first_epoch=0, every=1):
        super().__init__()
        self.epochs, self.first_epoch, self.every = epochs, first_epoch, every

    def on_train_begin(self, logs=None):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console()
        self.started, self.bar = time.perf_counter(), None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[losses]}"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=console)
            self.bar.start()
            self.steps = self.params["steps"]
            self.task = self.bar.add_task("", total=self.steps * self.epochs, losses="")

    def on_train_batch_end(self, batch, logs=None):
        if self.bar:  # `batch` is the last of those that were run in one dispatch
            done = (self.epoch - 1) * self.steps + min(batch + 1, self.steps)
            told = {"losses": _losses(logs), "description": f"epoch {self.epoch}/{self.epochs}"}
            self.bar.update(self.task, completed=done, **told)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        if not self.bar and (done % self.every == 0 or done == self.epochs):
            left = (time.perf_counter() - self.started) / (done - self.first_epoch) * (self.epochs - done)
            print(f"epoch {done}/{self.epochs}  {_losses(logs)}  {left / 60:.1f} min left", flush=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        if getattr(self, "bar", None):
            self.bar.stop()
            self.bar = None


def _losses(logs):
    return "  ".join(f"{name} {float(value):.4g}" for name, value in (logs or {}).items())


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
