"""Measure a run, or any set of images, against real digits."""

import json
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from ..data import MNIST, load_mnist, to_uint8, to_unit_range
from ..errors import RunError
from ..files import locked, sweep, write_text
from ..latent import image_decoder, invert
from ..metrics import (
    MetricResult,
    evaluate_samples,
    feature_network,
    load_images,
)
from ..models.baselines import BASELINES
from ..paper import DECISIONS
from .record import Record
from .results import save_npz, stored_samples
from .run import load_run, sample

DECODER_LIMIT = 100_000  # parameters: a decoder or generator this small is inverted, and kept at each figure's epoch
INVERTED_IMAGES, INVERSION_STEPS, INVERSION_STARTS = 100, 200, 4


def evaluate_target(
    target,
    *,
    n: int | None = None,
    against: str = "test",
    features: Sequence[str] = ("mnist", "pixels"),
    seed: int = 0,
    mnist: MNIST | None = None,
    model=None,
    invert: bool = True,
    progress: bool = True,
) -> list[MetricResult]:
    """All metrics of a run folder, a `.npz` of images or a folder of PNGs against real digits.

    A run's record keeps the results. Its stored samples are measured where they are of the same N, seed and epoch;
    otherwise samples are drawn and stored beside the record. What needs the model itself (reconstruction, bounds) is
    measured where its weights are at hand; where they were too large to keep, the record's figures stay as they are.

    Args:
      target: the folder or file.
      n: samples of a run's model; default 10,000, or as many as are stored.
      against: 'test' or 'train', the reference set; the other one gives the real-against-real floor.
      features: names of feature networks ('mnist', 'pixels', 'inception').
      seed: of the samples and of every draw.
      mnist: the real digits; `load_mnist()` where not given.
      model: the run's model; loaded where not given and its folder keeps the weights.
      invert: search images in a model that is small enough.
      progress: show how far it is.

    Raises:
      CourseError: the target is neither, something in it is damaged, or another process has the run or nothing can be
        written there (then nothing is measured either).
    """
    target = Path(target)
    networks = [feature_network(name) for name in features]  # first: a wrong name should not cost the sampling
    mnist = mnist or load_mnist()
    is_run = target.is_dir() and (target / "record.json").exists()
    mend = "copy it to a place where that can be done, and measure the copy"
    with locked(target, "measuring", mend=mend) if is_run else nullcontext():
        if is_run:
            sweep(target)
            record = Record.read(target)
            check_data(target, record, mnist)
            if model is None and ((target / "weights.h5").exists() or (target / "checkpoints").exists()):
                model, loaded = load_run(target)
                record = record if loaded.epochs_done == record.epochs_done else loaded
            images = _samples(target, record, model, n, seed, mnist)
        else:
            record, images = None, load_images(target)
        train, test = (
            (mnist.x_train, f"training images of {mnist.name}"),
            (mnist.x_test, f"test images of {mnist.name}"),
        )
        (reference, name), (floor_images, floor) = (test, train) if against == "test" else (train, test)
        digits = mnist.y_test if against == "test" else mnist.y_train
        with _progress(progress) as show:
            results = evaluate_samples(
                images, reference, networks, seed, reference=name, floor_images=floor_images, floor=floor,
                train_images=_trained_on(record, mnist), train=f"training images of {mnist.name}", progress=show,
            )  # fmt: skip
            if model is not None:
                results += _of_model(model, reference, digits, name, seed, show, invert)
            elif record is not None:
                results += [metric for metric in record.metrics if metric.feature_network is None]
        if record is not None:
            record = record.model_copy(update={"metrics": merged(record.metrics, results)})
            write_text(target / "record.json", record.to_json())
    return results


def check_data(target, record: Record, mnist: MNIST) -> None:
    """RunError where a run's data are not those at hand: its metrics would be of two kinds."""
    if record.data.sha256 != mnist.sha256:
        raise RunError(
            f"{target} is a run on {record.data.source} (sha256 {record.data.sha256[:12]}), at hand is {mnist.source}: "
            "set GANVAE_MNIST to the run's data, or measure its samples.npz, which changes no record"
        )


def merged(before: list[MetricResult], now: list[MetricResult]) -> list[MetricResult]:
    """What is measured now, and of what was measured before the results in another network, of another set or N."""

    def key(m):
        network = m.feature_network and (m.feature_network.name, m.feature_network.sha256)
        return m.name, network, m.reference, m.n_reference, m.n

    replaced = {key(m) for m in now}
    return [*now, *(m for m in before if key(m) not in replaced)]


def _of_model(model, x, y, name: str, seed: int, progress, invert: bool) -> list[MetricResult]:
    """What is measured on the model itself, not on its samples."""
    results = model.measure(x, y, reference=name, seed=seed, progress=progress)
    if invert and is_small(model) and not model.classes:  # a search over classes would mix them
        results.append(inversion(model, x, reference_name=name, seed=seed, progress=progress))
    return results


def inversion(
    model, x: np.ndarray, *, reference_name: str, n: int = INVERTED_IMAGES, seed: int = 0, progress=None
) -> MetricResult:
    """The error that is left when `n` of the images x are searched for in what the model can draw (`latent.invert`).

    A GAN has no other way from a picture to a z. Of a VAE, `extra["encoder"]` is the error of the same images through
    z = mu. The images and the starting points are drawn with `seed`, so two models are asked for the same images.
    """
    x = x[np.random.default_rng(seed).permutation(len(x))[:n]]
    found = invert(
        image_decoder(model), x, steps=INVERSION_STEPS, restarts=INVERSION_STARTS, seed=seed, progress=progress
    )
    mse = found.error.astype(float) / x[0].size
    extra = {"steps": INVERSION_STEPS, "starts": INVERSION_STARTS}
    if model.encode is not None:
        extra["encoder"] = float(np.mean((x - np.asarray(model(x))) ** 2, dtype="float64"))
    return MetricResult.of(
        "inversion MSE on [−1, 1]", float(mse.mean()), len(x), unit="per pixel", better="lower",
        spread=float(mse.std(ddof=1) / np.sqrt(len(x))), spread_kind="standard error", pixel_range=(-1.0, 1.0),
        reference=reference_name, seed=seed, extra=extra,
    )  # fmt: skip


def is_small(model) -> bool:
    """Whether a model's decoder or generator is small enough to be inverted, and kept at each figure's epoch."""
    network = model.page_network()
    return network is not None and network.count_params() <= DECODER_LIMIT


def _samples(folder: Path, record: Record, model, n: int | None, seed: int, mnist: MNIST) -> np.ndarray:
    """The stored samples of a run where they are the ones asked for, else fresh ones, then stored.

    A baseline's are drawn again: they are a function of the training images and the seed.
    """
    if record.model == "baseline":
        if record.variation not in BASELINES:
            known = ", ".join(BASELINES)
            raise RunError(f"{folder} has a record of no baseline, {record.variation}: restore it, one of {known}")
        measured = record.metrics[0].n if record.metrics else DECISIONS.n_evaluation_samples
        fitted = BASELINES[record.variation]().fit(_trained_on(record, mnist))
        return to_unit_range(to_uint8(fitted.sample(n or measured, seed)))
    path, keep = folder / "samples.npz", False
    if path.exists():
        stored = stored_samples(folder, record)
        images = to_unit_range(stored["x"])
        current = stored["epoch"] == record.epochs_done
        if current and stored["seed"] == seed and n in (None, len(images)):
            return images
        keep = current and (stored["seed"] != seed or (n or DECISIONS.n_evaluation_samples) < len(images))
    if model is None:
        raise RunError(
            f"{folder} keeps neither {'such samples' if path.exists() else 'samples'} nor weights, so it cannot be "
            "measured again: its record says what was measured; 'ganvae reproduce' trains it again"
        )
    images = sample(model, n or DECISIONS.n_evaluation_samples, seed)
    if not keep:  # of the same model, or more of them: what was stored stays
        store_samples(folder, images, seed, record)
    return images


def store_samples(folder: Path, images: np.ndarray, seed: int, record: Record) -> None:
    """Keep the samples (N, 28, 28, 1) of a run's model beside its record."""
    told = {"x": to_uint8(images), "seed": seed, "epoch": record.epochs_done, "run": json.dumps(record.identity)}
    save_npz(folder / "samples.npz", told)


def _trained_on(record: Record | None, mnist: MNIST) -> np.ndarray:
    """The images a run was trained on, as far as they are at hand; else all training images."""
    if record is None or record.data.sha256 != mnist.sha256 or record.data.n_train >= len(mnist.x_train):
        return mnist.x_train
    return mnist.limit(record.data.n_train).x_train


@contextmanager
def _progress(show: bool):
    """A progress callback for `evaluate_samples`, drawn in a terminal and silent elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console()
    if not (show and console.is_terminal):
        yield None
        return
    tasks: dict[str, int] = {}
    with Progress(console=console, transient=True) as bar:

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield update
