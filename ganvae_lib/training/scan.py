"""Many steps in one dispatch, on JAX: the images lie on the device, and a compiled loop walks through an epoch.

On a GPU a step of a small model takes less time than a call from Python. The steps and their order are `fit`'s own.
"""

import numpy as np

from ..errors import TrainingError
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "jax":
    import jax


def fit_scanned(
    model, batches, *, steps_per_dispatch, epochs=1, initial_epoch=0, callbacks=(), verbose=0, shuffle=None
):
    """`model.fit(batches, …)` with `steps_per_dispatch` steps a dispatch; callbacks hear of the last step of each.

    Raises:
      TrainingError: the backend is TensorFlow.
    """
    if BACKEND != "jax":
        raise TrainingError("many steps a dispatch run on JAX: use --backend jax, or leave steps_per_dispatch out")
    heard = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, epochs=epochs, steps=len(batches), verbose=verbose
    )
    arrays = tuple(jax.device_put(array) for array in batches.arrays)
    groups = model.state_groups()

    def one(arrays, state, rows):
        logs, state = model.train_step(state, tuple(array[rows] for array in arrays))
        return state, logs

    def several(arrays, state, rows):
        state, logs = jax.lax.scan(lambda state, rows: one(arrays, state, rows), state, rows)
        return state, {name: values[-1] for name, values in logs.items()}

    several = jax.jit(several, donate_argnums=1)  # the old state's memory is the new state's
    heard.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        heard.on_epoch_begin(epoch)
        order = batches.order[: len(batches) * batches.batch_size].astype(np.int32)
        rows = order.reshape(len(batches), batches.batch_size)
        state = tuple([v.value for v in group] for group in groups)
        for first in range(0, len(rows), steps_per_dispatch):
            heard.on_train_batch_begin(first)
            some = rows[first : first + steps_per_dispatch]
            state, logs = several(arrays, state, some)
            heard.on_train_batch_end(first + len(some) - 1, logs)
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        heard.on_epoch_end(epoch, {name: float(value) for name, value in logs.items()})
    heard.on_train_end()
    return model.history
