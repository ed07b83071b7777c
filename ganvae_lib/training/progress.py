"""Watching a training: stop where a loss is not finite; epoch, losses and time left."""

import math
import time

from ..errors import TrainingError
from ..quiet_keras import keras


class StopOnNaN(keras.callbacks.Callback):
    """Stop where a loss is not finite, before it reaches a checkpoint: a running mean stays NaN until it is seen."""

    def on_train_batch_end(self, batch, logs=None):
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                raise TrainingError(
                    f"{name} became {float(value)} by step {batch + 1} of this epoch; the last checkpoint is whole. "
                    "Resuming would end here again: train it anew, with another seed or in float32"
                )


class StopAt(keras.callbacks.Callback):
    """End the training before `deadline`, a `time.time()`, where another epoch would not fit; it can be resumed."""

    def __init__(self, deadline):
        super().__init__()
        self.deadline = deadline

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.time()

    def on_epoch_end(self, epoch, logs=None):
        now = time.time()
        self.model.stop_training = now + (now - self.started) > self.deadline


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
