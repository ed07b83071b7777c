"""Optimizer, order of the data, checkpoint files, watching. These tests run on both backends (see test_jax.py)."""

import shutil

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib import GAN, VAE, losses, networks, training
from ganvae_lib.errors import RunError, TrainingError

X = np.zeros((10, 28, 28, 1), "float32")

of_tensorflow = pytest.mark.skipif(training.BACKEND != "tensorflow", reason="the dataset is TensorFlow's")


def small_vae(seed=0):
    keras.utils.set_random_seed(seed)
    encoder = networks.encoder(latent_dim=2, filters=(2, 2), hidden=(4, 4))
    vae = VAE(encoder, networks.decoder(latent_dim=2, hidden=(4, 64), filters=(2, 1)), seed=seed)
    vae.compile()
    return vae


def test_adam_is_keras_adam_to_rounding():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(50, 20)).astype("float32")
    gradients = rng.normal(size=(20, 50, 20)).astype("float32") * np.geomspace(1e-4, 10, 20)[:, None, None].astype(
        "float32"
    )
    ends = []
    for optimizer in (training.adam(0.01, beta_1=0.5), keras.optimizers.Adam(0.01, beta_1=0.5)):
        variable = keras.Variable(start)
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        ends.append(ops.convert_to_numpy(variable.value))
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-5)
    assert np.abs(ends[0] - start).max() > 0.05


def test_the_order_is_a_function_of_seed_and_epoch():
    x = np.arange(10.0)

    def order(seed, epoch):
        batches = training.Batches(x, 5, seed, epoch)
        return np.concatenate([batches[i][0] for i in range(len(batches))]).tolist()

    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 0) == order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_fit_walks_through_the_epochs_orders():
    seen = []

    class Watch(training.StepModel):
        loss_names = ("loss",)

    model = Watch()
    variable = keras.Variable(0.0)
    model.compile_players({training.adam(): [variable]}, run_eagerly=True, jit_compile=False)

    def step(x):
        seen.append(ops.convert_to_numpy(x).ravel().tolist())
        return {"loss": 0.0}

    model.step = step
    batches = training.Batches(np.arange(6.0).reshape(6, 1), 2, seed=4)
    model.fit(batches, epochs=5, initial_epoch=3, verbose=0, shuffle=False, callbacks=[training.Shuffle(batches)])
    expected = [np.random.default_rng([4, epoch]).permutation(6).tolist() for epoch in (3, 4)]
    assert np.ravel(seen).tolist() == np.ravel(expected).tolist()


class Losses(keras.callbacks.Callback):
    """Every loss that `fit` tells, by (epoch, number of steps done)."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.seen[self.epoch, min(batch + 1, self.params["steps"])] = [float(logs[name]) for name in sorted(logs)]


class PlainGAN(GAN):
    """Algorithm 1 as a textbook has it: each player's loss from the noise on, nothing shared between them."""

    def step(self, x):
        z = self.noise(ops.shape(x)[0], self.latent_dim)

        def fake_logits():
            return self.discriminator(self.generator(z, training=True), training=True)

        def d_loss():
            return losses.discriminator_loss(self.discriminator(x, training=True), fake_logits())

        d_value = self.minimize(d_loss, self.discriminator, self.d_optimizer)
        g_value = self.minimize(lambda: losses.non_saturating_loss(fake_logits()), self.generator, self.g_optimizer)
        return {"d_loss": d_value, "g_loss": g_value}


def test_the_fast_path_computes_what_the_plain_one_does(monkeypatch):
    """105 steps of the GAN: one forward pass for both players, fused Adam, the convolution of tiny maps, our dataset,
    beside Keras' own layers, optimizer and reading of the batches, step by step."""
    x = np.random.default_rng(0).uniform(-1, 1, (70, 28, 28, 1)).astype("float32")

    def run(kind, optimizer, fit):
        keras.utils.set_random_seed(3)
        generator = networks.generator(latent_dim=3, hidden=(49,), filters=(2, 1))
        gan = kind(generator, networks.discriminator(filters=(2, 3, 4, 4)), seed=3)
        gan.compile(optimizer(2e-4, beta_1=0.5, name="d"), optimizer(2e-4, beta_1=0.5, name="g"))
        batches, told = training.Batches(x, 2), Losses()
        fit(gan, batches, epochs=3, verbose=0, shuffle=False, callbacks=[training.Shuffle(batches), told])
        return gan, told.seen

    fast, seen = run(GAN, training.adam, GAN.fit)
    monkeypatch.setattr(networks.TinyConv2D, "LARGEST", 0)
    plain, every = run(PlainGAN, keras.optimizers.Adam, keras.Model.fit)
    assert {type(layer).__name__ for layer in plain.discriminator.layers} < {
        type(layer).__name__ for layer in fast.discriminator.layers
    }
    assert list(seen) == list(every) == [(epoch, step) for epoch in range(3) for step in range(1, 36)]
    np.testing.assert_allclose(list(seen.values()), list(every.values()), rtol=1e-5)


@of_tensorflow
def test_tensorflow_reads_the_same_batches_and_does_not_tune_the_reading():
    """Where it did, steps ran on one thread in half of the epochs."""
    batches = training.Batches(np.random.default_rng(0).uniform(size=(11, 2, 2, 1)).astype("float32"), 3, seed=5)
    dataset = batches.as_dataset()
    assert dataset.options().autotune.enabled is False
    for epoch in (0, 4):
        batches.shuffle(epoch)
        read = [x.numpy() for (x,) in dataset]
        assert len(dataset) == len(read) == 3
        np.testing.assert_array_equal(read, [batches[i][0] for i in range(3)])


@of_tensorflow
def test_a_process_of_several_deals_its_rows_out_to_its_devices(monkeypatch):
    """Two processes of two devices each: four replicas share a batch of eight, two of them here."""
    import tensorflow as tf

    class Four:
        num_replicas_in_sync = 4

        @staticmethod
        def distribute_datasets_from_function(function):
            return function(None)

    monkeypatch.setattr(tf.distribute, "get_strategy", Four)
    batches = training.Batches(np.arange(16.0), 8, share=(1, 2))
    seen = [part.numpy() for (part,) in batches.as_dataset()]
    rows = [batches.order[i : i + 2] for first in (4, 12) for i in (first, first + 2)]
    np.testing.assert_array_equal(seen, rows)


@pytest.mark.parametrize("n", [1, 499, 500, 1001])
def test_batch_by_batch_every_row_comes_back_once(n):
    x = np.arange(2.0 * n).reshape(n, 2)
    np.testing.assert_array_equal(training.batched(lambda a: 3 * a, x), 3 * x)
    total, product = training.batched(lambda a, b: (a + b, a * b), x, x, batch_size=7)
    np.testing.assert_array_equal(total, 2 * x)
    np.testing.assert_array_equal(product, x**2)


def test_the_remainder_of_an_epoch_is_left_out():
    assert len(training.Batches(np.zeros(10), 4)) == 2


@pytest.mark.parametrize("size", [0, -3, 11])
def test_an_impossible_batch_size_is_answered(size):
    with pytest.raises(TrainingError, match="between 1 and 10"):
        training.Batches(np.zeros(10), size)


def test_the_state_holds_weights_noise_and_optimizers_once_each():
    vae = small_vae()
    arrays = training.state_arrays(vae)
    assert len(arrays) == len(vae.state_variables())
    parameters = vae.encoder.count_params() + vae.decoder.count_params()
    # Adam keeps two moments a parameter, a step counter and a learning rate; the noise its seed and counter.
    assert sum(a.size for a in arrays.values()) == 3 * parameters + 2 + 2
    assert "noise/seed_generator_state" in "\n".join(arrays)


def test_a_checkpoint_brings_everything_back(tmp_path):
    vae, other = small_vae(0), small_vae(1)
    vae.fit(X + 0.5, batch_size=5, epochs=1, verbose=0)
    training.save_arrays(tmp_path / "c.h5", training.state_arrays(vae), {"epoch": 1})
    arrays, meta = training.load_arrays(tmp_path / "c.h5")
    training.assign_arrays(other, arrays, "c.h5")
    assert meta == {"epoch": 1}
    for name, array in training.state_arrays(other).items():
        np.testing.assert_array_equal(array, training.state_arrays(vae)[name], err_msg=name)


def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing(tmp_path):
    vae = small_vae()
    arrays = training.state_arrays(vae)
    name = "encoder_dense_1/kernel"
    wrong = {key: (value + 1 if key != name else value[:1]) for key, value in arrays.items()}
    with pytest.raises(RunError, match="belongs to another model"):
        training.assign_arrays(vae, wrong, "x.h5")
    for key, value in training.state_arrays(vae).items():
        np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize("keep", [0.5, 0.99, 0.0])
def test_a_cut_file_is_answered_with_the_mend(tmp_path, keep):
    path = tmp_path / "c.h5"
    training.save_arrays(path, {"a": np.arange(5000.0)}, {})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(RunError, match=r"damaged.*delete it, and resume from what the folder holds besides"):
        training.load_arrays(path)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.h5"
    training.save_arrays(path, {"a": np.zeros(3)}, {"epoch": 1})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(training.checkpoints.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RunError, match=r"could not be written.*make room"):
        training.save_arrays(path, {"a": np.ones(3)}, {"epoch": 2})
    assert training.load_arrays(path)[1] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.h5"]


def test_resuming_takes_the_rolling_checkpoint_then_the_newest_named_one(tmp_path):
    assert training.newest_checkpoint(tmp_path) is None
    for name in ("epoch-010.h5", "epoch-020.h5", "last.h5"):
        (tmp_path / name).touch()
    assert training.newest_checkpoint(tmp_path).name == "last.h5"
    (tmp_path / "last.h5").unlink()
    assert training.newest_checkpoint(tmp_path).name == "epoch-020.h5"


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(tmp_path):
    vae = small_vae()
    checkpoints = training.Checkpoints(tmp_path / "checkpoints", epochs=3)
    vae.fit(X, batch_size=5, epochs=1, verbose=0, callbacks=[training.StopOnNaN(), checkpoints])
    kept = (tmp_path / "checkpoints" / "last.h5").read_bytes()
    vae.decoder.layers[0].kernel.assign(vae.decoder.layers[0].kernel * np.nan)
    with pytest.raises(TrainingError, match=r"(reconstruction|loss) became nan"):
        vae.fit(X, batch_size=5, epochs=2, initial_epoch=1, verbose=0, callbacks=[training.StopOnNaN(), checkpoints])
    assert (tmp_path / "checkpoints" / "last.h5").read_bytes() == kept


def test_checkpoints_are_named_every_so_many_epochs_and_at_the_end(tmp_path):
    vae = small_vae()
    callback = training.Checkpoints(tmp_path / "checkpoints", epochs=5, every=2)
    vae.fit(X, batch_size=5, epochs=5, verbose=0, callbacks=[callback])
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["epoch-001.h5", "epoch-002.h5", "epoch-004.h5", "epoch-005.h5", "last.h5"]
    assert training.load_arrays(tmp_path / "checkpoints" / "epoch-002.h5")[1]["epoch"] == 2
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows[0].split(",")[:2] == ["epoch", "seconds"] and len(rows) == 6


def test_progress_prints_a_line_an_epoch_with_the_time_left(capsys):
    vae = small_vae()
    vae.fit(X, batch_size=5, epochs=2, verbose=0, callbacks=[training.Progress(2)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1/2") and "loss" in lines[0] and "min left" in lines[0]


def test_a_changed_bit_anywhere_in_a_checkpoint_is_seen(tmp_path):
    """Every byte, those of HDF5's layout too, which could keep its reader busy for ever."""
    path = tmp_path / "c.h5"
    values = np.random.default_rng(0).standard_normal((40, 5))
    training.save_arrays(path, {"a": values, "b/c": np.float32(3.5)}, {"epoch": 7})
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for at in rng.choice(len(whole), 300, replace=False):
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(RunError, match="damaged"):
            training.load_arrays(path)


def test_a_checkpoint_of_an_older_version_is_read_and_checked_as_far_as_it_can_be(tmp_path):
    import zlib

    import h5py

    values = np.arange(50.0)
    for name, changed in (("new", 0), ("old", 0), ("bad", 1)):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["meta"] = '{"epoch": 3}'
            file.create_dataset("a/b", data=values)
            if name != "old":
                file["a/b"].attrs["crc32"] = zlib.crc32(values) + changed
    for name in ("new", "old"):
        arrays, meta = training.load_arrays(tmp_path / name)
        assert np.array_equal(arrays["a/b"], values) and meta == {"epoch": 3}
    with pytest.raises(RunError, match="checksum of a/b"):
        training.load_arrays(tmp_path / "bad")


def test_a_history_of_many_epochs_fits_into_a_checkpoint(tmp_path):
    meta = {"history": [{"epoch": i, "loss": 1 / (i + 1)} for i in range(5000)]}
    training.save_arrays(tmp_path / "c.h5", {"a": np.zeros(1)}, meta)
    assert training.load_arrays(tmp_path / "c.h5")[1] == meta


def test_the_newest_checkpoint_goes_by_number(tmp_path):
    for epoch in (90, 990, 1010):
        (tmp_path / f"epoch-{epoch:03d}.h5").touch()
    assert training.newest_checkpoint(tmp_path).name == "epoch-1010.h5"


def test_keras_ways_that_would_mislead_are_refused_in_one_line(tmp_path):
    vae = small_vae()
    for call in (
        lambda: vae.fit(X, batch_size=5, validation_data=(X, X), verbose=0),
        lambda: vae.fit(X, batch_size=5, validation_split=0.5, verbose=0),
        lambda: vae.evaluate(X, verbose=0),
    ):
        with pytest.raises(TrainingError, match=r"model\.measure.*'ganvae evaluate'") as told:
            call()
        assert "\n" not in str(told.value)
    with pytest.raises(TrainingError, match="save_weights.*'ganvae publish'"):
        vae.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TrainingError, match="save_weights.*'ganvae publish'"):
        keras.saving.save_model(vae, tmp_path / "m.keras")


def test_save_weights_keeps_what_it_is_recommended_for(tmp_path):
    vae, other = small_vae(0), small_vae(1)
    vae.fit(X + 0.5, batch_size=5, epochs=1, verbose=0)
    vae.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")
    for v, w in zip(vae.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(v.value), np.asarray(w.value), err_msg=v.path)
