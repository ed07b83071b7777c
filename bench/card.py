"""`python -m bench.card`: the step of the exact GAN and VAE on an accelerator, through JAX, against the card's limits.

It wants KERAS_BACKEND=jax and the card to itself for half a minute, and writes results/bench_card/bench.json. An epoch
is one dispatch (`training.fit_scanned`); the first, which compiles, is left out. Two floors: operations at the rate of
a large matrix product, and 28 bytes a parameter (a weight and Adam's two moments read and written, a gradient read) at
the rate of a copy, both measured on the same card in the same minute.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np

from ganvae_lib.data import load_mnist
from ganvae_lib.errors import CourseError
from ganvae_lib.files import write_text
from ganvae_lib.paper import DECISIONS, TRAINING

OUT = Path(__file__).resolve().parents[1] / "results" / "bench_card" / "bench.json"
SIDE, GIGABYTES, REPEATS, STEPS, EPOCHS = 8192, 2, 20, 100, 6
ROWS = (("gan", "report", "mixed_bfloat16"), ("gan", "report", "float32"), ("gan", "compact", "float32"),
        ("vae", "report", "mixed_bfloat16"), ("vae", "report", "float32"))  # fmt: skip
BYTES = 28


def seconds_of(run, repeats=REPEATS) -> float:
    """Median seconds of `run()`, which gives a JAX array, after two that warm up."""
    took = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        run().block_until_ready()
        took.append(time.perf_counter() - start)
    return median(took[2:])


def limits() -> dict[str, float]:
    """The card's rates: products of bfloat16 and of float32 as the run rounds them (FLOP/s), a copy (bytes/s)."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)
    rates = {}
    for name in ("bfloat16", "float32"):
        a, b = (jax.random.normal(jax.random.key(i), (SIDE, SIDE)).astype(name) for i in (0, 1))
        rates[name] = 2 * SIDE**3 / seconds_of(lambda a=a, b=b: product(a, b))
    x = jnp.arange(GIGABYTES * 2**28, dtype="float32")  # 4 bytes each; x + 1 reads and writes them all
    add = jax.jit(lambda x: x + 1)
    rates["copy"] = 2 * x.nbytes / seconds_of(lambda: add(x))
    return rates


def step_seconds(kind, variation, precision) -> tuple[float, object]:
    """Median seconds of a step within an epoch of `STEPS` steps in one dispatch, and the model."""
    from ganvae_lib.models.variations import build, configuration
    from ganvae_lib.quiet_keras import keras
    from ganvae_lib.training import Batches, Shuffle

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            took.append(time.perf_counter() - self.start)

    took = []
    keras.config.set_dtype_policy(precision)
    model = build(kind, configuration(kind, variation))
    batches = Batches(load_mnist().x_train[: STEPS * DECISIONS.batch_size], DECISIONS.batch_size, 0)
    model.fit(batches, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[Shuffle(batches), Clock()], scanned=True)
    keras.config.set_dtype_policy("float32")
    return median(took[1:]) / len(batches), model


def operations_of(model, kind) -> float:
    """Operations of a step, padding counted, as `bench.steps` counts them."""
    from .steps import gan_step_flops, vae_step_flops

    return gan_step_flops(model) if kind == "gan" else vae_step_flops(model)


def main():
    """Measure, print, and write the record."""
    from ganvae_lib.runs.record import environment
    from ganvae_lib.training import BACKEND, accelerator, keep_programs

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--cache", type=Path, default=None, help="a folder of compiled programs")
    arguments = parser.parse_args()
    if BACKEND != "jax":
        raise CourseError("an epoch a dispatch runs on JAX alone: set KERAS_BACKEND=jax")
    if arguments.cache:
        keep_programs(arguments.cache)
    rates, table = limits(), []
    print({name: f"{rate / 1e12:.3f} T/s" for name, rate in rates.items()}, flush=True)
    for kind, variation, precision in ROWS:
        seconds, model = step_seconds(kind, variation, precision)
        rate = rates["bfloat16" if "bfloat16" in precision else "float32"]
        work, moved = operations_of(model, kind), BYTES * model.count_params()
        table.append({
            "row": f"{kind} {variation}, {precision}", "seconds": seconds, "GFLOP": work / 1e9,
            "arithmetic floor, seconds": work / rate, "memory floor, seconds": moved / rates["copy"],
            "of the larger floor": seconds / max(work / rate, moved / rates["copy"]),
            "epoch, seconds": TRAINING.n_train // DECISIONS.batch_size * seconds,
        })  # fmt: skip
        print({k: v if isinstance(v, str) else float(np.round(v, 6)) for k, v in table[-1].items()}, flush=True)
        told = {
            "environment": environment(BACKEND, accelerator()).model_dump(mode="json"), "rates": rates,
            "seconds are": f"the median of {EPOCHS - 1} epochs of {STEPS} steps in one dispatch, a step's share",
            "floors are": f"operations at the rate of a product {SIDE}³; {BYTES} bytes a parameter at that of a copy",
            "table": table,
        }  # fmt: skip
        write_text(arguments.out, json.dumps(told, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
