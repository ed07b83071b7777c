"""All runs of the course into `results/`: the report's at full length, what goes with them, and the design runs.

Each run is resumable, and so is the whole: what is finished is not done again. The order is that of `RUNS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data import MNIST, load_mnist
from ..errors import DataError, RunError
from ..paper import TRAINING
from .plan import RUNS, Run
from .publishing import publish, publish_baseline
from .record import Record
from .run import train


@dataclass(frozen=True)
class Task:
    """A run of the plan with one seed: trained in `folder`, published in `target`."""

    run: Run
    seed: int
    epochs: int
    precision: str
    folder: Path
    target: Path

    @property
    def done(self) -> bool:
        """Whether it is published, measured, with as many epochs. RunError where another run stands in its place."""
        before = _record(self.target)
        if before is None:
            return False
        wanted = (self.run.kind, self.run.variation, self.seed)
        found = (before.model, before.variation, before.seed)
        if self.run.kind != "baseline":
            wanted += (self.precision, self.run.batch_size)
            found += (before.precision, before.batch_size)
        if wanted != found:
            told = " instead of ".join(", ".join(map(str, one)) for one in (found, wanted))
            raise RunError(f"{self.target} holds another run, {told}: choose another folder for the results")
        return bool(before.metrics) and before.epochs_done >= self.epochs

    def do(self, mnist: MNIST, progress: bool = True) -> Record:
        """Train it, or go on with it, and publish it."""
        if self.run.kind == "baseline":
            return publish_baseline(self.run.variation, self.target, seed=self.seed, progress=progress)
        return one(
            self.run, self.seed, mnist, self.folder, self.target, epochs=self.epochs, precision=self.precision,
            progress=progress,
        )  # fmt: skip


def tasks(*, only=None, seeds=None, epochs=None, precision=None, runs="runs", results="results") -> list[Task]:
    """What `reproduce` of the same arguments is to do, in its order; what is done already too."""
    return [
        Task(
            run,
            seed,
            (epochs or run.epochs) if run.kind != "baseline" else 0,
            precision or run.precision,
            Path(runs) / f"{run.folder}-seed{seed}",
            Path(results) / f"{run.folder}-seed{seed}",
        )
        for run in choose(only).values()
        for seed in range(seeds or run.seeds)
    ]


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
      RunError: `only` names no run, or a folder holds something else, another run say: told before any is trained.
    """
    wanted = tasks(only=only, seeds=seeds, epochs=epochs, precision=precision, runs=runs, results=results)
    mnist = full_mnist()
    done = [task.done for task in wanted]  # first: another run in a place is told of before hours of training
    for i, task in enumerate(wanted):
        if not done[i]:
            told = f"{i + 1} of {len(wanted)}{_time_left(wanted[i:], results)}"
            print(f"{task.target} ({told})", flush=True)
            task.do(mnist)
        yield task.target


def choose(only: str | None) -> dict[str, Run]:
    """The runs of that name, or those whose names begin so; all of them without a name.

    Raises:
      RunError: there is none.
    """
    chosen = {name: run for name, run in RUNS.items() if only is None or name == only}
    chosen = chosen or {name: run for name, run in RUNS.items() if only and name.startswith(only)}
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


def one(run: Run, seed: int, mnist: MNIST, folder: Path, target: Path, *, epochs=None, precision=None, progress=True,
        **options):  # fmt: skip
    """Train a run in `folder`, or go on with it, and publish it in `target`. `options` are those of `train`."""
    train(
        run.kind, mnist, folder, variation=run.variation, epochs=epochs or run.epochs, seed=seed,
        batch_size=run.batch_size, precision=precision or run.precision,
        resume=(folder / "record.json").exists(), progress=progress, **options,
    )  # fmt: skip
    return publish(
        folder, target, n=run.n, keep=run.keep_others if seed else run.keep, features=run.features, invert=run.invert,
        progress=progress,
    )  # fmt: skip


def _record(folder: Path) -> Record | None:
    return Record.read(folder) if (folder / "record.json").exists() else None


def _time_left(tasks: list[Task], results) -> str:
    """Epochs to go × seconds an epoch of the same run's newest record: here, or where it was published from."""
    seconds, unknown = 0.0, 0
    for task in tasks:
        own, published = _record(task.folder), _record(Path(results) / f"{task.run.folder}-seed0")
        known = next((r.seconds_per_epoch for r in (own, published) if r is not None and r.seconds_per_epoch), None)
        if known is None:
            unknown += task.run.kind != "baseline"
        else:
            seconds += known * (task.epochs - (own.epochs_done if own is not None else 0))
    more = f" and {unknown} runs never timed" if unknown else ""
    return f", about {seconds / 3600:.1f} h of training left{more}"
