"""The one room that imports TensorFlow or JAX. Gradients of the first and the second order, compiled functions.

Inside Keras' `StatelessScope` a layer's state (running means, the vectors of a spectral norm, noise counters) is a
tensor of the trace. What differentiates a function on JAX therefore takes the variables the function may change,
traces it in a scope over them and puts their new values back: `state` below. TensorFlow's tape needs none of it.
"""

from ..errors import TrainingError
from ..quiet_keras import keras, ops

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    raise TrainingError(
        f"the course runs on Keras' 'tensorflow' or 'jax' backend, not on {BACKEND!r}: set KERAS_BACKEND"
    )


def vjp(fn, theta, state=(), has_aux=False):
    """`fn()` and its vector-Jacobian product: pull_back(v) = (∂fn/∂θ)ᵀ v for the variables θ.

    Args:
      fn: function of nothing; its result is a tensor, or (tensor, aux) with `has_aux`.
      theta: Keras variables to differentiate in.
      state: every other variable that `fn` reads or changes (JAX).
      has_aux: `fn` gives something beside what is differentiated.

    Returns:
      `fn()` and `pull_back`, which takes a tensor of the result's shape and gives one gradient a variable.
    """
    if BACKEND == "tensorflow":
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in theta])
            result = fn()
        out = result[0] if has_aux else result
        return result, lambda v: tape.gradient(out, [t.value for t in theta], output_gradients=v)

    ids = {id(v) for v in theta}
    state = [v for v in state if id(v) not in ids]
    pure = _pure(lambda _: fn(), state, theta, has_aux=has_aux)
    out, pull_back, (aux, new) = jax.vjp(lambda values: pure(values, None), [v.value for v in theta], has_aux=True)
    _assign(state, new)
    return (out, aux) if has_aux else out, lambda v: pull_back(v)[0]


def value_and_gradient(fn, x, state=()):
    """`fn(x)`, a scalar, and its gradient in the tensor x; `state` as in `vjp`."""
    if BACKEND == "tensorflow":
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = fn(x)
        return value, tape.gradient(value, x)
    pure = _pure(fn, list(state))
    (value, (_, new)), gradient = jax.value_and_grad(lambda x: pure((), x), has_aux=True)(x)
    _assign(state, new)
    return value, gradient


def input_gradient(critic, x, state=()):
    """∇ₓ of critic(x) for each row of x, itself differentiable: what a gradient penalty is made of.

    Row i of critic(x) must depend on row i of x alone (no batch normalisation in the critic). x (N, …) → (N, …).
    """
    return value_and_gradient(lambda x: ops.sum(critic(x)), x, state)[1]


def stop_gradient(x):
    """x, a constant to whatever differentiates."""
    return ops.stop_gradient(x)


def compiled(fn):
    """`fn` of tensors, traced once and then run as one graph."""
    return tf.function(fn, autograph=False) if BACKEND == "tensorflow" else jax.jit(fn)


def _pure(fn, state, theta=(), has_aux=False):
    """JAX: fn as a function of θ's values and x; → (result, (aux, new values of the state))."""
    values = [v.value for v in state]

    def pure(theta_values, x):
        mapping = [*zip(theta, theta_values, strict=True), *zip(state, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            result = fn(x)
        out, aux = result if has_aux else (result, None)
        return out, (aux, [scope.get_current_value(v) for v in state])

    return pure


def _assign(state, values):
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
