"""`ganvae train --distribute` on two virtual CPU devices, and in two processes, beside the same run on one device."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.several import free_ports
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


def check_same_run(one, two, devices):
    """Three epochs with the same losses and the same state in the end, to the rounding of float32."""
    losses = [np.loadtxt(run / "history.csv", delimiter=",", skiprows=1)[:, 2:] for run in (one, two)]
    records = [Record.read(run) for run in (one, two)]
    assert losses[0].shape == (3, {"gan": 2, "vae": 3}[records[0].model])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    # The moments of Adam too: its steps alone would not show a gradient that is twice too large.
    states = [load_arrays(run / "checkpoints" / "last.h5")[0] for run in (one, two)]
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        assert np.linalg.norm(states[1][name] - array) <= 0.01 * np.linalg.norm(array), name
    assert records[1].environment.hardware == records[0].environment.hardware + devices


# Six short runs and the start of a backend: some twenty seconds, most of them tracing and compiling.
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_compute_what_one_does(tmp_path, backend):
    pytest.importorskip(backend)
    env = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", RUNS, backend, tmp_path], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    check_same_run(tmp_path / "gan-1", tmp_path / "gan-2", ", 2 devices")
    check_same_run(tmp_path / "vae-1", tmp_path / "vae-2", "")  # its last epoch on one


# What several machines run, here two processes of one. The first then trains the same run alone.
PROCESSES = """
import json, os, sys, time
from pathlib import Path
backend, folder, i, *ports = sys.argv[1:]
os.environ["TF_CONFIG"] = json.dumps(
    {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": int(i)}})
os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = f"127.0.0.1:{ports[0]}"
os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"], os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] = "2", i
if backend == "jax":
    sys.modules["tensorflow"] = None  # Keras would import it, which takes time
from ganvae_lib import load_mnist
from ganvae_lib.runs import train
from ganvae_lib.models.variations import VARIATIONS
from ganvae_lib.training import keep_programs
VARIATIONS["gan"]["tiny"] = {
    "generator": {"latent_dim": 5, "hidden": (98,), "filters": (4, 1)}, "discriminator": {"filters": (4, 8)},
}
keep_programs(folder + "/cache")
out, options = Path(folder) / "gan-2", {"variation": "tiny", "batch_size": 16, "progress": False}
data = load_mnist().limit(80)
train("gan", data, out, epochs=2, distribute=True, **options)
while not (out / "weights.h5").exists():  # which the first of them writes
    time.sleep(0.1)
train("gan", data, out, epochs=3, resume=True, distribute=True, **options)
if i == "0":
    train("gan", data, folder + "/gan-1", epochs=3, **options)
"""


# Two processes start a backend, trace the model and trace it again to go on.
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_processes_compute_what_one_does(tmp_path, backend):
    pytest.importorskip(backend)
    ports, env = free_ports(2), os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    options = {"cwd": ROOT, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [
        subprocess.Popen([sys.executable, "-c", PROCESSES, backend, tmp_path, str(i), *ports], **options)
        for i in range(2)
    ]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told[0][-3000:] + told[1][-3000:]
    check_same_run(tmp_path / "gan-1", tmp_path / "gan-2", ", 2 devices")


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
    refused(monkeypatch, capsys, tmp_path / "run", arguments, words)


@pytest.mark.parametrize(
    "told",
    [
        "no JSON",
        '{"cluster": {"worker": ["127.0.0.1:9", "127.0.0.1:10"]}}',
        '{"cluster": {"worker": ["127.0.0.1:9"], "ps": ["127.0.0.1:10"], "chief": ["127.0.0.1:11"]}}',
    ],
)
def test_machines_that_are_named_wrongly_are_answered_in_one_line(monkeypatch, capsys, tmp_path, told):
    monkeypatch.setenv("TF_CONFIG", told)
    monkeypatch.setattr("ganvae_lib.training.devices._mirrored", lambda devices: None)
    refused(monkeypatch, capsys, tmp_path / "run", (), "the machines that TF_CONFIG names cannot be joined")


def refused(monkeypatch, capsys, out, arguments, words):
    command = ["ganvae", "train", "vae", "--limit", "64", "--out", out, "--distribute", *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 5 and words in err and len(err.splitlines()) == 1
    assert not out.exists()
