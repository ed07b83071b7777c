"""Runs: training into a folder, being killed, resuming, and every way in which a folder can be the wrong one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ganvae_lib import load_mnist, runs
from ganvae_lib.errors import CourseError, DataError, RunError, TrainingError
from ganvae_lib.runs.evaluation import evaluate_target, store_samples
from ganvae_lib.runs.publishing import publish
from ganvae_lib.runs.record import Record
from ganvae_lib.runs.results import Result
from ganvae_lib.training import load_arrays, save_arrays

ROOT = Path(__file__).parents[1]
EPOCHS = 5


def train(out, kind="vae", variation="narrow", **options):
    options = {"epochs": 2, "batch_size": 64, "progress": False} | options
    return runs.train(kind, load_mnist().limit(128), out, variation=variation, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "vae"
    train(out)
    return out


def test_a_run_folder_holds_what_it_promises(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    assert names == {
        "record.json",
        "history.csv",
        "weights.h5",
        "checkpoints/last.h5",
        "checkpoints/epoch-001.h5",
        "checkpoints/epoch-002.h5",
    }
    record = Record.read(finished)
    assert (record.model, record.variation, record.epochs, record.epochs_done) == ("vae", "narrow", 2, 2)
    assert record.data.n_train == 128 and record.seconds_per_epoch > 0 and record.metrics == []
    assert record.parameters["decoder"] == runs.load_run(finished)[0].decoder.count_params()
    assert "GiB" in record.environment.hardware and record.configuration["model"]["reconstruction"] == "bce"


def test_a_loaded_run_is_the_trained_model(finished):
    model, _ = runs.load_run(finished)
    arrays, meta = load_arrays(finished / "checkpoints" / "epoch-002.h5")
    assert meta["epoch"] == 2
    for v in model.weights:
        np.testing.assert_array_equal(np.asarray(v.value), arrays[v.path])
    images = runs.sample(model, 5, seed=1)
    assert images.shape == (5, 28, 28, 1) and np.abs(images).max() <= 1
    np.testing.assert_array_equal(images, runs.sample(model, 5, seed=1))
    assert (images != runs.sample(model, 5, seed=2)).any()


def test_training_into_a_run_asks_for_resume(finished):
    before = (finished / "record.json").read_bytes()
    with pytest.raises(RunError, match=r"holds a run.*--resume"):
        train(finished)
    assert (finished / "record.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"variation": "latent-2"}, "variation"),
        ({"kind": "gan", "variation": "compact"}, "model"),
        ({"seed": 1}, "seed"),
        ({"batch_size": 32}, "batch_size"),
    ],
)
def test_resuming_another_run_is_refused(finished, change, field):
    with pytest.raises(RunError, match=f"holds another run: its {field} is"):
        train(finished, resume=True, **change)


def test_resuming_on_other_data_is_refused(finished):
    with pytest.raises(RunError, match="number of training images is 128, 100 was asked for"):
        runs.train("vae", load_mnist().limit(100), finished, variation="narrow", batch_size=64, epochs=2, resume=True)


def test_resuming_nothing_is_answered(tmp_path):
    with pytest.raises(RunError, match="is not there"):
        train(tmp_path / "none", resume=True)


def test_more_epochs_continue_a_finished_run(finished, tmp_path):
    import shutil

    longer, whole = tmp_path / "longer", tmp_path / "whole"
    shutil.copytree(finished, longer)
    assert train(longer, epochs=3, resume=True).epochs_done == 3
    train(whole, epochs=3)
    same_weights(longer, whole)
    rows = [line.split(",") for line in (longer / "history.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["epoch", "1", "2", "3"]


def test_a_cut_checkpoint_is_answered_and_the_named_one_taken_up(finished, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished, run)
    last = run / "checkpoints" / "last.h5"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(RunError, match=r"last\.h5 is damaged.*delete it"):
        train(run, epochs=3, resume=True)
    last.unlink()
    assert train(run, epochs=3, resume=True).epochs_done == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"epochs": 0}, "epochs must be 1 or more"), ({"batch_size": 0}, "between 1 and 128"),
     ({"batch_size": 129}, "between 1 and 128"), ({"seed": -1}, "seed"), ({"precision": "float8"}, "mixed_bfloat16"),
     ({"variation": "huge"}, "variation of the vae must be one of report")],
)  # fmt: skip
def test_bad_arguments_leave_no_folder(tmp_path, options, message):
    with pytest.raises(CourseError, match=message):
        train(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_mixed_precision_trains_with_finite_float32_losses(tmp_path):
    record = train(tmp_path / "run", precision="mixed_bfloat16", epochs=1)
    loss = float((tmp_path / "run" / "history.csv").read_text().splitlines()[1].split(",")[-1])
    assert record.precision == "mixed_bfloat16" and np.isfinite(loss)
    train(tmp_path / "next", epochs=1)  # the policy did not leak
    assert Record.read(tmp_path / "next").precision == "float32"


def test_a_folder_that_cannot_be_made_is_answered(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another --out"):
        train(tmp_path / "file" / "run")


def test_limit_of_the_data_is_checked():
    with pytest.raises(DataError):
        load_mnist().limit(-1)


def test_nan_stops_with_the_last_checkpoint_whole(tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(run, epochs=1)
    kept = (run / "checkpoints" / "last.h5").read_bytes()
    data = load_mnist().limit(128)
    data.x_train[5] = np.nan
    with pytest.raises(TrainingError, match="became nan"):
        runs.train("vae", data, run, variation="narrow", epochs=2, batch_size=64, resume=True, progress=False)
    assert (run / "checkpoints" / "last.h5").read_bytes() == kept


def same_weights(a, b):
    first, second = (load_arrays(run / "checkpoints" / "last.h5")[0] for run in (a, b))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# A GAN with two optimizers, small enough that its convolutions take no time on either backend.
TINY = """
from ganvae_lib.cli import main
from ganvae_lib.models.variations import VARIATIONS
VARIATIONS["gan"]["tiny"] = {
    "generator": {"latent_dim": 5, "hidden": (98,), "filters": (4, 1)},
    "discriminator": {"filters": (4, 8)},
}
main()
"""


# Three processes on each backend, each of which imports it anew: half a minute on an idle machine.
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_run_killed_at_a_random_moment_ends_as_if_it_had_not_been(tmp_path, backend):
    pytest.importorskip(backend)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start = TINY if backend == "tensorflow" else "import sys\nsys.modules['tensorflow'] = None\n" + TINY

    def command(out, *more):
        arguments = f"train gan --variation tiny --limit 640 --batch-size 16 --epochs {EPOCHS}".split()
        return [sys.executable, "-c", start, *arguments, "--out", str(out), *more]

    env = os.environ | {"PYTHONUNBUFFERED": "1", "KERAS_BACKEND": backend}
    subprocess.run(command(whole), cwd=ROOT, env=env, check=True, capture_output=True)

    process = subprocess.Popen(command(killed), cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    seconds = float((killed / "history.csv").read_text().splitlines()[1].split(",")[1])
    delay = random.uniform(0, 3 * seconds)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = Record.read(killed).epochs_done
    print(f"killed {delay:.2f} s after its first epoch, with {done} epochs recorded")

    subprocess.run(command(killed, "--resume"), cwd=ROOT, env=env, check=True, capture_output=True)
    assert Record.read(killed).epochs_done == EPOCHS
    same_weights(whole, killed)
    losses = [
        [line.split(",")[2:] for line in (run / "history.csv").read_text().splitlines()] for run in (whole, killed)
    ]
    assert losses[0] == losses[1]


def test_a_run_gone_on_with_elsewhere_has_the_times_of_where_it_was_trained_last(finished, tmp_path, monkeypatch):
    out, clock = shutil.copytree(finished, tmp_path / "run"), {"now": 0.0}

    def on(machine, epochs, seconds=0.0):
        """Resumed there, each epoch in so many seconds. → the record's hardware and seconds."""

        def later():
            clock["now"] += seconds
            return clock["now"]

        monkeypatch.setattr("ganvae_lib.runs.record.hardware_in_words", lambda: machine)
        monkeypatch.setattr("ganvae_lib.training.checkpoints.time", SimpleNamespace(perf_counter=later))
        record = train(out, epochs=epochs, resume=True)
        assert record == Record.read(out)
        return record.environment.hardware, record.seconds_per_epoch

    before = Record.read(out)
    assert on("another", 2) == (before.environment.hardware, before.seconds_per_epoch)  # nothing is left to train
    assert on("another", 3, seconds=100) == ("another", 100)
    behind = Record.read(out)
    assert on("another", 4, seconds=300) == ("another", 200)
    assert on("another", 4) == on("a third", 4) == ("another", 200)
    record = Record.read(out)
    (out / "record.json").write_text(behind.model_copy(update={"files": {}}).to_json())  # as a kill may leave it
    assert runs.load_run(out)[1].seconds_per_epoch == 200
    (out / "record.json").write_text(record.to_json())
    assert on("a third", 5, seconds=7) == ("a third", 7)
    last = out / "checkpoints" / "last.h5"
    arrays, meta = load_arrays(last)
    save_arrays(last, arrays, {key: meta[key] for key in ("epoch", "history", "run")})  # as an older version wrote it
    assert on("a third", 5)[0] == "a third"
    assert on("a fourth", 6, seconds=9) == ("a fourth", 9)


def test_a_run_whose_model_reports_other_losses_now_is_gone_on_with_and_loses_none(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.h5"
    arrays, meta = load_arrays(last)
    for row in meta["history"]:
        row["older"] = row.pop("loss")
    save_arrays(last, arrays, meta)
    train(tmp_path / "run", epochs=3, resume=True)
    was, now = Result(finished).history, Result(tmp_path / "run").history
    assert list(now) == [*(column for column in was if column != "loss"), "older", "loss"]
    assert now["older"][:2] == was["loss"] and np.isfinite(now["loss"]).tolist() == [False, False, True]
    assert np.isnan(now["older"][2]) and np.isfinite(now["kl"]).all()


def test_an_epoch_in_the_history_alone_is_not_published(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvae_lib.runs.publishing.load_mnist", lambda: load_mnist().limit(128))
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_SAMPLES", 2)
    shutil.copytree(finished, tmp_path / "run")
    record = Record.read(finished)
    (tmp_path / "run" / "record.json").write_text(record.model_copy(update={"files": {}}).to_json())
    history = tmp_path / "run" / "history.csv"
    history.write_text(history.read_text() + history.read_text().splitlines()[-1].replace("2,", "3,", 1) + "\n")
    known = {"n": 60, "keep": ("samples",), "invert": False, "progress": False}
    publish(tmp_path / "run", tmp_path / "p", features=("pixels", "mnist"), **known)
    assert Result(tmp_path / "p").history["epoch"] == [1, 2] == [int(line.split(",")[0]) for line in
        (tmp_path / "p" / "history.csv").read_text().splitlines()[1:]]  # fmt: skip
    again = publish(tmp_path / "run", tmp_path / "p", features=("pixels",), **known)
    assert any(m.name.startswith("MNIST-classifier") for m in again.metrics)  # of the first publication


def test_memorisation_is_of_the_images_that_a_run_was_trained_on(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    mnist = load_mnist().limit(300)
    for against in ("test", "train"):
        found = evaluate_target(tmp_path / "run", n=60, against=against, features=("pixels",), mnist=mnist,
                                invert=False, progress=False)  # fmt: skip
        (ratio,) = (m for m in found if "nearest-training-image" in m.name)
        assert ratio.n_reference == 128


def test_samples_of_another_run_or_epoch_are_not_taken_for_its_own(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    record, x = Record.read(finished), np.zeros((5, 28, 28, 1), "float32")
    for other, message in (
        (record.model_copy(update={"seed": 5}), "of another run"),
        (record.model_copy(update={"epochs_done": 1}), "is of epoch 1"),
    ):
        store_samples(tmp_path / "run", x, 0, other)
        with pytest.raises(RunError, match=message):
            _ = Result(tmp_path / "run").samples
