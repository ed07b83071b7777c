"""Measure a run, or any set of images, against real digits; and bring a run into `results/`."""

import shutil
import zipfile
from collections.abc import Collection, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..models.baselines import BASELINES
from ..data import MNIST, load_mnist, to_uint8, to_unit_range
from ..errors import RunError
from ..files import whole, write_text
from ..latent import image_decoder, invert
from ..metrics import (
    MetricResult,
    evaluate_samples,
    feature_network,
    load_images,
)
from ..paper import DECISIONS, TRAINING
from .record import DataSource, Record, environment
from .results import read_npz
from .run import load_run, sample

KEEP = ("samples", "snapshots", "codes", "weights")  # what `publish` can keep of a run, beside record and history
WEIGHTS_LIMIT = 4_000_000  # bytes: larger weights do not go into results/
SNAPSHOT_IMAGES = 64
DECODER_LIMIT = 100_000  # parameters: a decoder or generator this small is inverted, and kept at each figure's epoch
MAP_IMAGES = 2_000  # test images whose codes are kept with it
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
      model: the run's model, where its folder does not keep the weights.
      invert: search images in a model that is small enough.
      progress: show how far it is.

    Raises:
      CourseError: the target is neither, or something in it is damaged.
    """
    target = Path(target)
    networks = [feature_network(name) for name in features]  # first: a wrong name should not cost the sampling
    mnist = mnist or load_mnist()
    if target.is_dir() and (target / "record.json").exists():
        record = Record.read(target)
        if record.data.sha256 != mnist.sha256:
            raise RunError(
                f"{target} is a run on {record.data.source} (sha256 {record.data.sha256[:12]}), at hand is {mnist.source}: "
                "set GANVAE_MNIST to the run's data, or measure its samples.npz, which changes no record"
            )
        images = _samples(target, record, n, seed, mnist)
    else:
        record, images = None, load_images(target)
    train, test = (
        (mnist.x_train, f"training images of {mnist.name}"),
        (mnist.x_test, f"test images of {mnist.name}"),
    )
    (reference, name), (floor_images, floor) = (test, train) if against == "test" else (train, test)
    digits = mnist.y_test if against == "test" else mnist.y_train
    seen = reference if against == "train" else _trained_on(record, mnist)
    with _progress(progress) as show:
        results = evaluate_samples(
            images, reference, networks, seed, reference=name, floor_images=floor_images, floor=floor,
            train_images=seen, train=f"training images of {mnist.name}", progress=show,
        )  # fmt: skip
        if record is not None:
            model = load_run(target)[0] if (target / "weights.h5").exists() else model
            if model is None:
                results += [metric for metric in record.metrics if metric.feature_network is None]
            else:
                results += _of_model(model, reference, digits, name, seed, show, invert)
    if record is not None:
        write_text(target / "record.json", record.model_copy(update={"metrics": _merged(record.metrics, results)}).to_json())
    return results


def _merged(before: list[MetricResult], now: list[MetricResult]) -> list[MetricResult]:
    """What is measured now, and of what was measured before the results in another network, of another set or N."""

    def key(m):
        return m.name, m.feature_network and (m.feature_network.name, m.feature_network.sha256), m.reference, m.n

    replaced = {key(m) for m in now}
    return [*now, *(m for m in before if key(m) not in replaced)]


def _of_model(model, x, y, name: str, seed: int, progress, invert: bool) -> list[MetricResult]:
    """What is measured on the model itself, not on its samples."""
    results = model.measure(x, y, reference=name, seed=seed, progress=progress)
    if invert and _is_small(model) and not model.classes:  # a search over classes would mix them
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


def publish(
    run,
    folder,
    *,
    n: int = DECISIONS.n_evaluation_samples,
    seed: int = 0,
    keep: Collection[str] = KEEP,
    features: Sequence[str] = ("mnist", "pixels"),
    invert: bool = True,
    progress: bool = True,
) -> Record:
    """Bring a run into `folder` in small: its record, its history, and of `KEEP` what `keep` names.

    With weights (float16), everything in the record is measured on what `folder` holds, so that anyone can measure it
    again. Without, or where they have more than 4 MB, what is measured on the model itself is measured once, here; so
    is what is measured on the samples where these are not kept.

    Args:
      run: the run folder.
      folder: where to; in `results/`, say.
      n: number of samples.
      seed: of the samples and of every draw.
      keep: 'samples', 'snapshots' (for the figures at the report's epochs), 'codes' (a VAE's, with them), 'weights'.
      features: names of the feature networks that samples are measured in.
      invert: search images in a generator or decoder that is small enough (`inversion`).
      progress: show how far it is.

    Raises:
      RunError: `run` holds no trained run, `folder` is the run itself, or `keep` names something else.
    """
    if not set(keep) <= set(KEEP):
        raise RunError(f"keep must be some of {', '.join(KEEP)}; got {keep!r}")
    from ..training import assign_arrays, save_arrays, state_arrays

    run, folder = Path(run), Path(folder)
    if run.resolve() == folder.resolve():
        raise RunError(f"{run} cannot be published into itself: choose another folder")
    model, record = load_run(run)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("weights.h5", "samples.npz", "snapshots.npz"):  # of an older publication
        (folder / name).unlink(missing_ok=True)
    small = {name: array.astype("float16") for name, array in state_arrays(model, weights_only=True).items()}
    if "weights" in keep and sum(array.nbytes for array in small.values()) <= WEIGHTS_LIMIT:
        save_arrays(folder / "weights.h5", small, {"epoch": record.epochs_done, "stored as": "float16"})
        assign_arrays(model, small, folder / "weights.h5", weights_only=True)
    shutil.copy(run / "history.csv", folder / "history.csv")
    write_text(folder / "record.json", record.model_copy(update={"metrics": []}).to_json())
    _store(folder, sample(model, n, seed), seed, record.epochs_done)
    mnist = load_mnist()
    if "snapshots" in keep:
        arrays = _snapshots(run, record, mnist, codes="codes" in keep)
        if "weights" in keep:
            arrays |= _small_decoders(run, record, mnist)
        save_npz(folder / "snapshots.npz", arrays)
    evaluate_target(
        folder, mnist=mnist, model=model, features=features, seed=seed, invert=invert, progress=progress
    )
    if "samples" not in keep:
        (folder / "samples.npz").unlink()
    return Record.read(folder)


def publish_baseline(
    name: str, folder, *, n: int = DECISIONS.n_evaluation_samples, seed: int = 0, progress: bool = True
) -> Record:
    """Measure a baseline (a name in `BASELINES`) as a run is measured; its record alone goes into `folder`."""
    from ..training import BACKEND

    folder, mnist = Path(folder), load_mnist()
    model = BASELINES[name]().fit(mnist.x_train)
    record = Record(
        model="baseline", variation=name, configuration={}, loss="none: fitted in closed form",
        parameters={name: model.parameters}, seed=seed, epochs=0, epochs_done=0, batch_size=None, learning_rate=None,
        precision="float64", environment=environment(BACKEND), seconds_per_epoch=None, metrics=[],
        data=DataSource(
            source=mnist.source, n_train=len(mnist.x_train), n_test=len(mnist.x_test), sha256=mnist.sha256
        ),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "record.json", record.to_json())
    evaluate_target(folder, n=n, mnist=mnist, seed=seed, progress=progress)
    return Record.read(folder)


def _baseline_samples(record: Record, mnist: MNIST, n: int, seed: int) -> np.ndarray:
    return to_unit_range(to_uint8(BASELINES[record.variation]().fit(_trained_on(record, mnist)).sample(n, seed)))


def _snapshots(run: Path, record: Record, mnist: MNIST, codes: bool = True) -> dict[str, np.ndarray]:
    """What the figures at the report's epochs need: samples, and of a VAE reconstructions and codes of the test set."""
    from ..training import newest_checkpoint

    arrays, named = {}, _named_checkpoints(run)
    wanted = {*TRAINING.figure_epochs, TRAINING.epochs} & named
    if record.epochs_done and newest_checkpoint(run / "checkpoints"):
        wanted.add(record.epochs_done)
    for epoch in sorted(wanted):
        model, _ = load_run(run, epoch if epoch in named else None)
        arrays[f"samples_{epoch:03d}"] = to_uint8(sample(model, SNAPSHOT_IMAGES, seed=1))
        for name, array in model.snapshots(mnist.x_test).items():
            if name == "codes" and codes:
                arrays |= {f"codes_{epoch:03d}": array.astype("float16"), "y_test": mnist.y_test.astype("uint8")}
            elif name != "codes":
                arrays[f"{name}_{epoch:03d}"] = to_uint8(array[:SNAPSHOT_IMAGES])
    return arrays


def _named_checkpoints(run: Path) -> set[int]:
    return {int(path.stem.removeprefix("epoch-")) for path in (run / "checkpoints").glob("epoch-*.h5")}


def _is_small(model) -> bool:
    network = model.page_network()
    return network is not None and network.count_params() <= DECODER_LIMIT


def _small_decoders(run: Path, record: Record, mnist: MNIST) -> dict[str, np.ndarray]:
    """What a page needs to show how a small decoder was trained, at the early and the figures' epochs before the last.

    decoder_005 is its weights one after another, float16; samples_005 as in `_snapshots`; of a VAE, map_005 is the
    codes of the first test images, float16.
    """
    arrays = {}
    wanted = {*DECISIONS.early_checkpoints, *TRAINING.figure_epochs} & _named_checkpoints(run)
    for epoch in sorted(wanted - {record.epochs_done}):
        model, _ = load_run(run, epoch)
        if not _is_small(model):
            return {}
        weights = [weight.ravel() for weight in model.page_network().get_weights()]
        arrays[f"decoder_{epoch:03d}"] = np.concatenate(weights).astype("float16")
        arrays[f"samples_{epoch:03d}"] = to_uint8(sample(model, SNAPSHOT_IMAGES, seed=1))
        codes = model.snapshots(mnist.x_test[:MAP_IMAGES]).get("codes")
        if codes is not None:
            arrays[f"map_{epoch:03d}"] = codes.astype("float16")
    return arrays


def _samples(folder: Path, record: Record, n: int | None, seed: int, mnist: MNIST) -> np.ndarray:
    """The stored samples of a run where they are the ones asked for, else fresh ones, then stored.

    A baseline's are drawn again: they are a function of the training images and the seed.
    """
    if record.model == "baseline":
        measured = record.metrics[0].n if record.metrics else DECISIONS.n_evaluation_samples
        return _baseline_samples(record, mnist, n or measured, seed)
    path, keep = folder / "samples.npz", False
    if path.exists():
        images, stored = load_images(path), read_npz(path, "x", "seed", "epoch")
        current = stored["epoch"] == record.epochs_done
        if current and stored["seed"] == seed and n in (None, len(images)):
            return images
        keep = current and (stored["seed"] != seed or (n or DECISIONS.n_evaluation_samples) < len(images))
    elif not (folder / "weights.h5").exists() and not (folder / "checkpoints").exists():
        raise RunError(
            f"{folder} keeps neither samples nor weights, so it cannot be measured again: its record says what was "
            "measured; 'ganvae reproduce' trains it again"
        )
    model, _ = load_run(folder)
    images = sample(model, n or DECISIONS.n_evaluation_samples, seed)
    if not keep:  # of the same model, or more of them: what was stored stays
        _store(folder, images, seed, record.epochs_done)
    return images


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As `np.savez_compressed`, but with bzip2: a sixth less for images; `np.load` reads both. No dates go in."""
    with whole(path, "make room, then evaluate again") as part, zipfile.ZipFile(part, "w") as file:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_BZIP2
            with file.open(entry, "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _store(folder: Path, images: np.ndarray, seed: int, epoch: int) -> None:
    save_npz(folder / "samples.npz", {"x": to_uint8(images), "seed": seed, "epoch": epoch})


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
