"""`reproduce` trains and publishes what its table names, once, and keeps of each seed what the table says."""

import numpy as np
import pytest

from ganvae_lib.data import MNIST, load_mnist
from ganvae_lib.errors import RunError
from ganvae_lib.runs import evaluation, publishing, reproduce
from ganvae_lib.runs.evaluation import evaluate_target
from ganvae_lib.runs.publishing import KEEP
from ganvae_lib.runs.record import Record
from ganvae_lib.runs.results import Result, save_npz


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A table of one small run of two seeds, on few digits that pass as the full set; tmp_path is where it works."""
    mnist = load_mnist()
    few = MNIST(mnist.x_train[:128], mnist.y_train[:128], mnist.x_test[:150], mnist.y_test[:150], "few", "0" * 64)
    monkeypatch.setattr(MNIST, "is_full", property(lambda self: True))
    monkeypatch.setattr(reproduce, "load_mnist", lambda: few)
    for module in (publishing, evaluation):
        monkeypatch.setattr(module, "load_mnist", lambda: few)
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_SAMPLES", 2)
    monkeypatch.setattr(evaluation, "INVERSION_STEPS", 2)
    run = reproduce.Run("vae", "narrow", "design/vae-narrow", 1, 2, n=120, keep=("samples", "snapshots"))
    monkeypatch.setattr(reproduce, "RUNS", {"design/vae-narrow": run})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_seed_keeps_its_samples_a_further_one_its_record(small):
    first, second = reproduce.reproduce()
    assert {path.name for path in first.iterdir()} == {"record.json", "history.csv", "samples.npz", "snapshots.npz"}
    assert {path.name for path in second.iterdir()} == {"record.json", "history.csv"}
    records = [Record.read(folder) for folder in (first, second)]
    assert [record.seed for record in records] == [0, 1] and Result(second).samples is None
    told = [record.metric("pixel Fréchet distance") for record in records]
    assert told[0].n == told[1].n == 120 and told[0].value != told[1].value
    with pytest.raises(RunError, match="neither samples nor weights"):
        evaluate_target(second, progress=False)
    assert Record.read(second) == records[1]  # nothing was lost by asking


def test_what_is_published_is_not_done_again(small, monkeypatch):
    folders = list(reproduce.reproduce(seeds=1))

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(reproduce, "train", never)
    assert list(reproduce.reproduce(seeds=1)) == folders
    with pytest.raises(AssertionError, match="trained again"):
        list(reproduce.reproduce(seeds=2))


@pytest.mark.parametrize("name", sorted(reproduce.RUNS))
def test_the_table_keeps_what_publish_knows(name):
    run = reproduce.RUNS[name]
    assert set(run.keep) | set(run.keep_others) <= set(KEEP) and name == run.folder
    assert "codes" not in run.keep or "snapshots" in run.keep  # codes lie in the snapshots


def test_keeping_something_else_is_answered_before_anything_is_touched(tmp_path):
    with pytest.raises(RunError, match="samples, snapshots, codes, weights"):
        publishing.publish(tmp_path / "run", tmp_path / "r", keep="samples")
    assert not (tmp_path / "r").exists()


def test_arrays_come_back_from_the_file_as_they_were_whenever_it_was_written(tmp_path):
    arrays = {"x": np.arange(784, dtype="uint8").reshape(1, 28, 28), "seed": 3}
    for name in ("a", "b"):
        save_npz(tmp_path / f"{name}.npz", arrays)
    with np.load(tmp_path / "a.npz") as file:
        assert file["x"].dtype == np.uint8 and np.array_equal(file["x"], arrays["x"]) and int(file["seed"]) == 3
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_another_run_in_the_place_of_a_finished_one_is_not_taken_for_it(small):
    list(reproduce.reproduce(seeds=1))
    with pytest.raises(RunError, match="holds another run"):
        list(reproduce.reproduce(seeds=1, precision="mixed_bfloat16"))
    with pytest.raises(RunError, match="a run must be one of"):
        reproduce.choose("")


def test_samples_of_black_and_white_alone_are_measured(small):
    (folder,) = reproduce.reproduce(seeds=1)
    record = Record.read(folder)
    x = np.random.default_rng(0).integers(0, 2, (120, 28, 28, 1)) * (2 / 255) - 1
    evaluation.store_samples(folder, x.astype("float32"), 0, record)
    assert Result(folder).samples.max() == 1
    found = evaluate_target(folder, n=120, features=("pixels",), progress=False)
    assert found[0].n == 120
