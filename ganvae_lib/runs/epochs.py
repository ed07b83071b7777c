"""A run measured at each of its checkpoints: what training does to the samples, epoch by epoch."""

import json
from pathlib import Path

from ..data import MNIST, load_mnist
from ..files import write_text
from ..metrics import evaluate_samples, feature_network
from ..paper import DECISIONS
from .record import environment
from .run import load_run, sample

KEPT = ("Fréchet distance", "inception score", "precision", "recall", "coverage", "class entropy", "digit modes")


def measure_checkpoints(run, out, *, mnist: MNIST | None = None, n: int = DECISIONS.n_evaluation_samples, say=print):
    """Draw `n` samples at each named checkpoint of `run` and at its end, measure them, and write the JSON file `out`.

    It needs the run: its checkpoints are not in results/, a gigabyte each for the report's GAN. Run again, it goes on
    with what is missing. `say` gets a line for each.
    """
    from ..training import BACKEND, accelerator

    run, out, mnist, network = Path(run), Path(out), mnist or load_mnist(), feature_network("mnist")
    settings = {"n": n, "seed": 0, "n_train": len(mnist.x_train), "n_test": len(mnist.x_test)}
    old = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    rows = old.get("epochs", {}) if old.get("settings") == settings else {}
    named = {int(path.stem.removeprefix("epoch-")): path for path in (run / "checkpoints").glob("epoch-*.h5")}
    _, record = load_run(run)
    for epoch in sorted({*named, record.epochs_done}):
        if str(epoch) in rows:
            continue
        model, _ = load_run(run, epoch if epoch in named else None)
        found = evaluate_samples(
            sample(model, n, settings["seed"]), mnist.x_test, [network], settings["seed"],
            reference="test images", floor_images=mnist.x_train, floor="training images",
        )  # fmt: skip
        kept = {m.name.removeprefix("MNIST-classifier "): m for m in found}
        rows[str(epoch)] = {name: kept[name].value for name in KEPT} | {"counts": kept["digit modes"].extra["counts"]}
        told = {
            "measured by": "ganvae_lib.runs.epochs", "run": record.name, "features": network.describe(),
            "settings": settings, "environment": environment(BACKEND, accelerator()).model_dump(mode="json"),
            "epochs": dict(sorted(rows.items(), key=lambda row: int(row[0]))),
        }  # fmt: skip
        write_text(out, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        say(f"epoch {epoch:3}  " + "  ".join(f"{name} {rows[str(epoch)][name]:.4g}" for name in KEPT))
