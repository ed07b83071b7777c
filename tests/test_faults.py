"""Killed before any operation on files, `train` and `publish` end, called again, as if they had not been.

A run is undisturbed here; before each operation its folder is copied, as a kill there would leave it. From each copy
whose files differ from those before, the same command is given again; of copies that differ in what is half-written
alone, from the one that holds most of that.
"""

import hashlib
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from test_files import OPERATIONS

from ganvae_lib import load_mnist, runs
from ganvae_lib.data import MNIST
from ganvae_lib.errors import CourseError
from ganvae_lib.metrics import MetricResult, feature_network
from ganvae_lib.models.vae import VAE
from ganvae_lib.models.variations import VARIATIONS
from ganvae_lib.runs import evaluation, publishing
from ganvae_lib.runs.record import Record
from ganvae_lib.runs.results import Result, read_npz
from ganvae_lib.training import StepModel, load_arrays

EPOCHS = 2
TINY = {"encoder": {"latent_dim": 2, "filters": (1, 1), "hidden": (2,)},
        "decoder": {"latent_dim": 2, "hidden": (64,), "filters": (1, 1)}}  # fmt: skip
MNIST_SET = load_mnist()
FEW = MNIST(*(a[:200] for a in (MNIST_SET.x_train, MNIST_SET.y_train, MNIST_SET.x_test, MNIST_SET.y_test)), "few",
            "0" * 64)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A VAE of 300 weights, its steps not compiled; nothing is measured in earnest."""
    monkeypatch.setitem(VARIATIONS["vae"], "tiny", TINY)
    real = StepModel.compile_players
    monkeypatch.setattr(
        StepModel, "compile_players", lambda self, players: real(self, players, run_eagerly=True, jit_compile=False)
    )
    network = feature_network("pixels")

    def measured(images, *_, reference, **__):
        return [MetricResult.of("distance", float(images.mean()), len(images), network=network, reference=reference)]

    monkeypatch.setattr(evaluation, "evaluate_samples", measured)
    monkeypatch.setattr(evaluation, "feature_network", lambda name: network)
    monkeypatch.setattr(VAE, "measure", lambda self, x, y, **_: [MetricResult.of("images", float(len(x)), len(x))])
    monkeypatch.setattr(publishing, "load_mnist", lambda: FEW)


def train(out, seed=0, **options):
    return runs.train("vae", FEW, out, variation="tiny", epochs=EPOCHS, batch_size=200, seed=seed, progress=False,
                      resume=(out / "record.json").exists(), **options)  # fmt: skip


def publish(run, folder, n=20, **options):
    return publishing.publish(run, folder, n=n, invert=False, progress=False, **options)


def contents(folder):
    """{name: hash} of all files."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def whole_files(files):
    """Those that are not half-written."""
    return {name: value for name, value in files.items() if not name.endswith(".part") and name[0] != "."}


@contextmanager
def copied_before_each_operation(monkeypatch, folder, to):
    """→ the list of the copies of `folder`, without those that are as the one before."""
    states, seen, busy, count = [], [{"nothing yet": ""}], [], [0]

    def copy(name):
        count[0] += 1
        files = contents(folder)
        if whole_files(files) != whole_files(seen[-1]):
            states.append(to / f"{len(states)}-before-{count[0]}-{name}")
        elif len(files) > len(seen[-1]):  # the same with more that is half-written
            shutil.rmtree(states[-1])
        else:
            return
        seen.append(files)
        shutil.copytree(folder, states[-1])

    def watched(name):
        real = getattr(os, name)

        def operation(*args, **options):
            if not busy:
                busy.append(1)
                copy(name)
                busy.clear()
            return real(*args, **options)

        return operation

    to.mkdir()
    with monkeypatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, watched(name))
        yield states
    print(f"{count[0]} operations, {len(states)} states")


def same_run(a, b):
    names = [{n for n in contents(run)} for run in (a, b)]
    assert names[0] == names[1]
    for name in names[0]:
        if name.endswith(".h5"):
            (one, meta), (other, meta_2) = (load_arrays(run / name) for run in (a, b))
            assert one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one), name
            assert meta["epoch"] == meta_2["epoch"] and meta["run"] == meta_2["run"]
    first, second = (Result(run) for run in (a, b))
    assert {c: v for c, v in first.history.items() if c != "seconds"} == {
        c: v for c, v in second.history.items() if c != "seconds"
    }
    own = {"seconds_per_epoch": None, "files": {}}
    assert first.record.model_copy(update=own) == second.record.model_copy(update=own)
    assert first.record.files.keys() == second.record.files.keys()


# Some twenty runs of two epochs.
def test_a_training_killed_before_any_operation_ends_as_if_it_had_not_been(monkeypatch, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    with copied_before_each_operation(monkeypatch, whole, tmp_path / "states") as states:
        train(whole / "run")
    assert len(states) >= 10
    for state in states:
        run = state / "run"
        if run.is_dir() and (run / "record.json").exists():
            try:  # what can be looked at is of one epoch, weights and record
                _, record = runs.load_run(run)
                assert record.epochs_done in (1, 2)
            except CourseError as error:
                assert "\n" not in str(error)
        train(run)
        same_run(whole / "run", run)
        assert {path.name for path in state.iterdir()} == {"run"}


def test_a_publication_killed_before_any_operation_is_the_old_one_or_the_new_one(monkeypatch, tmp_path):
    for seed in (0, 1):
        train(tmp_path / f"run{seed}", seed=seed)
    whole = tmp_path / "whole"
    old = publish(tmp_path / "run0", whole / "p")
    (whole / "p" / "note.txt").write_text("mine")
    with copied_before_each_operation(monkeypatch, whole, tmp_path / "states") as states:
        new = publish(tmp_path / "run1", whole / "p")
    assert (old.seed, new.seed) == (0, 1) and len(states) >= 3  # the old, none, the new
    seen = set()
    for state in states:
        folder = state / "p" if (state / "p").exists() else state / ".p.old"
        model, record = runs.load_run(folder)  # its weights are the record's, or this raises
        seen.add(record.seed)
        assert record == (old, new)[record.seed]
        assert np.array_equal(read_npz(folder / "samples.npz")["x"], evaluation.to_uint8(runs.sample(model, 20)))
        assert publish(tmp_path / "run1", state / "p") == new
        assert contents(state) == contents(whole)
    assert seen == {0, 1}


def test_publishing_again_keeps_what_it_does_not_replace(monkeypatch, tmp_path):
    run, folder = tmp_path / "run", tmp_path / "p"
    train(run)
    publish(run, folder, n=30)
    (folder / "epochs.json").write_text("{}")
    before = contents(folder)
    record = publish(run, folder, n=20)
    assert sorted(m.n for m in record.metrics if m.feature_network) == [20, 30]  # each once
    assert len(read_npz(folder / "samples.npz")["x"]) == 30
    assert {"samples_002", "codes_002", "decoder_001"} <= set(read_npz(folder / "snapshots.npz"))
    shutil.rmtree(run / "checkpoints")  # they take much room
    (tmp_path / "p" / "notes").write_text("mine")
    record = publish(run, folder, n=40, seed=1, keep=("samples", "snapshots", "codes"))
    assert len(record.metrics) == 4 and record == Record.read(folder)
    after = contents(folder)
    assert {name for name in after if after[name] == before.get(name)} == {"epochs.json", "history.csv", "samples.npz"}
    kept = set(read_npz(folder / "snapshots.npz"))
    assert {"samples_002", "codes_002"} <= kept and "decoder_001" not in kept  # asked for, and not
    assert set(after) - set(before) == {"notes"} and set(before) - set(after) == {"weights.h5"}
    train(tmp_path / "other", seed=1)
    record = publish(tmp_path / "other", folder)
    assert len(record.metrics) == 2 and record.seed == 1  # nothing of the other run
    assert set(contents(folder)) == {
        "record.json",
        "history.csv",
        "samples.npz",
        "snapshots.npz",
        "weights.h5",
        "notes",
    }


@pytest.mark.parametrize("inside", ["some/record.json", "thesis.txt"])
def test_a_folder_of_something_else_is_not_published_over(tmp_path, inside):
    train(tmp_path / "run")
    path = tmp_path / "p" / inside
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(CourseError, match="something else than a published run"):
        publish(tmp_path / "run", tmp_path / "p")
    assert path.read_text() == "mine"
    with pytest.raises(CourseError, match="something else than a published run"):
        publish(tmp_path / "run", tmp_path)
