"""The MNIST classifier behind the `mnist` feature network: architecture, recipe, weights and model card.

Scores of generated images (Fréchet distance, inception score, KID, precision and recall) compare features,
and on digits the features of a digit classifier mean more than those of ImageNet. The weights shipped beside
this file are read by `ganvae_lib.metrics.features`; `train_classifier` is the command that made them.
Everything known about them stands in `mnist_classifier.json`, the model card.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CourseError, DataError
from ..files import NPZ_FAULTS, first_line, locked, read_npz, sweep, together
from ..quiet_keras import keras, layers, ops

FEATURE_DIM = 64
WEIGHTS_NAME = "mnist_classifier.npz"
SHIPPED_WEIGHTS = Path(__file__).with_name(WEIGHTS_NAME)

# Chosen on 5,000 held-out training images; the test set chose nothing.
EPOCHS = 20
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
DROPOUT = 0.3
AUGMENTATION = {"rotation_degrees": 12.0, "zoom": 0.12, "shear": 0.12, "shift_pixels": 2.5}


def build_classifier(seed: int = 0) -> keras.Model:
    """Five 3×3 convolutions, a 64-dimensional feature layer and ten logits.

    Every hidden layer is linear map → BatchNorm → LeakyReLU(0.2). The slope is the point: with ReLU many of
    the 64 features are 0 on every digit (30 of 64 in one probe), and a feature that never moves makes a
    covariance singular. 271,706 numbers, the norms' running means and variances among them.

    Args:
      seed: of the initial weights and of the dropout masks.

    Returns:
      A model from images `x` (N, 28, 28, 1) on [−1, 1] to the list [features (N, 64), logits (N, 10)].
    """

    def linear(i):
        return {"use_bias": False, "kernel_initializer": keras.initializers.HeNormal(1000 * seed + i)}

    def block(h, layer, name):
        h = layers.BatchNormalization(name=f"{layer.name}_norm")(layer(h))
        return layers.LeakyReLU(0.2, name=name)(h)

    x = h = keras.Input((28, 28, 1), name="x")
    for i, (filters, strides) in enumerate([(16, 1), (32, 2), (32, 1), (64, 2), (64, 1)], start=1):
        conv = layers.Conv2D(filters, 3, strides=strides, padding="same", name=f"conv{i}", **linear(i))
        h = block(h, conv, f"conv{i}_act")
    h = layers.Dropout(DROPOUT, seed=1000 * seed + 5, name="dropout")(layers.Flatten(name="flatten")(h))
    features = block(h, layers.Dense(FEATURE_DIM, name="dense", **linear(6)), "features")
    init = keras.initializers.GlorotUniform(1000 * seed + 7)
    logits = layers.Dense(10, kernel_initializer=init, name="logits")(features)
    return keras.Model(x, [features, logits], name="mnist_classifier")


def augment(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image turned, zoomed, sheared and shifted a little, in one bilinear resampling.

    About the image's centre c, the grey at point p is taken from A (p − c) + c + t, where A = rotation · shear /
    zoom; what lies outside the image is background (−1).

    Args:
      x: images (N, 28, 28, 1) on [−1, 1].
      rng: where the N transformations are drawn from; each amount is uniform within ± `AUGMENTATION`.

    Returns:
      Images of the same shape and range.
    """
    limits = AUGMENTATION
    angle, zoom, shear, *t = rng.uniform(-1, 1, (5, len(x)))
    angle, shear = np.deg2rad(limits["rotation_degrees"]) * angle, limits["shear"] * shear
    scale = 1 / (1 + limits["zoom"] * zoom)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    a, b, c, d = cos, cos * shear - sin, sin, sin * shear + cos
    centre = 13.5
    tx, ty = centre + limits["shift_pixels"] * np.array(t)
    rows = [a, b, tx - centre * (a + b), c, d, ty - centre * (c + d), 0 * a, 0 * a]
    maps = np.stack(rows, axis=1).astype("float32")
    parts = [
        ops.image.affine_transform(
            x[i : i + 1000],
            maps[i : i + 1000],
            fill_mode="constant",
            fill_value=-1.0,
            data_format="channels_last",
        )
        for i in range(0, len(x), 1000)
    ]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def train_classifier(
    data: Any,
    *,
    out: str | os.PathLike,
    seed: int = 0,
    epochs: int = EPOCHS,
    holdout: int | None = None,
    report: Callable[[str], None] | None = print,
) -> dict:
    """Train the classifier by its recipe; write its weights and its model card.

    The recipe runs twice: on all training images but `holdout`, for the validation accuracy by which anything
    may be chosen, and then, unchanged, on all of them. Only that second network is kept, and it meets the
    test images once, after its weights have been rounded to what the file holds. There is no label smoothing:
    it would lower every inception score by capping p(y | x).

    Args:
      data: what `load_mnist()` returns.
      out: folder for `mnist_classifier.npz` and `mnist_classifier.json`; made if missing.
      seed: of the weights, dropout and held-out choice, and, with the epoch's number, of order and augmentation.
      epochs: passes over the data in each of the two runs.
      holdout: training images held out in the first run; None for one in twelve, 0 to leave that run out.
      report: called with one line an epoch; None for silence.

    Returns:
      The model card, as written.

    Raises:
      CourseError: `epochs` < 1, or `holdout` is negative or leaves no image to train on.
      RunError: `out` cannot be written to, or another process trains one there.
    """
    n = len(data.x_train)
    holdout = n // 12 if holdout is None else holdout
    if epochs < 1:
        raise CourseError(f"epochs is {epochs}: train for at least 1")
    if not 0 <= holdout < n:
        raise CourseError(f"holdout is {holdout}: hold out between 0 and {n - 1:,} of the {n:,} training images")
    # A folder that cannot be written to is found out before the work, not after it.
    with locked(out, "training the classifier", mend="choose another --out", make=True):
        return save_classifier(*_trained(data, seed, epochs, holdout, report), out)


def _trained(data, seed, epochs, holdout, report) -> tuple[keras.Model, dict]:
    """The network of the recipe, and its card."""
    n = len(data.x_train)
    start, validation = time.perf_counter(), None
    if holdout:
        chosen = np.random.default_rng([seed, n]).permutation(n)
        held, kept = chosen[:holdout], chosen[holdout:]
        model = _fit(data.x_train[kept], data.y_train[kept], seed, epochs, report, f"{len(kept):,} images")
        validation = {"trained_on": len(kept), **_evaluate(model, data.x_train[held], data.y_train[held])}
        if report:
            report(f"validation accuracy {validation['accuracy']:.4f} on {holdout:,} held-out training images")
    model = _fit(data.x_train, data.y_train, seed, epochs, report, f"{n:,} images")
    test = {"trained_on": n, **_evaluate(model, data.x_test, data.y_test)}
    if report:
        report(f"test accuracy {test['accuracy']:.4f} on {len(data.x_test):,} images")
    card = {
        "name": "mnist-classifier",
        "what": "Convolutional classifier of MNIST digits: the feature network of the scores.",
        "weights": WEIGHTS_NAME,
        "sha256": None,
        "bytes": None,
        "parameters": model.count_params(),
        "feature_dim": FEATURE_DIM,
        "classes": 10,
        "input": {"shape": [28, 28, 1], "dtype": "float32", "pixel_range": [-1.0, 1.0]},
        "data": {
            "source": data.source,
            "sha256": data.sha256,
            "train": n,
            "test": len(data.x_test),
            "held_out_for_choices": holdout,
        },
        "recipe": {
            "optimizer": "Adam",
            "learning_rate": LEARNING_RATE,
            "schedule": "cosine to 0",
            "batch_size": BATCH_SIZE,
            "dropout": DROPOUT,
            "augmentation": AUGMENTATION,
            "label_smoothing": 0.0,
            "stored_as": "float16 kernels, float32 vectors",
        },
        "epochs": epochs,
        "seed": seed,
        "validation": validation,
        "test": test,
        "seconds": round(time.perf_counter() - start),
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("keras", keras.backend.backend(), "numpy")},
        },
        "command": f"ganvae classifier --out FOLDER --seed {seed} --epochs {epochs} --holdout {holdout}",
    }
    return model, card


def _fit(x, y, seed, epochs, report, label) -> keras.Model:
    """One run of the recipe; the weights come back rounded as the file holds them."""
    model = build_classifier(seed)
    steps = epochs * -(-len(x) // BATCH_SIZE)
    # On a CPU, TensorFlow's XLA makes convolutions several times slower; JAX has nothing but XLA.
    classifier = keras.Model(model.input, model.output[1])
    classifier.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() != "tensorflow",
    )
    for epoch in range(epochs):
        start, rng = time.perf_counter(), np.random.default_rng([seed, epoch])
        order = rng.permutation(len(x))
        images, labels = augment(x[order], rng), y[order].astype("int32")
        log = classifier.fit(images, labels, batch_size=BATCH_SIZE, shuffle=False, verbose=0).history
        if report:
            seconds = time.perf_counter() - start
            scores = f"loss {log['loss'][0]:.4f}  accuracy {log['accuracy'][0]:.4f}"
            report(f"{label}  epoch {epoch + 1}/{epochs}  {scores}  {seconds:.0f} s")
    _set_weights(model, _rounded_weights(model))
    return model


def _evaluate(model, x, y) -> dict:
    """Accuracy, errors and mean negative log-likelihood (nats per image) in float64."""
    logits = np.concatenate([ops.convert_to_numpy(model(x[i : i + 500])[1]) for i in range(0, len(x), 500)])
    logits = logits.astype("float64")
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    errors = int(np.sum(logits.argmax(axis=1) != y))
    nll = -log_p[np.arange(len(y)), y.astype(int)].mean()
    return {"images": len(x), "errors": errors, "accuracy": 1 - errors / len(x), "nll": round(float(nll), 5)}


def _rounded_weights(model) -> dict[str, np.ndarray]:
    """Every weight by 'layer/name': kernels in float16, vectors (norms and biases) in float32."""
    weights = {f"{layer.name}/{w.name}": ops.convert_to_numpy(w) for layer in model.layers for w in layer.weights}
    return {key: w.astype("float16" if w.ndim > 1 else "float32") for key, w in weights.items()}


def _set_weights(model, weights: dict[str, np.ndarray]) -> None:
    for layer in model.layers:
        for w in layer.weights:
            w.assign(weights[f"{layer.name}/{w.name}"].astype("float32"))


def save_classifier(model: keras.Model, card: dict, folder: str | os.PathLike) -> dict:
    """Write weights and card into `folder`, neither before both are there; return the card, now with hash and size."""
    weights_path = Path(folder) / WEIGHTS_NAME
    paths = weights_path, weights_path.with_suffix(".json")
    for path in paths:
        sweep(path)
    with together(*paths) as (weights, told):
        with open(weights, "wb") as file:
            np.savez_compressed(file, **_rounded_weights(model))
        card = {**card, "sha256": file_sha256(weights), "bytes": weights.stat().st_size}
        told.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def load_classifier(weights: str | os.PathLike | None = None) -> tuple[keras.Model, dict]:
    """The classifier with its trained weights, and its card.

    Args:
      weights: an .npz written by `train_classifier` with its .json beside it; None for the one the library
        carries.

    Raises:
      DataError: weights or card are missing, the weights are not the ones the card describes, or do not fit
        the network.
    """
    path, mend = _path_and_mend(weights)
    card = classifier_card(weights)
    if not path.is_file():
        raise DataError(f"{path} is not there: {mend}")
    if (found := file_sha256(path)) != card["sha256"]:
        raise DataError(f"{path} is not what its card says (sha256 {found[:12]}…, card {card['sha256'][:12]}…): {mend}")
    model = build_classifier()
    try:
        _set_weights(model, read_npz(path))
    except NPZ_FAULTS as error:
        raise DataError(f"{path} does not hold this classifier's weights ({first_line(error)}): {mend}") from error
    return model, card


def classifier_card(weights: str | os.PathLike | None = None) -> dict:
    """The model card beside `weights` (default: the shipped ones), without building any network."""
    path, mend = _path_and_mend(weights)
    path = path.with_suffix(".json")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        complete = isinstance(card["sha256"], str) and 0 <= card["test"]["accuracy"] <= 1
    except FileNotFoundError as error:
        raise DataError(f"{path}, the classifier's model card, is not there: {mend}") from error
    except KeyError:
        complete = False
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{path} is no model card: {mend}") from error
    if not complete:
        raise DataError(f"{path} is no model card, it lacks the hash or the test accuracy: {mend}")
    return card


def _path_and_mend(weights):
    if weights is None:
        return SHIPPED_WEIGHTS, "install ganvae-lib again"
    return Path(weights), f"'ganvae classifier' writes {WEIGHTS_NAME} and its card side by side"


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
