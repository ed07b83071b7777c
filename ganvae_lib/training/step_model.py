"""`StepModel`: a model with several optimizers, written once with `keras.ops`, trained by `fit` on either backend."""

from typing import ClassVar

import numpy as np

from ..errors import TrainingError
from ..quiet_keras import keras, ops
from . import backend
from .backend import BACKEND
from .batches import Batches
from .devices import over_machines, replicas
from .scan import fit_scanned

if BACKEND == "tensorflow":
    import tensorflow as tf

NO_TEST_STEP = (
    "the losses of these models are taken inside a training step, there are none without it: measure on other images "
    "with model.measure(x, y, reference='…') or 'ganvae evaluate', and call fit with what is trained on alone"
)
NO_CONFIGURATION = (
    "a .keras file of this model could not be loaded again: keep it with model.save_weights('m.weights.h5') and load "
    "that into a model made the same way, or train it with 'ganvae train' and keep it with 'ganvae publish'"
)


class StepModel(keras.Model):
    """A model that says in `step(x)` what one round of training does; `fit` runs it on either backend.

    A subclass names its losses in `loss_names`, gives `step(x) -> {name: scalar}`, and calls `compile_players` from
    `compile`. Inside `step` it uses `noise`, `minimize`, `vjp`, `value_and_gradient` and `input_gradient`.

    What the rest of the library asks a model stands in the attributes and methods under 'what a model answers':
    outside `models/` nothing asks which model it has.
    """

    loss_names: tuple[str, ...] = ()

    # --- what a model answers for itself ---

    parts: ClassVar = {}  # attribute → the function that builds the network, its arguments those of a variation
    page_part = "generator"  # the part that a page runs: from z, or what `prior` draws, to an image
    page_kind = None  # how a page runs that part: None, its layers one after another; else `explore.modulated`
    page_scale = None  # a page's network gives logits a, the image is tanh(scale · a); None: it gives the image
    classes = 0  # how many numbers at the end of what `prior` draws are a one-hot class
    encode = None  # a method (x) → (mu, log_var), each (N, d), where there is a way from an image to a code

    def decode(self, z):
        """Latent vectors z (N, latent_dim), as `prior` draws them → images (N, 28, 28, 1) in [−1, 1]."""
        raise NotImplementedError

    def call(self, z, training=False):
        """Images of latent vectors z (N, latent_dim)."""
        return self.decode(z)

    def page_network(self):
        """The network of z alone that a page may run, and that an image is searched in."""
        return getattr(self, self.page_part)

    def prior(self, n, rng):
        """`n` latent vectors to decode. NumPy's generator `rng` → float32 (n, latent_dim)."""
        return rng.standard_normal((n, self.latent_dim)).astype("float32")

    def measure(self, x, y, *, reference, seed=0, progress=None):
        """What is measured on the model itself, on real images x (N, 28, 28, 1) of digits y. → [MetricResult]."""
        return []

    def snapshots(self, x):
        """What figures at several epochs show beside samples, on real images x: name → array."""
        return {}

    @classmethod
    def loss_in_words(cls, options):
        """One line for a record: which loss these arguments of the model mean."""
        raise NotImplementedError

    @classmethod
    def training_arrays(cls, data, options=None):
        """What `step` sees of the training set: (x,), or (x, y) with labels or with a second domain's images.

        `options` are the arguments of the model, where it depends on them.
        """
        return (data.x_train,)

    @classmethod
    def why_not_distributed(cls, options):
        """None, or in words why several devices would train another model."""
        return None

    def networks(self):
        """The networks by name."""
        return {part: getattr(self, part) for part in self.parts}

    # --- training ---

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

    def fit(self, x=None, *args, scanned=False, **kwargs):
        """Keras' `fit`; on TensorFlow it takes `Batches` as a dataset that leaves the step its threads.

        `scanned`: on JAX, each epoch of `Batches` is one call of a compiled loop (`scan.fit_scanned`).
        """
        if kwargs.get("validation_split") or kwargs.get("validation_data") is not None:
            raise TrainingError(NO_TEST_STEP)
        if scanned:
            return fit_scanned(self, x, **kwargs)
        if BACKEND == "tensorflow" and isinstance(x, Batches):
            x = x.as_dataset()
        return super().fit(x, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """Refused: Keras would report a loss that no step of the training has."""
        raise TrainingError(NO_TEST_STEP)

    def save(self, *args, **kwargs):
        """Refused: the file could not be loaded again, its networks and several optimizers are no Keras configuration.

        `save_weights` and `load_weights` work as ever.
        """
        raise TrainingError(NO_CONFIGURATION)

    def get_config(self):
        """Refused for the same reason; `keras.saving.save_model` asks for it."""
        raise TrainingError(NO_CONFIGURATION)

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
        """Standard normal noise (n, d), fresh at each call and each step."""
        return self._rows(keras.random.normal, n, d)

    def uniform(self, n, d):
        """Uniform noise on [0, 1), (n, d), fresh at each call and each step."""
        return self._rows(keras.random.uniform, n, d)

    def _rows(self, draw, n, d):
        """A replica of TensorFlow's draws the whole batch's noise and takes its own rows: the same as on one device."""
        if (count := replicas()) == 1:
            return draw((n, d), seed=self.noise_seed)
        first = n * tf.distribute.get_replica_context().replica_id_in_sync_group
        return draw((n * count, d), seed=self.noise_seed)[first : first + n]

    def minimize(self, loss_fn, network, optimizer, has_aux=False):
        """One optimizer step on `loss_fn()` for the weights of `network`. → the loss, or (loss, aux)."""
        result, pull_back = self.vjp(loss_fn, network, has_aux)
        loss = result[0] if has_aux else result
        optimizer.apply(pull_back(ops.ones_like(loss)), network.trainable_variables)
        return result

    def vjp(self, fn, network, has_aux=False):
        """`fn()` and its vector-Jacobian product: pull_back(v) = (∂fn/∂θ)ᵀ v for the weights θ of `network`."""
        return backend.vjp(fn, network.trainable_variables, self._everything(), has_aux)

    def value_and_gradient(self, fn, x):
        """`fn(x)`, a scalar, and its gradient in the tensor x; `fn` may change the model's state."""
        return backend.value_and_gradient(fn, x, self._everything())

    def input_gradient(self, critic, x):
        """∇ₓ of critic(x) for each row of x (N, …) → (N, …), differentiable in the weights and in x."""
        return backend.input_gradient(critic, x, self._everything())

    def _everything(self):
        return [*self.state_variables(), *self.metrics_variables] if BACKEND == "jax" else ()

    def tracked_step(self, data):
        """`step`, with the running mean of each loss over the epoch as what `fit` reports."""
        values = self.step(*(data if isinstance(data, (tuple, list)) else (data,)))
        for tracker in self.trackers:
            tracker.update_state(values[tracker.name])
        return {tracker.name: tracker.result() for tracker in self.trackers}

    if BACKEND == "tensorflow":

        def train_step(self, data):
            logs = self.tracked_step(data)
            # Over several machines Keras 3 takes the mean along axis 0, which a scalar has not.
            return {name: ops.reshape(value, (1,)) for name, value in logs.items()} if over_machines() else logs

        def _maybe_symbolic_build(self, *args, **kwargs):
            """Keras builds a model from a batch, and over several machines fails to; this one is built already."""

    else:

        def train_step(self, state, data):
            """Keras' JAX trainer wants state in, state out: run the stateful step in a scope over the given state."""
            groups = self.state_groups()
            mapping = [
                pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                logs = self.tracked_step(data)
            return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

        def state_groups(self):
            """The variables of a step in the order in which Keras' JAX trainer hands their values over."""
            return [
                self.trainable_variables,
                self.non_trainable_variables,
                self.optimizer.variables,
                self.metrics_variables,
            ]


def batched(function, *arrays, batch_size=500):
    """`function` of NumPy arrays batch by batch, the results (an array, or a tuple of them) joined along axis 0."""
    parts = [function(*(array[i : i + batch_size] for array in arrays)) for i in range(0, len(arrays[0]), batch_size)]
    if isinstance(parts[0], (tuple, list)):
        return tuple(np.concatenate([np.asarray(p) for p in part]) for part in zip(*parts, strict=True))
    return np.concatenate([np.asarray(part) for part in parts])
