"""A run measured at each of its checkpoints: what training does to the samples, epoch by epoch."""

import json
from pathlib import Path

from ..data import MNIST, load_mnist
from ..errors import RunError
from ..files import first_line, locked, sweep, write_text
from ..metrics import evaluate_samples, feature_network
from ..paper import DECISIONS
from .record import Record, environment
from .run import load_run, sample

KEPT = ("Fréchet distance", "inception score", "precision", "recall", "coverage", "class entropy", "digit modes")


def measure_checkpoints(run, out, *, mnist: MNIST | None = None, n: int = DECISIONS.n_evaluation_samples, say=print,
                        last=True):  # fmt: skip
    """Draw `n` samples at each named checkpoint of `run` and at its end, measure them, and write the JSON file `out`.

    It needs the run: its checkpoints are not in results/, a gigabyte each for the report's GAN. Run again, it goes on
    with what is missing. `say` gets a line for each. Without `last`, of a run still in training, named ones alone.

    Raises:
      RunError: `out` is something else, damaged, of another run, or was measured otherwise; or the run is damaged.
      InUseError: another process measures into `out`, or has the folder of it.
    """
    run, out = Path(run), Path(out)
    Record.read(run)  # nothing is made for a run that is not there
    # A folder of results/ is exchanged as a whole, under its own lock; that of the run is held while it trains.
    with locked(out if out.parent.resolve() == run.resolve() else out.parent, "measuring by epoch"):
        sweep(out)
        _measure(run, out, mnist or load_mnist(), n, say, last)


def _measure(run: Path, out: Path, mnist: MNIST, n: int, say, last: bool) -> None:
    """`measure_checkpoints` under the lock."""
    from ..training import BACKEND, accelerator, named_checkpoints

    network = feature_network("mnist")
    settings = {"n": n, "seed": 0, "n_train": len(mnist.x_train), "n_test": len(mnist.x_test)}
    try:
        old = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{out} cannot be read ({first_line(error)}): restore it, or delete it") from error
    rows, named = old.get("epochs", {}) if isinstance(old, dict) else None, named_checkpoints(run / "checkpoints")
    if not isinstance(rows, dict) or not all(epoch.isdecimal() for epoch in rows):
        raise RunError(f"{out} holds something else than a run's metrics by epoch: choose another file")
    _, record = load_run(run)
    if old.get("run", record.name) != record.name or not record.is_of(old.get("identity")):
        raise RunError(f"{out} holds the metrics of another run, {old.get('run')}: choose another file")
    for what, now in (("settings", settings), ("features", json.loads(json.dumps(network.describe())))):
        if old.get(what, now) != now:
            raise RunError(f"{out} was measured with other {what}: choose another file, or move it away")
    for epoch in sorted({*named, *([record.epochs_done] if last else [])}):
        if str(epoch) in rows:
            continue
        model, now = load_run(run, epoch if epoch in named else None)
        if epoch not in named and now.epochs_done != epoch:  # it was trained on meanwhile
            continue
        found = evaluate_samples(
            sample(model, n, settings["seed"]), mnist.x_test, [network], settings["seed"],
            reference="test images", floor_images=mnist.x_train, floor="training images",
        )  # fmt: skip
        kept = {m.name.removeprefix("MNIST-classifier "): m for m in found}
        rows[str(epoch)] = {name: kept[name].value for name in KEPT} | {"counts": kept["digit modes"].extra["counts"]}
        told = {
            "measured by": "ganvae_lib.runs.epochs", "run": record.name, "identity": record.identity,
            "features": network.describe(), "settings": settings,
            "environment": environment(BACKEND, accelerator()).model_dump(mode="json"),
            "epochs": dict(sorted(rows.items(), key=lambda row: int(row[0]))),
        }  # fmt: skip
        write_text(out, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        say(f"epoch {epoch:3}  " + "  ".join(f"{name} {rows[str(epoch)][name]:.4g}" for name in KEPT))
