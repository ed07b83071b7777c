"""All runs of the course into `results/`: the report's at full length, what goes with them, and the design runs.

Each run is resumable, and so is the whole: what is finished is not done again. The order is that of `RUNS`.
"""

from collections.abc import Iterator
from pathlib import Path

from ..models.baselines import BASELINES
from ..data import MNIST, load_mnist
from ..errors import DataError, RunError
from ..paper import TRAINING
from .publishing import publish, publish_baseline
from .plan import RUNS, Run
from .record import Record
from .run import train


def reproduce(
    *,
    only: str | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    precision: str | None = None,
    runs="runs",
    results="results",
) -> Iterator[Path]:
    """Train and publish each run that is not finished yet; yields the folder of each in `results`.

    Args:
      only: a name in `RUNS`, or the beginning of several ('design/vae').
      seeds: how many seeds of each, from 0; default the run's own number.
      epochs: epochs of each; default the run's own.
      precision: 'float32' or 'mixed_bfloat16', for the runs that are trained; default the run's own.
      runs: where they are trained.
      results: where they are published.

    Raises:
      DataError: the full MNIST is not at hand: a subset would give other numbers under the same names.
      RunError: `only` names no run, or a folder holds something else.
    """
    chosen, mnist = choose(only), full_mnist()
    tasks = [
        (run, epochs or run.epochs, seed, Path(runs) / f"{run.folder}-seed{seed}")
        for run in chosen.values()
        for seed in range(seeds or run.seeds)
    ]
    for i, (run, wanted, seed, folder) in enumerate(tasks):
        target = Path(results) / f"{run.folder}-seed{seed}"
        before = _record(target)
        if before is not None and before.metrics and before.epochs_done >= (wanted if run.kind != "baseline" else 0):
            yield target
            continue
        print(f"{target} ({i + 1} of {len(tasks)}{_time_left(tasks[i:], results)})", flush=True)
        if run.kind == "baseline":
            publish_baseline(run.variation, target, seed=seed)
        else:
            one(run, seed, mnist, folder, target, epochs=wanted, precision=precision or run.precision)
        yield target


def choose(only: str | None) -> dict[str, Run]:
    """The runs of that name, or those whose names begin so; all of them without a name.

    Raises:
      RunError: there is none.
    """
    chosen = {name: run for name, run in RUNS.items() if only is None or name == only}
    chosen = chosen or {name: run for name, run in RUNS.items() if name.startswith(only)}
    if not chosen:
        raise RunError(f"a run must be one of {', '.join(RUNS)}, or the beginning of some; got {only!r}")
    return chosen


def full_mnist() -> MNIST:
    """All 70,000 images, or the error that they are not at hand: a subset gives other numbers under the same names."""
    mnist = load_mnist()
    if not mnist.is_full:
        raise DataError(
            f"the report's runs need all {TRAINING.n_train:,} training images: fetch them with 'ganvae data --download'"
        )
    return mnist


def one(run: Run, seed: int, mnist: MNIST, folder: Path, target: Path, *, epochs=None, precision=None, **options):
    """Train a run in `folder`, or go on with it, and publish it in `target`. `options` are those of `train`."""
    train(
        run.kind, mnist, folder, variation=run.variation, epochs=epochs or run.epochs, seed=seed,
        batch_size=run.batch_size, precision=precision or run.precision,
        resume=(folder / "record.json").exists(), **options,
    )  # fmt: skip
    return publish(
        folder, target, n=run.n, keep=run.keep_others if seed else run.keep, features=run.features, invert=run.invert
    )


def _record(folder: Path) -> Record | None:
    return Record.read(folder) if (folder / "record.json").exists() else None


def _time_left(tasks, results) -> str:
    """Epochs to go × seconds an epoch of the same run's newest record: here, or where it was published from."""
    seconds, unknown = 0.0, 0
    for run, epochs, _seed, folder in tasks:
        own, published = _record(folder), _record(Path(results) / f"{run.folder}-seed0")
        known = next((r.seconds_per_epoch for r in (own, published) if r is not None and r.seconds_per_epoch), None)
        if known is None:
            unknown += run.kind != "baseline"
        else:
            seconds += known * (epochs - (own.epochs_done if own is not None else 0))
    more = f" and {unknown} runs never timed" if unknown else ""
    return f", about {seconds / 3600:.1f} h of training left{more}"
