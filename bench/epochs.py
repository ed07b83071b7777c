"""A run measured at each of its checkpoints: what training does to the samples, epoch by epoch.

`python -m bench.epochs runs/NAME results/NAME` draws 10,000 samples at each named checkpoint and at the run's end,
prints a line for each and writes results/NAME/epochs.json. It needs the run: its checkpoints are not in results/, a
gigabyte each for the report's GAN. Run again, it goes on with what is missing.
"""

import argparse
import json
from pathlib import Path

from ganvae_lib.data import load_mnist
from ganvae_lib.files import write_text
from ganvae_lib.metrics import evaluate_samples, feature_network
from ganvae_lib.paper import DECISIONS
from ganvae_lib.runs import load_run, sample
from ganvae_lib.runs.record import environment
from ganvae_lib.training import BACKEND

KEPT = ("Fréchet distance", "inception score", "precision", "recall", "coverage", "class entropy", "digit modes")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m bench.epochs", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder, as 'ganvae train' writes it")
    parser.add_argument("to", type=Path, help="its folder in results/")
    parser.add_argument("--n", type=int, default=DECISIONS.n_evaluation_samples, help="samples at each checkpoint")
    args = parser.parse_args(argv)
    out, mnist, network = args.to / "epochs.json", load_mnist(), feature_network("mnist")
    settings = {"n": args.n, "seed": 0, "n_train": len(mnist.x_train), "n_test": len(mnist.x_test)}
    old = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    rows = old.get("epochs", {}) if old.get("settings") == settings else {}
    named = {int(path.stem.removeprefix("epoch-")): path for path in (args.run / "checkpoints").glob("epoch-*.h5")}
    _, record = load_run(args.run)
    for epoch in sorted({*named, record.epochs_done}):
        if str(epoch) in rows:
            continue
        model, _ = load_run(args.run, epoch if epoch in named else None)
        found = evaluate_samples(
            sample(model, args.n, settings["seed"]), mnist.x_test, [network], settings["seed"],
            reference="test images", floor_images=mnist.x_train, floor="training images",
        )  # fmt: skip
        kept = {m.name.removeprefix("MNIST-classifier "): m for m in found}
        rows[str(epoch)] = {name: kept[name].value for name in KEPT} | {"counts": kept["digit modes"].extra["counts"]}
        told = {
            "measured by": "python -m bench.epochs", "run": record.name, "features": network.describe(),
            "settings": settings, "environment": environment(BACKEND).model_dump(mode="json"),
            "epochs": dict(sorted(rows.items(), key=lambda row: int(row[0]))),
        }  # fmt: skip
        write_text(out, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        print(f"epoch {epoch:3}  " + "  ".join(f"{name} {rows[str(epoch)][name]:.4g}" for name in KEPT), flush=True)


if __name__ == "__main__":
    main()
