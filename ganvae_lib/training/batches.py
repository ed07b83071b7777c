"""The data's order: a function of (seed, epoch)."""

import numpy as np

from ..errors import TrainingError
from ..quiet_keras import keras
from .backend import BACKEND

if BACKEND == "tensorflow":
    import tensorflow as tf


class Batches(keras.utils.PyDataset):
    """Whole batches of x in an order that is a function of (seed, epoch); the remainder of an epoch is left out.

    Args:
      x: images, (N, 28, 28, 1).
      batch_size: images a batch.
      seed, epoch: of the order.
      y: what goes with them row by row, where a model wants it: digits (N,), or the images of a second domain.
      share: (i, k): of each batch the i-th of k equal parts, from 0. Of k processes each computes on its own.
    """

    def __init__(self, x, batch_size, seed=0, epoch=0, y=None, share=(0, 1)):
        super().__init__()
        if not 1 <= batch_size <= len(x):
            raise TrainingError(f"batch_size must be between 1 and {len(x):,}, the number of images; got {batch_size}")
        if y is not None and len(y) != len(x):
            raise TrainingError(f"y must have one row for each of the {len(x):,} images; got {len(y):,}")
        self.arrays = (x,) if y is None else (x, y)
        self.x, self.batch_size, self.seed = x, batch_size, seed
        self.rows, self.first = batch_size // share[1], share[0] * (batch_size // share[1])
        self.shuffle(epoch)

    def shuffle(self, epoch):
        """Put the images into the order of `epoch`."""
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.x))

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, i):
        first = i * self.batch_size + self.first
        rows = self.order[first : first + self.rows]
        return tuple(array[rows] for array in self.arrays)

    def as_dataset(self):
        """The same batches as TensorFlow's dataset, in the order of the moment when an epoch starts.

        Keras would make one that tunes itself, and with it all steps of an epoch may run on a single thread: in about
        half of the VAE's epochs they did (bench/README.md).
        """
        options = tf.data.Options()
        options.autotune.enabled = False
        shapes = [(self.rows, *array.shape[1:]) for array in self.arrays]
        dtypes = [array.dtype for array in self.arrays]

        def batch(i):
            parts = tf.numpy_function(lambda i: self[i], [i], dtypes)
            return tuple(tf.ensure_shape(part, shape) for part, shape in zip(parts, shapes, strict=True))

        dataset = tf.data.Dataset.range(len(self)).map(batch)
        if self.rows == self.batch_size:
            return dataset.prefetch(2).with_options(options)
        # Several machines: TensorFlow would deal the rows out again. Each of its devices here takes an equal part.
        strategy = tf.distribute.get_strategy()
        parts = strategy.num_replicas_in_sync * self.rows // self.batch_size
        dataset = dataset.rebatch(self.rows // parts, drop_remainder=True) if parts > 1 else dataset
        return strategy.distribute_datasets_from_function(lambda _: dataset.prefetch(2).with_options(options))


class Shuffle(keras.callbacks.Callback):
    """Tells `Batches` which epoch `fit` is in; a PyDataset's own hook is called more often than once an epoch."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.shuffle(epoch)
