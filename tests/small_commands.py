"""Commands in small: what is there before each, and what is done.

Nothing is measured or downloaded in earnest, and the clock stands still, so that a command that was disturbed and given
again leaves the same bytes as one that was not.
"""

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ganvae_lib import data, load_mnist, runs
from ganvae_lib.data import MNIST
from ganvae_lib.explore.export import export
from ganvae_lib.metrics import MetricResult, classifier, feature_network
from ganvae_lib.models import variations
from ganvae_lib.quiet_keras import keras
from ganvae_lib.runs import away, bundle, epochs, evaluation, publishing, reproduce
from ganvae_lib.training import checkpoints

EPOCHS = 2
MNIST_SET = load_mnist()
FEW = MNIST(*(a[:200] for a in (MNIST_SET.x_train, MNIST_SET.y_train, MNIST_SET.x_test, MNIST_SET.y_test)), "few",
            "0" * 64)  # fmt: skip


class Variable:
    """As Keras' are, of NumPy."""

    def __init__(self, path, value):
        self.path, self.value, self.shape = path, np.float32(value), np.shape(value)

    def assign(self, value):
        self.value = np.float32(value)


class Dense:
    """The layer, as far as it is exported."""

    activation = SimpleNamespace(__name__="linear")

    def __init__(self, kernel, bias):
        self.kernel, self.bias, self.units = kernel.value, bias.value, bias.shape[0]


class Model:
    """What the library asks of a model, without a backend: milliseconds, and safe to fork. It learns nothing.

    After each step all of it has moved, by the data in their order and by noise that is a function of the step.
    """

    latent_dim, classes, page_kind, page_scale, encode, stop_training = 2, 0, None, 1.0, None, False
    coded = False  # whether it has codes to keep

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.weights = [Variable("kernel", rng.normal(size=(2, 784))), Variable("bias", rng.normal(size=784))]
        self.steps, self.seed = Variable("steps", 0), seed

    def state_variables(self):
        return [*self.weights, self.steps]

    def page_network(self):
        arrays = [v.value for v in self.weights]
        return SimpleNamespace(layers=[Dense(*self.weights)], count_params=lambda: 2352, get_weights=lambda: arrays)

    def networks(self):
        return {"decoder": self.page_network()}

    def prior(self, n, rng):
        return rng.standard_normal((n, 2)).astype("float32")

    def decode(self, z):
        return np.tanh(z @ self.weights[0].value + self.weights[1].value).reshape(-1, 28, 28, 1)

    def measure(self, x, y, **_):
        return [MetricResult.of("images", float(len(x)), len(x))]

    def snapshots(self, x):
        return {"reconstructions": x[:9]} | ({"codes": x.reshape(len(x), -1)[:, 300:302]} if self.coded else {})

    def fit(self, batches, *, epochs, initial_epoch, callbacks, **_):
        def tell(what, *args):
            for callback in callbacks:
                getattr(callback, what)(*args)

        tell("set_model", self)
        tell("on_train_begin")
        for epoch in range(initial_epoch, epochs):
            tell("on_epoch_begin", epoch)
            for i in range(len(batches)):
                move = batches[i][0].mean() * np.random.default_rng([self.seed, int(self.steps.value)]).normal()
                for variable in self.weights:
                    variable.assign(variable.value + move)
                self.steps.assign(self.steps.value + 1)
            tell("on_epoch_end", epoch, {"loss": float(move)})
        tell("on_train_end")


@contextmanager
def small():
    """The library with that model for a VAE; nothing but the mean of samples is measured."""
    pixels, networks = feature_network("pixels"), {}

    def measured(images, *_, reference, **__):
        return [MetricResult.of("distance", float(images.mean()), len(images), network=pixels, reference=reference)]

    def by_epoch(images, *_, **__):
        told = SimpleNamespace(value=float(images.mean()), extra={"counts": [len(images)]})
        return [SimpleNamespace(name=name, **vars(told)) for name in epochs.KEPT]

    def network_of(x, y, seed, *_):  # stands for the classifier's training
        return networks.setdefault(seed, classifier.build_classifier(seed))

    def fetched(name, url, file_hash, cache_dir, cache_subdir):
        (Path(cache_dir) / cache_subdir / name).write_bytes(b"digits" * 100)

    run = reproduce.Run(
        "vae", "report", "design/vae-report", 1, n=20, keep=("samples",), features=("pixels",), invert=False
    )
    baseline = reproduce.Run("baseline", "pca-gaussian", "baseline-pca-gaussian", 0)
    clock = SimpleNamespace(perf_counter=lambda: 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variations, "build", lambda kind, config, seed=0: Model(seed))
        patch.setattr(MNIST, "is_full", property(lambda self: True))
        patch.setattr(evaluation, "evaluate_samples", measured)
        patch.setattr(epochs, "evaluate_samples", by_epoch)
        for module in (evaluation, epochs):
            patch.setattr(module, "feature_network", lambda name: pixels)
        for module in (evaluation, publishing, reproduce):
            patch.setattr(module, "load_mnist", lambda: FEW)
        for module in (checkpoints, classifier):
            patch.setattr(module, "time", clock)
        patch.setattr(classifier, "_fit", network_of)
        patch.setattr(classifier, "_evaluate", lambda model, x, y: {"accuracy": 0.5, "images": len(x)})
        patch.setattr(keras.utils, "get_file", fetched)
        patch.setattr(reproduce, "RUNS", {run.folder: run, baseline.folder: baseline})
        yield


def train(out, seed=0, epochs=EPOCHS):
    return runs.train("vae", FEW, out, epochs=epochs, batch_size=100, seed=seed, progress=False,
                      resume=(out / "record.json").exists())  # fmt: skip


def evaluate(run, n=30):
    return evaluation.evaluate_target(run, n=n, features=["pixels"], invert=False, progress=False)


def publish(run, folder, n=20, **options):
    return publishing.publish(run, folder, n=n, invert=False, progress=False, **options)


def by_epoch(folder):
    epochs.measure_checkpoints(folder / "run", folder / "epochs.json", mnist=FEW, n=20, say=lambda line: None)


def train_classifier(folder, seed=1):
    classifier.train_classifier(FEW, out=folder / "classifier", seed=seed, epochs=1, report=None)


def fetch(folder):
    data.fetch(folder / "datasets" / "mnist.npz", data.URL, data.SHA256, "MNIST", "or go on without")


@dataclass(frozen=True)
class Command:
    """What is there before, and what is done, both functions of a folder."""

    prepare: object
    run: object


def once(prepare):
    """`prepare(folder)` done once, then copied."""
    done = []

    def copy(folder):
        if not done:
            done.append(tempfile.TemporaryDirectory())
            prepare(Path(done[0].name))
        shutil.copytree(done[0].name, folder, dirs_exist_ok=True)

    return copy


@once
def trained(folder):
    train(folder / "run")


@once
def published(folder):
    trained(folder)
    train(folder / "other", seed=1)
    publish(folder / "other", folder / "p")
    (folder / "p" / "note.txt").write_text("mine")


def measured(folder):
    trained(folder)
    evaluate(folder / "run", n=20)


def exported(folder):
    published(folder)
    export(folder / "p", folder / "models", name="m")
    publish(folder / "run", folder / "p")


def packed(folder):
    exported(folder)
    shutil.rmtree(folder / "models")
    (folder / "p" / "note.txt").unlink()
    for name in ("a", "b"):
        shutil.copytree(folder / "p", folder / "away" / "beyond" / name)
        old = folder / "home" / "beyond" / name  # the same run, brought home before without its samples
        shutil.copytree(folder / "p", old)
        (old / "samples.npz").unlink()
        (old / "epochs.json").write_text("{}")


def archived(folder):
    packed(folder)
    away.pack(folder / "away", folder)


COMMANDS = {
    "train": Command(lambda folder: None, lambda folder: train(folder / "run")),
    "evaluate": Command(once(measured), lambda folder: evaluate(folder / "run")),
    "measure by epoch": Command(trained, by_epoch),
    "publish": Command(published, lambda folder: publish(folder / "run", folder / "p")),
    "reproduce": Command(
        lambda folder: None, lambda folder: list(reproduce.reproduce(runs=folder / "runs", results=folder / "results"))
    ),
    "classifier": Command(lambda folder: train_classifier(folder, 0), train_classifier),
    "export": Command(once(exported), lambda folder: export(folder / "p", folder / "models", name="m")),
    "fetch": Command(lambda folder: None, fetch),
    "pack": Command(packed, lambda folder: away.pack(folder / "away", folder)),
    "take home": Command(
        archived, lambda folder: bundle.take_home(sorted(folder.glob("*.xz")), folder / "home")
    ),
    "sample": Command(
        lambda folder: (folder / "x.png").write_bytes(b"older"),
        lambda folder: runs.save_images(folder / "x.png", FEW.x_test[:20]),
    ),
}  # fmt: skip
# They write single files, each as a whole: of two the last one's stay. A half-written one that a kill leaves stays too.
WITHOUT_A_LOCK = ("sample", "pack")
