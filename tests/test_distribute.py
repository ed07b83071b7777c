"""`ganvae train --distribute` on two virtual CPU devices, beside the same run on one, in a process for each backend."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ganvae_lib import cli
from ganvae_lib.runs.record import Record
from ganvae_lib.training import load_arrays

ROOT = Path(__file__).parents[1]

# Both devices are processor cores. The models are small enough that starting the backend is what takes the time.
RUNS = """
import os, sys
backend, folder = sys.argv[1:]
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
from ganvae_lib import load_mnist
from ganvae_lib.runs import train
from ganvae_lib.models.variations import VARIATIONS
if backend == "tensorflow":
    import tensorflow as tf

    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
VARIATIONS["gan"]["tiny"] = {
    "generator": {"latent_dim": 5, "hidden": (98,), "filters": (4, 1)}, "discriminator": {"filters": (4, 8)},
}
VARIATIONS["vae"]["tiny"] = {
    "encoder": {"latent_dim": 5, "filters": (4, 8), "hidden": (32, 16)},
    "decoder": {"latent_dim": 5, "hidden": (16, 64), "filters": (4, 1)},
}
data = load_mnist().limit(80)
options = {"variation": "tiny", "batch_size": 16, "progress": False}
for kind in ("gan", "vae"):
    train(kind, data, f"{folder}/{kind}-1", epochs=3, **options)
    train(kind, data, f"{folder}/{kind}-2", epochs=2, distribute=True, **options)
train("gan", data, f"{folder}/gan-2", epochs=3, resume=True, distribute=True, **options)
train("vae", data, f"{folder}/vae-2", epochs=3, resume=True, **options)  # goes on with one device
"""


# Six short runs and the start of a backend: some twenty seconds, most of them tracing and compiling.
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_compute_what_one_does(tmp_path, backend):
    pytest.importorskip(backend)
    env = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", RUNS, backend, tmp_path], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for kind in ("gan", "vae"):
        one, two = tmp_path / f"{kind}-1", tmp_path / f"{kind}-2"
        losses = [np.loadtxt(run / "history.csv", delimiter=",", skiprows=1)[:, 2:] for run in (one, two)]
        assert losses[0].shape == (3, len({"gan": "dg", "vae": "lrk"}[kind]))
        np.testing.assert_allclose(*losses, rtol=1e-4)
        # The moments of Adam too: its steps alone would not show a gradient that is twice too large.
        states = [load_arrays(run / "checkpoints" / "last.h5")[0] for run in (one, two)]
        assert states[0].keys() == states[1].keys()
        for name, array in states[0].items():
            assert np.linalg.norm(states[1][name] - array) <= 0.01 * np.linalg.norm(array), name
    hardware = [Record.read(tmp_path / run).environment.hardware for run in ("gan-1", "gan-2")]
    assert hardware[1] == hardware[0] + ", 2 devices"


@pytest.mark.parametrize(
    ("count", "arguments", "words"),
    [
        (1, ("--batch-size", 16), "two devices or more, and tensorflow sees only cpu:0"),
        (3, ("--batch-size", 16), "choose a --batch-size that is a multiple of 3"),
        (2, ("--batch-size", 16, "--variation", "product"), "--backend jax"),
    ],
)
def test_what_cannot_be_distributed_is_answered_in_one_line(monkeypatch, capsys, tmp_path, count, arguments, words):
    monkeypatch.setattr("keras.distribution.list_devices", lambda: [f"cpu:{i}" for i in range(count)])
    command = ["ganvae", "train", "vae", "--limit", "64", "--out", tmp_path / "run", "--distribute", *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 5 and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()
