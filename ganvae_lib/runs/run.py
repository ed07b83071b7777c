"""A run: a folder with record.json, history.csv, checkpoints/ and the final weights.h5. Train, resume, load, sample."""

from contextlib import nullcontext
from pathlib import Path
from statistics import median

import numpy as np

from ..data import MNIST, to_uint8, to_unit_range
from ..errors import RunError, TrainingError
from ..files import first_line, locked, sweep, whole, write_text
from ..paper import DECISIONS, TRAINING
from .record import DataSource, Environment, Record, check_run, environment


def train(kind: str, data: MNIST, out, *, variation="report", epochs=TRAINING.epochs, batch_size=DECISIONS.batch_size,
          seed=0, precision="float32", resume=False, progress=True, distribute=False, scanned=False, deadline=None,
          checkpoint_seconds=0.0) -> Record:  # fmt: skip
    """Train a model into the folder `out`; killed at any moment, `resume=True` ends with the same weights bit for bit.

    Args:
      kind: a name in `models.MODELS`, 'gan' or 'vae', say.
      data: from `load_mnist()`, perhaps limited.
      out: the run folder.
      variation: a name in `variations.VARIATIONS`.
      epochs: passes over the training images; the report's '100 iterations'.
      batch_size: images a step (a minibatch of Algorithm 1).
      seed: of the initial weights, the noise and the order of the images.
      precision: 'float32' or 'mixed_bfloat16'.
      resume: go on with what `out` holds.
      progress: show epoch, losses and time left.
      distribute: deal each batch out to all devices (`training.data_parallel`), of several processes too where these
        are named (`training.join`): the first alone writes. The losses are those of one device to float32 rounding; bit
        for bit they are repeated on the same number of devices.
      scanned: on JAX, an epoch in one dispatch (`training.fit_scanned`): what fills a GPU.
      deadline: a `time.time()` before which the training ends, whole, perhaps before its last epoch.
      checkpoint_seconds: at most one rolling checkpoint in that time; 0: one an epoch.

    Raises:
      RunError: `out` holds a run and `resume` is off, or holds another run, or cannot be written.
      TrainingError: epochs, batch size or devices make no sense, or a loss became NaN.
    """
    from ..models import model_class
    from ..models.variations import build, configuration
    from ..quiet_keras import keras
    from ..training import (
        BACKEND,
        Batches,
        Checkpoints,
        Progress,
        Shuffle,
        StopAt,
        StopOnNaN,
        accelerator,
        data_parallel,
        join,
        save_arrays,
        state_arrays,
    )

    out = Path(out)
    if epochs < 1:
        raise TrainingError(f"epochs must be 1 or more; got {epochs}")
    if not 0 <= seed < 2**32:
        raise TrainingError(f"seed must be from 0 to {2**32 - 1}; got {seed}")
    if precision not in ("float32", "mixed_bfloat16"):
        raise TrainingError(f"precision must be float32 or mixed_bfloat16; got {precision!r}")
    config, cls = configuration(kind, variation), model_class(kind)
    x, *y = cls.training_arrays(data, config["model"])
    share = (0, 1)
    if distribute:
        if BACKEND == "tensorflow" and (reason := cls.why_not_distributed(config["model"])):
            raise TrainingError(reason)
        if not resume:
            _vacant(out)  # asked by each process before any of them can write there
        share = join()
    keeper = share[0] == 0  # of the processes that train one model the first alone writes
    batches = Batches(x, batch_size * config["model"].get("d_steps", 1), seed, y=y[0] if y else None, share=share)
    scope, where = nullcontext, environment(BACKEND, accelerator())
    if distribute:
        engine, devices = data_parallel(batch_size)
        scope, where = engine.scope, where.model_copy(update={"hardware": f"{where.hardware}, {devices} devices"})

    if resume:
        Record.read(out)  # nothing is made beside a folder that is not there
    mend = "choose another --out, or change its permissions"
    with locked(out, "training", mend=mend, make=True) if keeper else nullcontext():
        if keeper:
            sweep(out)
            if not resume:
                _vacant(out)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            with scope():
                model = build(kind, config, seed)
        finally:
            keras.config.set_dtype_policy(policy)
        record = Record(
            model=kind, variation=variation, configuration=config, loss=cls.loss_in_words(config["model"]),
            parameters={name: network.count_params() for name, network in model.networks().items()}, seed=seed,
            epochs=epochs, epochs_done=0, batch_size=batch_size, learning_rate=config["compile"]["learning_rate"],
            precision=precision, environment=where, seconds_per_epoch=None, metrics=[],
            data=DataSource(source=data.source, n_train=len(data.x_train), n_test=len(data.x_test), sha256=data.sha256),
        )  # fmt: skip
        path, history, measured, timed = _take_up(out, record, model) if resume else (None, [], [], (where, 0))
        # Of a run on two machines the record names the one that trained last, and its seconds.
        since = timed[1] if timed[0].hardware == where.hardware else len(history)
        told = {"run": record.identity, "environment": where.model_dump(), "since": since}
        checkpoints = Checkpoints(
            out / "checkpoints", epochs, history, seconds=checkpoint_seconds, told=told, writes=keeper
        )
        checkpoints.restore(path)
        record = _progressed(record, history, timed, measured)

        def keep(record):
            if keeper:
                write_text(out / "record.json", record.to_json())

        keep(record)
        first = record.epochs_done
        if first < epochs:

            def keep_record(epoch, logs):
                keep(_progressed(record, checkpoints.history, (where, since)))

            callbacks = [
                Shuffle(batches),
                StopOnNaN(),
                *([StopAt(deadline)] if deadline else []),
                checkpoints,
                keras.callbacks.LambdaCallback(on_epoch_end=keep_record),
            ]
            bar = Progress(epochs, first)
            try:
                # shuffle=False: Keras would shuffle the batches of `Batches` again, from Python's global state.
                with scope():
                    model.fit(
                        batches, epochs=epochs, initial_epoch=first, verbose=0, shuffle=False,
                        callbacks=callbacks + [bar] * (progress and keeper), scanned=scanned,
                    )  # fmt: skip
            finally:
                bar.close()
            record = _progressed(record, checkpoints.history, (where, since))
        if not keeper:
            return record
        meta = {"epoch": record.epochs_done, "run": record.identity}
        save_arrays(out / "weights.h5", state_arrays(model, weights_only=True), meta)
        record = record.with_files(out, "history.csv", "weights.h5")
        keep(record)
        return record


def load_run(folder, epoch: int | None = None):
    """The model of a run with its final weights, or those of the named checkpoint of `epoch`. → (model, record).

    Where training still goes on, or was killed, the weights are those of its last checkpoint, the record is that of
    then.

    Raises:
      RunError: the folder holds no run, or the weights are missing, damaged or another model's.
    """
    from ..models.variations import build
    from ..training import assign_arrays, load_arrays, newest_checkpoint

    folder = Path(folder)
    record = Record.read(folder)
    path = folder / "weights.h5" if epoch is None else folder / "checkpoints" / f"epoch-{epoch:03d}.h5"
    newest = newest_checkpoint(folder / "checkpoints") if epoch is None else None
    if newest and not path.is_file():  # training is still going on, or was killed
        path = newest
    record.check(path)
    arrays, meta = load_arrays(path)
    if epoch is None and meta.get("epoch") != record.epochs_done and newest not in (None, path):  # it was gone on with
        path = newest
        arrays, meta = load_arrays(path)
    if epoch is None and meta.get("epoch") != record.epochs_done:
        if "history" not in meta:
            raise RunError(f"{path} is of epoch {meta.get('epoch')}, its record of {record.epochs_done}: restore them")
        record = _progressed(record, meta["history"], _timed(record, meta))
    check_run(path, meta.get("run"), record)
    if epoch is not None and meta.get("epoch") != epoch:
        raise RunError(f"{path} is of epoch {meta.get('epoch')}: put the right one back")
    try:
        model = build(record.model, record.configuration, record.seed)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"{folder} has a record of no model that can be built ({first_line(error)}): restore it"
        ) from error
    assign_arrays(model, arrays, path, weights_only=True)
    return model, record


def sample(model, n: int, seed: int = 0, batch_size: int = 500) -> np.ndarray:
    """`n` images of a model: what its prior draws, decoded. → float32 (n, 28, 28, 1) in [−1, 1].

    The images are rounded to the 256 greys in which samples are stored and MNIST itself is given.
    """
    if n < 1:
        raise RunError(f"the number of samples must be 1 or more; got {n}")
    from ..training import batched

    z = model.prior(n, np.random.default_rng(seed))
    return to_unit_range(to_uint8(batched(model.decode, z, batch_size=batch_size)))


def save_images(path, images: np.ndarray) -> None:
    """Write images (N, 28, 28, 1) in [−1, 1] as a square grid (.png) or as uint8 (.npz, key 'x')."""
    path, x = Path(path), to_uint8(images)
    if path.suffix not in (".png", ".npz"):
        raise RunError(f"{path} must end in .png or .npz")
    with whole(path, "make room or choose another --out") as part, open(part, "wb") as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, x=x)
        else:
            grid(x).save(file, "PNG")


def _vacant(out: Path) -> None:
    """The error where a folder holds a run."""
    if (out / "record.json").exists() or (out / "checkpoints").exists():
        raise RunError(f"{out} holds a run: go on with it (--resume), or choose another --out")


def grid(x: np.ndarray):
    """Images x (N, 28, 28), uint8, as one picture (Pillow's): a square, or a row short of it, filled row by row."""
    from PIL import Image

    columns = int(np.ceil(np.sqrt(len(x))))
    rows = -(-len(x) // columns)
    filled = np.zeros((rows * columns, 28, 28), "uint8")
    filled[: len(x)] = x
    return Image.fromarray(filled.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, columns * 28))


def _take_up(out: Path, record: Record, model) -> tuple[Path | None, list, list, tuple[Environment, int]]:
    """Load the newest checkpoint of the same run into `model`. → it, the history, what was measured, `_timed`."""
    from ..models.variations import completed
    from ..training import assign_arrays, load_arrays, newest_checkpoint

    before = Record.read(out)
    if before.model == record.model:  # a record of an older version lacks what could not be asked then
        before = before.model_copy(update={"configuration": completed(before.model, before.configuration)})
    for field, had, asked in (
        *(
            (f, getattr(before, f), getattr(record, f))
            for f in ("model", "variation", "configuration", "seed", "batch_size", "precision")
        ),
        ("number of training images", before.data.n_train, record.data.n_train),
        ("data file's sha256", before.data.sha256, record.data.sha256),
        ("backend", before.environment.backend, record.environment.backend),
    ):
        if had != asked:
            raise RunError(
                f"{out} holds another run: its {field} is {_short(had)}, {_short(asked)} was asked for. "
                "Ask for the same, or choose another --out"
            )
    path = newest_checkpoint(out / "checkpoints")
    if path is None:  # killed within its first epoch: it begins again and ends the same
        return None, [], [], (record.environment, 0)
    arrays, meta = load_arrays(path)
    check_run(path, meta.get("run"), record)
    assign_arrays(model, arrays, path)
    history = meta["history"]
    measured = before.metrics if before.epochs_done == len(history) else []
    return path, history, measured, _timed(before, meta)


def _timed(record: Record, meta: dict) -> tuple[Environment, int]:
    """Where the last epoch of a checkpoint was trained, and after how many epochs it went there.

    An older version did not say: then where its record says, from the beginning.
    """
    return Environment(**meta["environment"]) if "since" in meta else record.environment, meta.get("since", 0)


def _progressed(record: Record, history: list, timed: tuple[Environment, int], measured=()) -> Record:
    """The record after the epochs of `history`.

    `timed`: where the last of them was trained, and after how many epochs it went there: the others count for its
    seconds. `measured`: on the weights of then; each epoch makes others.
    """
    where, since = timed
    seconds = median(row["seconds"] for row in history[since:] or history) if history else None
    done = {"epochs_done": len(history), "epochs": max(record.epochs, len(history)), "seconds_per_epoch": seconds}
    return record.model_copy(update=done | {"environment": where, "metrics": list(measured)})


def _short(value) -> str:
    text = str(value)
    return text if len(text) < 80 else text[:77] + "..."
