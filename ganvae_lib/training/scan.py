"""An epoch in one dispatch, on JAX: the images lie on the device, and a compiled loop walks through the batches.

On a GPU a step of a small model takes less time than a call from Python. The steps and their order are `fit`'s own.
"""

import numpy as np

from ..errors import TrainingError
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "jax":
    import jax


def fit_scanned(model, batches, *, epochs=1, initial_epoch=0, callbacks=(), verbose=0, shuffle=None):
    """`model.fit(batches, …)`, an epoch a dispatch; callbacks hear of its beginning, its last step and its end.

    Raises:
      TrainingError: the backend is TensorFlow.
    """
    if BACKEND != "jax":
        raise TrainingError("an epoch a dispatch runs on JAX alone: use --backend jax, or train without it")
    heard = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, epochs=epochs, steps=len(batches), verbose=verbose
    )
    arrays = tuple(jax.device_put(array) for array in batches.arrays)
    groups = model.state_groups()

    def epoch_of(arrays, state, rows):
        def step(state, rows):
            logs, state = model.train_step(state, tuple(array[rows] for array in arrays))
            return state, logs

        state, logs = jax.lax.scan(step, state, rows)
        return state, {name: values[-1] for name, values in logs.items()}

    epoch_of = jax.jit(epoch_of, donate_argnums=1)  # the old state's memory is the new state's
    model.stop_training = False
    heard.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        heard.on_epoch_begin(epoch)
        order = batches.order[: len(batches) * batches.batch_size].astype(np.int32)
        state = tuple([v.value for v in group] for group in groups)
        state, logs = epoch_of(arrays, state, order.reshape(len(batches), batches.batch_size))
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        logs = {name: float(value) for name, value in logs.items()}
        heard.on_train_batch_end(len(batches) - 1, logs)
        heard.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    heard.on_train_end()
    return model.history
