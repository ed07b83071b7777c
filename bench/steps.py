"""Time one training step of the exact GAN and VAE beside plain Keras and PyTorch, and against the machine's limit.

`python -m bench.steps [--steps N]` prints the table and writes results/bench_steps/bench.json. All rows are measured in
one run, in turns, so that ratios hold on a noisy machine; seconds are the fastest of each row's steps.
"""

import argparse
import json
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

from ganvae_lib import GAN, VAE, networks
from ganvae_lib.paper import DECISIONS, TRAINING
from ganvae_lib.quiet_keras import keras
from ganvae_lib.record import hardware_in_words
from ganvae_lib.training import BACKEND

OUT = Path(__file__).resolve().parents[1] / "results" / "bench_steps" / "bench.json"
BATCH = DECISIONS.batch_size


def forward_flops(network) -> float:
    """Floating-point operations of one image through a network: two for each weight at each place it is used."""
    total = 0.0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            total += 2 * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2DTranspose):  # each input pixel is spread over the kernel
            total += 2 * np.prod(layer.kernel.shape) * np.prod(layer.input.shape[1:3])
        elif isinstance(layer, keras.layers.Conv2D):
            total += 2 * np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3])
    return float(total)


def gan_step_flops(gan) -> float:
    """One step: G forward and back; D forward and back on real and on fake; D forward and back to the fake."""
    return BATCH * (3 * forward_flops(gan.generator) + 8 * forward_flops(gan.discriminator))


def vae_step_flops(vae) -> float:
    """One step: forward, and back twice, through encoder and decoder."""
    return BATCH * 3 * (forward_flops(vae.encoder) + forward_flops(vae.decoder))


def matmul_rate(n: int = 4096) -> float:
    """Seconds of one float32 n×n matrix product: 2n³ operations, the machine's practical limit."""
    a = keras.random.normal((n, n), seed=0)
    start = time.perf_counter()
    np.asarray(keras.ops.matmul(a, a))[0, 0]
    return time.perf_counter() - start


def stepper(model):
    """A function that runs one training step of a compiled Keras model, as `fit` runs it."""
    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, *TRAINING.image_shape)).astype("float32")
    return lambda: model.fit(x, batch_size=BATCH, epochs=1, verbose=0, shuffle=False)


class TutorialGAN(keras.Model):
    """The same step as Keras' own GAN examples write it: two tapes, two forward passes, Keras' Adam."""

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = networks.generator(), networks.discriminator()
        self.built = True

    def compile(self, **options):
        super().compile(**options)
        adam = {"learning_rate": TRAINING.learning_rate, "beta_1": DECISIONS.gan_beta_1}
        self.d_optimizer, self.g_optimizer = keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, x):
        import tensorflow as tf

        n = tf.shape(x)[0]
        fake = self.generator(tf.random.normal((n, 100)))
        images = tf.concat([fake, x], axis=0)
        labels = tf.concat([tf.zeros((n, 1)), tf.ones((n, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(images))
        theta = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, theta), theta, strict=True))
        with tf.GradientTape() as tape:
            g_loss = self.loss_fn(tf.ones((n, 1)), self.discriminator(self.generator(tf.random.normal((n, 100)))))
        theta = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, theta), theta, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


def tutorial(jit_compile):
    model = TutorialGAN()
    model.compile(jit_compile=jit_compile)
    return stepper(model)


def torch_gan():
    """The same step in eager PyTorch: fused Adam, channels-last, the fake batch shared as ours shares it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    slope = nn.LeakyReLU(0.2)
    generator = nn.Sequential(
        nn.Linear(100, 6272), slope, nn.Linear(6272, 12544), slope, nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 64, 5, 2, 2, 1), slope, nn.ConvTranspose2d(64, 1, 5, 2, 2, 1), nn.Tanh(),
    )  # fmt: skip
    sizes = (1, 64, 128, 256, 512)
    convolutions = [m for a, b in pairwise(sizes) for m in (nn.Conv2d(a, b, 5, 2, 2), slope)]
    discriminator = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(2048, 1))
    generator, discriminator = (m.to(memory_format=torch.channels_last) for m in (generator, discriminator))
    options = {"lr": TRAINING.learning_rate, "betas": (DECISIONS.gan_beta_1, DECISIONS.beta_2), "fused": True}
    g_adam = torch.optim.Adam(generator.parameters(), **options)
    d_adam = torch.optim.Adam(discriminator.parameters(), **options)
    x = torch.rand(BATCH, 1, 28, 28).mul(2).sub(1).to(memory_format=torch.channels_last)

    def step():
        fake = generator(torch.randn(BATCH, 100))
        d_adam.zero_grad(set_to_none=True)
        (F.softplus(-discriminator(x)).mean() + F.softplus(discriminator(fake.detach())).mean()).backward()
        d_adam.step()
        g_adam.zero_grad(set_to_none=True)
        discriminator.requires_grad_(False)
        F.softplus(-discriminator(fake)).mean().backward()
        discriminator.requires_grad_(True)
        g_adam.step()

    return step


def compiled(model):
    model.compile()
    return model


def main():
    """Measure every row in turns, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8, help="steps of each row (default 8)")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()

    gan, vae = compiled(GAN()), compiled(VAE())
    rows = {
        "matrix product 4096³": (matmul_rate, 2 * 4096.0**3),
        "GAN step, this course": (stepper(gan), gan_step_flops(gan)),
        "GAN step, Keras as its tutorials write it": (tutorial("auto"), gan_step_flops(gan)),
        "VAE step, this course": (stepper(vae), vae_step_flops(vae)),
    }
    try:
        rows["GAN step, PyTorch eager"] = (torch_gan(), gan_step_flops(gan))
    except ImportError:
        print("PyTorch is not installed: its row is left out ('make bench' installs it)\n")
    seconds = {name: [] for name in rows}
    for turn in range(arguments.steps + 1):
        for name, (step, _) in rows.items():
            if turn > 2 and seconds[name] and min(seconds[name]) > 5:
                continue  # twice is enough for a row this slow
            start = time.perf_counter()
            result = step()
            took = result if isinstance(result, float) else time.perf_counter() - start
            if turn:  # the first turn compiles
                seconds[name].append(took)

    best = {name: min(times) for name, times in seconds.items()}
    rate = rows["matrix product 4096³"][1] / best["matrix product 4096³"]
    ours = best["GAN step, this course"]
    table = [
        {
            "row": name,
            "seconds": best[name],
            "GFLOP": flops / 1e9,
            "GFLOP/s": flops / best[name] / 1e9,
            "of the matrix product's rate": flops / best[name] / rate,
            "ours / this": ours / best[name] if name.startswith("GAN") else None,
            "steps": len(seconds[name]),
        }
        for name, (_, flops) in rows.items()
    ]
    print(f"{'':46s} {'seconds':>8s} {'GFLOP':>7s} {'GFLOP/s':>8s} {'of limit':>8s} {'ours/this':>9s}")
    for row in table:
        ratio = "" if row["ours / this"] is None else f"{row['ours / this']:.2f}"
        print(
            f"{row['row']:46s} {row['seconds']:8.3f} {row['GFLOP']:7.1f} {row['GFLOP/s']:8.0f} "
            f"{row['of the matrix product' + chr(39) + 's rate']:8.2f} {ratio:>9s}"
        )
    packages = ["keras", BACKEND, "numpy"] + (["torch"] if any("PyTorch" in name for name in rows) else [])
    record = {
        "hardware": hardware_in_words(), "batch": BATCH, "versions": {p: version(p) for p in packages},
        "seconds are": "the fastest step of each row, all rows in turns in one run", "table": table,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
