"""Layers with a state, second derivatives, labels, an epoch in one dispatch: on either backend (tests/test_jax.py)."""

import json

import numpy as np
import pytest

from ganvae_lib import GAN, load_mnist, losses, networks, runs, training
from ganvae_lib.errors import RunError, TrainingError
from ganvae_lib.models.variations import VARIATIONS, build, completed, configuration
from ganvae_lib.quiet_keras import keras, ops
from ganvae_lib.runs import publishing
from ganvae_lib.runs.record import Record

SMALL = {"generator": {"latent_dim": 3, "hidden": (49,), "filters": (2, 1)}, "discriminator": {"filters": (2, 3)}}
STATES = {
    "batch": {
        "generator": {**SMALL["generator"], "normalisation": "batch"},
        "discriminator": {**SMALL["discriminator"], "normalisation": "batch"},
        "model": {"average": 0.9},
    },
    "spectral": {
        **SMALL,
        "discriminator": {**SMALL["discriminator"], "normalisation": "spectral"},
        "model": {"penalty": "r1", "loss": "hinge"},
    },
}


@pytest.fixture(autouse=True)
def variations(monkeypatch):
    for name, changes in STATES.items():
        monkeypatch.setitem(VARIATIONS["gan"], f"tiny-{name}", changes)


@pytest.mark.parametrize("name", STATES)
def test_a_layer_s_state_trains_resumes_bit_for_bit_and_is_published(name, monkeypatch, tmp_path):
    data, options = load_mnist().limit(48), {"variation": f"tiny-{name}", "batch_size": 16, "progress": False}
    runs.train("gan", data, tmp_path / "whole", epochs=2, **options)
    runs.train("gan", data, tmp_path / "cut", epochs=1, **options)
    runs.train("gan", data, tmp_path / "cut", epochs=2, resume=True, **options)
    (a, _), (b, _) = (training.load_arrays(tmp_path / run / "checkpoints" / "last.h5") for run in ("whole", "cut"))
    assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
    state = [key for key in a if key.split("/")[-1] in ("moving_mean", "u")]
    start = {v.path: np.asarray(v.value) for v in build("gan", configuration("gan", f"tiny-{name}")).weights}
    assert state and all(not np.allclose(a[key], start[key]) for key in state)  # it moved
    monkeypatch.setattr(publishing, "evaluate_target", lambda *a, **o: [])
    publishing.publish(tmp_path / "whole", tmp_path / "published", n=4)
    model, _ = runs.load_run(tmp_path / "published")
    kept, _ = runs.load_run(tmp_path / "whole")
    for v, w in zip(model.weights, kept.weights, strict=True):
        assert v.path == w.path and np.allclose(v.value, w.value, rtol=2e-3, atol=1e-4)


def test_an_average_takes_running_statistics_over():
    keras.utils.set_random_seed(0)
    gan = GAN(networks.generator(3, (49,), (2, 1), normalisation="batch"), networks.discriminator((2,)), average=0.5)
    gan.compile()
    before = [np.asarray(v.value) for v in gan.averaged.variables]
    for v in gan.generator.variables:
        v.assign(np.full(v.shape, 3.0, "float32"))
    gan.average_generator()
    trained = {v.path for v in gan.generator.trainable_variables}
    for old, mean, now in zip(before, gan.averaged.variables, gan.generator.variables, strict=True):
        wanted = 0.5 * old + 1.5 if now.path in trained else 3.0
        assert np.allclose(mean.value, wanted)


def test_the_gradient_in_the_input_has_a_gradient_in_the_weights():
    """For the critic ℓ(x) = ½ a x², ∇ₓ ℓ = a x, and d/da E(a x)² = 2 a E x²."""
    dense = keras.layers.Dense(1, use_bias=False)
    dense.build((None, 1))
    a, x = 1.7, np.array([[1.0], [2.0], [-3.0]], "float32")
    dense.kernel.assign([[a]])

    def penalty():
        critic = lambda x: 0.5 * dense(ops.square(x))  # noqa: E731
        return 2 * losses.r1_penalty(training.input_gradient(critic, ops.convert_to_tensor(x), dense.variables))

    value, pull_back = training.backend.vjp(penalty, dense.trainable_variables, dense.variables)
    assert float(value) == pytest.approx(a**2 * np.mean(x**2), rel=1e-5)
    assert float(np.ravel(pull_back(ops.ones_like(value))[0])[0]) == pytest.approx(2 * a * np.mean(x**2), rel=1e-5)


def test_batches_carry_what_goes_with_the_images():
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    batches = training.Batches(x, 4, seed=1, y=y)
    images, digits = batches[1]
    assert np.array_equal(images[:, 0], 2.0 * digits) and len(batches) == 2
    with pytest.raises(TrainingError, match="one row for each of the 10 images; got 9"):
        training.Batches(x, 4, y=y[:9])


def test_an_epoch_in_one_dispatch_is_the_same_epoch(tmp_path):
    data = load_mnist().limit(70)  # two batches of 32 and a remainder
    options = {"variation": "tiny-batch", "batch_size": 32, "epochs": 2, "progress": False}
    if training.BACKEND == "tensorflow":
        with pytest.raises(TrainingError, match="on JAX alone"):
            runs.train("gan", data, tmp_path / "scanned", scanned=True, **options)
        return
    runs.train("gan", data, tmp_path / "stepped", **options)
    runs.train("gan", data, tmp_path / "scanned", scanned=True, **options)
    a, b = (training.load_arrays(tmp_path / run / "checkpoints" / "last.h5") for run in ("stepped", "scanned"))
    assert all(np.allclose(a[0][key], b[0][key], rtol=2e-3, atol=2e-3) for key in a[0])
    for one, other in zip(a[1]["history"], b[1]["history"], strict=True):
        assert one["d_loss"] == pytest.approx(other["d_loss"], rel=1e-4)


def test_a_record_of_the_first_version_reads_and_its_run_goes_on(tmp_path):
    data, options = load_mnist().limit(48), {"variation": "tiny-batch", "batch_size": 16, "progress": False}
    runs.train("gan", data, tmp_path, epochs=1, **options)
    fields = json.loads((tmp_path / "record.json").read_text())
    fields["schema_version"] = 1
    del fields["crc32"], fields["files"]
    del fields["configuration"]["compile"], fields["configuration"]["model"]["penalty"]
    (tmp_path / "record.json").write_text(json.dumps(fields))
    old = Record.read(tmp_path)
    assert completed("gan", old.configuration) == configuration("gan", "tiny-batch")
    assert runs.train("gan", data, tmp_path, epochs=2, resume=True, **options).epochs_done == 2


def test_another_run_s_checkpoint_is_refused(tmp_path):
    data, options = load_mnist().limit(48), {"variation": "tiny-batch", "batch_size": 16, "progress": False}
    for seed in (0, 1):
        runs.train("gan", data, tmp_path / str(seed), epochs=1, seed=seed, **options)
    (tmp_path / "0" / "checkpoints" / "last.h5").write_bytes((tmp_path / "1" / "checkpoints" / "last.h5").read_bytes())
    with pytest.raises(RunError, match="is of another run, gan-tiny-batch-seed1"):
        runs.train("gan", data, tmp_path / "0", epochs=2, resume=True, **options)
