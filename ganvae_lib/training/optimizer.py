"""Adam, its update in one pass over memory where the backend has a kernel for it."""

from ..paper import DECISIONS, TRAINING
from ..quiet_keras import keras, ops
from .backend import BACKEND
from .devices import replicas

if BACKEND == "tensorflow":
    import tensorflow as tf


def adam(learning_rate=TRAINING.learning_rate, beta_1=DECISIONS.vae_beta_1, beta_2=DECISIONS.beta_2, name="adam"):
    """Adam (Kingma & Ba 2015) at the report's 2e-4; on TensorFlow each variable is updated by one fused kernel."""
    kind = FusedAdam if BACKEND == "tensorflow" else keras.optimizers.Adam
    return kind(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=DECISIONS.epsilon, name=name)


def rmsprop(learning_rate=TRAINING.learning_rate, name="rmsprop"):
    """RMSprop (Hinton 2012), with which the Wasserstein GAN was proposed: momentum does not go with clipped weights."""
    return keras.optimizers.RMSprop(learning_rate, name=name)


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
