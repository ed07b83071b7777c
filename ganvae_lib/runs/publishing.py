"""Bring a run into `results/` in small."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ..data import MNIST, load_mnist, to_uint8
from ..errors import CourseError, RunError
from ..files import beside, locked, write_text
from ..models.baselines import BASELINES
from ..paper import DECISIONS, TRAINING
from .evaluation import check_data, evaluate_target, is_small, store_samples
from .record import DataSource, Record, environment
from .results import read_npz, save_npz, stored_samples
from .run import load_run, sample

KEEP = ("samples", "snapshots", "codes", "weights")  # what `publish` can keep of a run, beside record and history
WRITTEN = ("record.json", "history.csv", "samples.npz", "snapshots.npz", "weights.h5", "unmeasured")
WEIGHTS_LIMIT = 4_000_000  # bytes: larger weights do not go into results/
SNAPSHOT_IMAGES = 64
MAP_IMAGES = 2_000  # test images whose codes are kept with it


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

    It is built beside `folder` and takes its place at the end. An earlier publication of the same training keeps in it
    what is not measured or drawn now: metrics, more samples, snapshots; one of another training goes as a whole.

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
      RunError: `run` holds no trained run, `folder` is the run itself or no publication, another process has one of
        them, or `keep` names something else.
    """
    if not set(keep) <= set(KEEP):
        raise RunError(f"keep must be some of {', '.join(KEEP)}; got {keep!r}")
    from ..training import assign_arrays, save_arrays, state_arrays

    run, folder = Path(run), Path(folder)
    if run.resolve() == folder.resolve():
        raise RunError(f"{run} cannot be published into itself: choose another folder")
    Record.read(run)  # nothing is made for a folder that is not there
    with locked(run, "publishing it", reading=True), locked(folder, "publishing into it"):
        model, record = load_run(run)
        mnist = load_mnist()
        check_data(run, record, mnist)
        if not (run / "history.csv").is_file():
            raise RunError(f"{run} has lost its history.csv: restore it, or resume the run, which writes it again")
        record.check(run / "history.csv")
        # Killed behind its line, and before its checkpoint, an epoch is in the history and not in the weights.
        history = (run / "history.csv").read_text(encoding="utf-8").splitlines()[: record.epochs_done + 1]
        before = _published(folder, record, history)
        with beside(folder) as new:
            _carry_over(folder, new, record)
            (new / "history.csv").write_text("\n".join(history) + "\n", encoding="utf-8", newline="\n")
            small = {name: array.astype("float16") for name, array in state_arrays(model, weights_only=True).items()}
            if "weights" in keep and sum(array.nbytes for array in small.values()) <= WEIGHTS_LIMIT:
                meta = {"epoch": record.epochs_done, "stored as": "float16", "run": record.identity}
                save_arrays(new / "weights.h5", small, meta)
                assign_arrays(model, small, new / "weights.h5", weights_only=True)
            record = record.model_copy(update={"metrics": before.metrics if before else []})
            if before and _more_samples(folder, n, seed, record):
                shutil.copy(folder / "samples.npz", new / "samples.npz")
            else:
                store_samples(new, sample(model, n, seed), seed, record)
            if "snapshots" in keep:
                arrays = _old_snapshots(folder, before, keep) if before else {}
                arrays |= _snapshots(run, record, mnist, codes="codes" in keep)
                if "weights" in keep:
                    arrays |= _small_decoders(run, record, mnist)
                save_npz(new / "snapshots.npz", arrays)
            record = record.with_files(new, "history.csv", "weights.h5", "snapshots.npz")
            write_text(new / "record.json", record.to_json())
            evaluate_target(
                new, n=n, mnist=mnist, model=model, features=features, seed=seed, invert=invert, progress=progress
            )
            if "samples" not in keep:
                (new / "samples.npz").unlink()
        return Record.read(folder)


def _published(folder: Path, record: Record, history: list[str] | None = None) -> Record | None:
    """The record of an earlier publication of this very training, to whose weights its metrics belong; None if none.

    The history tells one training of a run from another: it holds the seconds of each epoch.

    Raises:
      RunError: `folder` holds something else than a publication, or its record is damaged.
    """
    if not folder.exists():
        return None
    other = next((path for path in sorted(folder.iterdir()) if path.is_dir()), None)
    if other is not None or (any(folder.iterdir()) and not (folder / "record.json").is_file()):
        raise RunError(f"{folder} holds something else than a published run: choose another folder")
    if not (folder / "record.json").is_file():
        return None
    before = Record.read(folder)
    if before.name != record.name or not record.is_of(before.identity) or before.epochs_done != record.epochs_done:
        return None
    if history is not None:
        own = folder / "history.csv"
        if not own.is_file() or own.read_text(encoding="utf-8-sig").splitlines() != history:
            return None
    return before


def _carry_over(folder: Path, new: Path, record: Record) -> None:
    """What publishing does not write stays: notes, and what was measured at this run's checkpoints."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in WRITTEN and not path.name.startswith("."):
            if path.name == "epochs.json" and not record.is_of(Record.read(folder).identity):
                continue
            shutil.copy(path, new / path.name)


def _more_samples(folder: Path, n: int, seed: int, record: Record) -> bool:
    """Whether samples are stored that `n` of that seed would not hold."""
    try:
        stored = stored_samples(folder, record)
    except RunError:
        return False
    return bool(stored["epoch"] == record.epochs_done and (stored["seed"] != seed or len(stored["x"]) > n))


def _old_snapshots(folder: Path, before: Record, keep: Collection[str]) -> dict[str, np.ndarray]:
    """What an earlier publication kept, its checkpoints perhaps gone since; of the kinds to keep now."""
    try:
        before.check(folder / "snapshots.npz")
        arrays = read_npz(folder / "snapshots.npz")
    except RunError:
        return {}
    kinds = {"codes": ("codes", "y"), "weights": ("decoder", "map")}
    left_out = {kind for name, some in kinds.items() if name not in keep for kind in some}
    return {name: array for name, array in arrays.items() if name.split("_")[0] not in left_out}


def publish_baseline(
    name: str, folder, *, n: int = DECISIONS.n_evaluation_samples, seed: int = 0, progress: bool = True
) -> Record:
    """Measure a baseline (a name in `BASELINES`) as a run is measured; its record alone goes into `folder`."""
    from ..training import BACKEND

    if name not in BASELINES:
        raise CourseError(f"a baseline must be one of {', '.join(BASELINES)}; got {name!r}")
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
    with locked(folder, "publishing into it"):
        before = _published(folder, record)
        with beside(folder) as new:
            _carry_over(folder, new, record)
            record = record.model_copy(update={"metrics": before.metrics if before else []})
            write_text(new / "record.json", record.to_json())
            evaluate_target(new, n=n, mnist=mnist, seed=seed, progress=progress)
        return Record.read(folder)


def _snapshots(run: Path, record: Record, mnist: MNIST, codes: bool = True) -> dict[str, np.ndarray]:
    """What the figures at the report's epochs need: samples, and of a VAE reconstructions and codes of the test set."""
    from ..training import named_checkpoints, newest_checkpoint

    arrays, named = {}, set(named_checkpoints(run / "checkpoints"))
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


def _small_decoders(run: Path, record: Record, mnist: MNIST) -> dict[str, np.ndarray]:
    """What a page needs to show how a small decoder was trained, at the early and the figures' epochs before the last.

    decoder_005 is its weights one after another, float16; samples_005 as in `_snapshots`; of a VAE, map_005 is the
    codes of the first test images, float16.
    """
    from ..training import named_checkpoints

    arrays = {}
    wanted = {*DECISIONS.early_checkpoints, *TRAINING.figure_epochs} & set(named_checkpoints(run / "checkpoints"))
    for epoch in sorted(wanted - {record.epochs_done}):
        model, _ = load_run(run, epoch)
        if not is_small(model):
            return {}
        weights = [weight.ravel() for weight in model.page_network().get_weights()]
        arrays[f"decoder_{epoch:03d}"] = np.concatenate(weights).astype("float16")
        arrays[f"samples_{epoch:03d}"] = to_uint8(sample(model, SNAPSHOT_IMAGES, seed=1))
        codes = model.snapshots(mnist.x_test[:MAP_IMAGES]).get("codes")
        if codes is not None:
            arrays[f"map_{epoch:03d}"] = codes.astype("float16")
    return arrays
