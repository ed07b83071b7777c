"""Training: gradients on either backend, the order of the data, checkpoints, devices, progress."""

from .backend import BACKEND, compiled, input_gradient, value_and_gradient
from .batches import Batches, Shuffle
from .checkpoints import (
    Checkpoints,
    assign_arrays,
    load_arrays,
    named_checkpoints,
    newest_checkpoint,
    save_arrays,
    state_arrays,
    write_history,
)
from .devices import accelerator, data_parallel, join, keep_programs, replicas
from .optimizer import FusedAdam, adam, rmsprop
from .progress import Progress, StopAt, StopOnNaN
from .scan import fit_scanned
from .step_model import StepModel, batched

__all__ = [
    "BACKEND",
    "Batches",
    "Checkpoints",
    "FusedAdam",
    "Progress",
    "Shuffle",
    "StepModel",
    "StopAt",
    "StopOnNaN",
    "accelerator",
    "adam",
    "assign_arrays",
    "batched",
    "compiled",
    "data_parallel",
    "fit_scanned",
    "input_gradient",
    "join",
    "keep_programs",
    "load_arrays",
    "named_checkpoints",
    "newest_checkpoint",
    "replicas",
    "rmsprop",
    "save_arrays",
    "state_arrays",
    "value_and_gradient",
    "write_history",
]
