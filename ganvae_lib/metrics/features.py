"""The feature networks that scores of images are computed in, behind one interface.

A score of generated images compares features, so its value means nothing without the network that gave them.
Each network here knows its name, the hash of its weights and, where it classifies digits, its accuracy;
`describe()` puts that into a record.

    network = feature_network("mnist")
    features, logits = network(images)

Keras is imported by the networks that need it, when they are made: `pixels` works without a backend.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import fetch
from ..errors import CourseError, DataError
from ..files import first_line, keras_home

NAMES = ("mnist", "inception", "pixels")
INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
INCEPTION_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}"
INCEPTION_MD5 = "9a0d58056eeedaa3f26cb7ebd46da564"  # published by Keras

Progress = Callable[[int, int], None]


class FeatureExtractor:
    """Images (N, 28, 28, 1) on [−1, 1] → features (N, d) and, of a classifier, logits (N, k).

    Attributes:
      name: `mnist`, `inception` or `pixels`; a score's own name is made from it (`ganvae_lib.metrics.result`).
      dim: d, the number of features.
      classes: k, the number of logits, or None.
      sha256: hash of the weights' file, or None where there are no weights.
      accuracy: share of the MNIST test images it classifies rightly, or None where it classifies no digits.
      pixel_range: the range it reads images on.
    """

    name: str
    dim: int
    classes: int | None = None
    sha256: str | None = None
    accuracy: float | None = None
    pixel_range: tuple[float, float] = (-1.0, 1.0)
    batch_size: int = 500

    def __call__(
        self, images: Any, batch_size: int | None = None, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Features and logits of all images.

        Args:
          images: float, (N, 28, 28, 1), on [−1, 1].
          batch_size: images at a time; None for what suits the network.
          progress: called after each batch with the number of images done and N.

        Returns:
          Features float32 (N, d), and logits float32 (N, k) or None.

        Raises:
          CourseError: the images have the wrong shape, dtype or range, or are not finite.
        """
        features, logits = zip(*self.batches(images, batch_size, progress), strict=True)
        return np.concatenate(features), None if logits[0] is None else np.concatenate(logits)

    def batches(
        self, images: Any, batch_size: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The same batch by batch, for statistics that keep no features. All images are checked first."""
        x = check_images(images)
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise CourseError(f"batch_size is {size}: use at least 1")
        return self._batches(x, size, progress)

    def _batches(self, x, size, progress):
        for i in range(0, len(x), size):
            yield self.forward(x[i : i + size])
            if progress is not None:
                progress(min(i + size, len(x)), len(x))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Features and logits of one batch that has been checked."""
        features, logits = self.model.predict_on_batch(x)
        return np.asarray(features), np.asarray(logits)

    def describe(self) -> dict:
        """What a record says about the network that a score was computed in."""
        keys = ("name", "dim", "classes", "sha256", "accuracy")
        return {**{key: getattr(self, key) for key in keys}, "pixel_range": list(self.pixel_range)}

    def __repr__(self):
        digits = f", {self.accuracy:.2%} of test digits right" if self.accuracy is not None else ""
        weights = f", weights {self.sha256[:12]}" if self.sha256 else ""
        return f"<{self.name} features, d = {self.dim}{digits}{weights}>"


class PixelFeatures(FeatureExtractor):
    """The image itself: 784 pixels on [−1, 1], row by row. The network to distrust the others with."""

    name, dim = "pixels", 784

    def forward(self, x):
        """The pixels, and no logits."""
        return x.reshape(len(x), self.dim), None


class MnistFeatures(FeatureExtractor):
    """The 64 features before the logits of the digit classifier in `ganvae_lib.metrics.classifier`.

    Args:
      weights: an .npz written by `ganvae classifier`, its card beside it; None for the one that the library
        carries.
    """

    name, dim, classes = "mnist", 64, 10

    def __init__(self, weights: str | os.PathLike | None = None):
        from .classifier import load_classifier

        self.model, self.card = load_classifier(weights)
        self.sha256, self.accuracy = self.card["sha256"], self.card["test"]["accuracy"]


class InceptionFeatures(FeatureExtractor):
    """InceptionV3 as Keras carries it, trained on ImageNet: 2048 pooled features and 1000 logits.

    Images are resized to 299×299 (bilinear, half-pixel centres; antialiasing is on, and without effect on
    28×28 images, which are only ever enlarged), repeated over three channels, and left on [−1, 1], which is
    this network's own preprocessing.

    It is **not** the network behind published FIDs: those use the TensorFlow graph 'pt_inception-2015-12-05'
    with its 1008 classes, its pooling and its resizing. Figures from here are 'ImageNet-Inception', with the
    hash of the weights, and are compared among themselves. 10,000 images take about a quarter of an hour on
    two CPU cores.

    Args:
      weights: an .h5 file of the full network's weights, its classifier included. Otherwise the file named by
        `GANVAE_INCEPTION`, then Keras' cache (verified by the published hash), then the network if asked.
      download: fetch the published weights (96 MB) through Keras into its cache where no file is at hand.

    Raises:
      DataError: there are no weights at hand, or the file is damaged or of another network.
    """

    name, dim, classes = "inception", 2048, 1000
    batch_size = 32

    def __init__(self, weights: str | os.PathLike | None = None, download: bool = False):
        path = self._find(weights, download)
        if _digest(path, "md5") != INCEPTION_MD5:
            self.name = "inception, own weights"  # what they were trained on is not known here
        self.sha256 = _digest(path, "sha256")
        self.model = self._build(path)

    @staticmethod
    def _find(weights, download) -> Path:
        named = weights or os.environ.get("GANVAE_INCEPTION")
        cached = keras_home() / "models" / INCEPTION_FILE
        if named:
            path = Path(os.path.expanduser(named))
            if not path.is_file() or path.suffix != ".h5":
                raise DataError(f"{path} is no .h5 file: point weights= or GANVAE_INCEPTION at {INCEPTION_FILE}")
            return path
        if cached.is_file():
            if _digest(cached, "md5") != INCEPTION_MD5:
                raise DataError(
                    f"{cached} is not the file that Keras publishes (its md5 differs): delete it and fetch it again"
                )
            return cached
        if download:
            mend = f"or point GANVAE_INCEPTION at a copy of {INCEPTION_FILE}"
            return fetch(cached, INCEPTION_URL, INCEPTION_MD5, "InceptionV3's weights", mend)
        raise DataError(
            "InceptionV3's ImageNet weights are not at hand: fetch them (96 MB) with "
            "feature_network('inception', download=True), "
            f"or point GANVAE_INCEPTION at a copy of {INCEPTION_FILE} from {INCEPTION_URL}"
        )

    @staticmethod
    def _build(path):
        from ..quiet_keras import keras

        inception = keras.applications.InceptionV3(weights=None, classifier_activation=None)
        try:
            inception.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} does not hold InceptionV3's weights ({first_line(error)}): get {INCEPTION_FILE} again"
            ) from error
        x = keras.Input((28, 28, 1), name="x")
        large = keras.ops.image.resize(x, (299, 299), "bilinear", antialias=True, data_format="channels_last")
        pooled = keras.Model(inception.input, [inception.get_layer("avg_pool").output, inception.output])
        return keras.Model(x, pooled(keras.ops.repeat(large, 3, axis=-1)), name="inception")


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def feature_network(name: str, weights: str | os.PathLike | None = None, download: bool = False) -> FeatureExtractor:
    """The feature network of that name.

    Args:
      name: `mnist` (d = 64), `inception` (d = 2048) or `pixels` (d = 784).
      weights: a weights file in place of the usual one (not for `pixels`).
      download: let `inception` fetch its weights. Nothing else ever goes to the network.

    Raises:
      CourseError: there is no network of that name, or `pixels` was given weights.
      DataError: its weights are missing, damaged, or not what their card says.
    """
    if name == "mnist":
        return MnistFeatures(weights)
    if name == "inception":
        return InceptionFeatures(weights, download)
    if name == "pixels":
        if weights is not None:
            raise CourseError("the feature network 'pixels' has no weights: leave weights out")
        return PixelFeatures()
    raise CourseError(f"there is no feature network {name!r}: choose from {', '.join(NAMES)}")


def check_images(images: Any) -> np.ndarray:
    """The images as float32 (N, 28, 28, 1) on [−1, 1], or a `CourseError` whose one line names the mend.

    Rounding beyond ±1 (up to 1e-4) is let pass. Values that all lie on [0, 1], but for such a rounding, are refused
    although they are within [−1, 1]: a digit's background is −1, so that is an image on the other range, and every
    score of it would be wrong.
    """
    x = np.asarray(images)
    if x.shape[1:] != (28, 28, 1):
        mend = "bring them to that shape"
        if x.shape == (28, 28, 1):
            mend = "a single image is x[None]"
        elif x.shape[1:] == (28, 28):
            mend = "add the channel with x[..., None]"
        elif x.shape[1:] == (784,):
            mend = "use x.reshape(-1, 28, 28, 1)"
        raise CourseError(f"images have shape {x.shape}, expected (N, 28, 28, 1): {mend}")
    if len(x) == 0:
        raise CourseError("there are no images: the array has shape (0, 28, 28, 1)")
    to_range = "divide by 127.5 and subtract 1"
    from_unit = "for images on [0, 1], multiply by 2 and subtract 1"
    if not np.issubdtype(x.dtype, np.floating):
        mend = to_range if np.issubdtype(x.dtype, np.integer) else "convert them with astype('float32')"
        raise CourseError(f"images are {x.dtype}, expected float32 on [−1, 1]: {mend}")
    low, high = float(x.min()), float(x.max())
    span = f"pixels run from {low:g} to {high:g}, expected −1 to 1"
    if not np.isfinite([low, high]).all():
        bad = int((~np.isfinite(x).all(axis=(1, 2, 3))).sum())
        raise CourseError(
            f"{bad} of {len(x)} images hold NaN or infinity: look for where the model that made them diverged"
        )
    if low >= 0 and high > 1 + 1e-4:
        raise CourseError(f"{span}: for images on [0, 255], {to_range}")
    if 0 <= low < high or -1e-4 <= low < 0.5 < high:
        raise CourseError(f"{span}: {from_unit}")
    if low < -1 - 1e-4 or high > 1 + 1e-4:
        raise CourseError(f"{span}: np.clip(x, -1, 1) if the excess is meant")
    return x.astype("float32", copy=False)
