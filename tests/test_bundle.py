"""A bundle for a machine without network: what is asked for, what is packed, what comes home, and all of it at once."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ganvae_lib import load_mnist
from ganvae_lib.data import to_uint8
from ganvae_lib.errors import RunError
from ganvae_lib.runs import away, load_run, train
from ganvae_lib.runs.bundle import bundle, take_home
from ganvae_lib.runs.bundle import main as bundle_main
from ganvae_lib.runs.plan import Run
from ganvae_lib.runs.publishing import publish
from ganvae_lib.runs.record import Record
from ganvae_lib.training import load_arrays, state_arrays

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "beyond" / "gan-compact-seed0"


def test_names_of_runs_their_beginnings_and_seeds():
    assert away.tasks_of(["beyond/gan-compact@1", "beyond/gan-compact"]) == [
        ("beyond/gan-compact", [1]),
        ("beyond/gan-compact", [0, 2]),
    ]
    assert [name for name, _ in away.tasks_of(["design/vae-latent"])] == [
        f"design/vae-latent-{d}" for d in (2, 5, 20, 50)
    ]
    for name in ("nothing", "gan-report@one", "gan-report@", f"gan-report@{2**32}", "gan-report@" + "9" * 5000):
        with pytest.raises(RunError, match="must be"):
            away.tasks_of([name])
    with pytest.raises(RunError, match="baseline-gaussian is not trained: 'ganvae reproduce --only baseline-gaussian'"):
        away.tasks_of(["baseline-gaussian"])


@pytest.mark.parametrize(
    ("argument", "told"),
    [("--workers=0", "above 0; got 0"), ("--workers=-1", "above 0; got -1"), ("--workers=two", "invalid number"),
     ("--minutes=nan", "above 0; got nan"), ("--minutes=inf", "above 0; got inf"), ("--minutes=-1", "above 0; got -1"),
     ("--minutes=0", "above 0; got 0"), ("--epochs=0", "above 0; got 0"), ("--limit=0", "above 0; got 0"),
     ("--n=1", "above 1; got 1"), ("--nonsense", "unrecognized arguments")],
)  # fmt: skip
def test_a_wrong_argument_is_refused_in_one_line(argument, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        away.main(["beyond/gan-compact@0", "--minutes=0.001", f"--out={tmp_path / 'out'}", argument])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and len(lines) == 1 and lines[0].startswith("run.sh: ") and told in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_and_an_mnist_that_is_not_there_are_told_of_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "out").write_text("mine")
    assert away.main(["beyond/gan-compact@0", "--minutes=0.001", f"--out={tmp_path / 'out'}"]) == 4
    assert (tmp_path / "out").read_text() == "mine"
    monkeypatch.setenv("GANVAE_MNIST", str(tmp_path / "none.npz"))
    with pytest.raises(SystemExit, match="4"):
        bundle_main(["--to", str(tmp_path / "b.tar.gz")])
    first, second = capsys.readouterr().err.splitlines()
    assert "out" in first and "none.npz is not there" in second


def copies(results, **epochs):
    for name, n in epochs.items():
        folder = results / "beyond" / name
        shutil.copytree(RECORD, folder)
        fields = json.loads((folder / "record.json").read_text())
        fields["epochs_done"] = n
        (folder / "record.json").write_text(json.dumps(fields))


def test_what_is_finished_is_packed_in_archives_below_the_limit_and_comes_home(monkeypatch, tmp_path):
    monkeypatch.setattr(away, "PACK_LIMIT", 50_000)
    copies(tmp_path / "away", a=10, b=10, c=10, d=10)
    unfinished = tmp_path / "away" / "beyond" / "d" / "record.json"
    unfinished.write_text(json.dumps(json.loads(unfinished.read_text()) | {"metrics": []}))
    copies(tmp_path / "away", e=3)
    (tmp_path / "away" / "beyond" / "e" / "unmeasured").touch()  # measuring it failed: it comes home all the same
    archives = away.pack(tmp_path / "away", tmp_path)
    assert len(archives) > 1 and archives == [tmp_path / f"results-{i}.tar.xz" for i in range(1, len(archives) + 1)]
    copies(tmp_path / "home", b=5)
    (tmp_path / "home" / "beyond" / "b" / "epochs.json").write_text("{}")
    taken = take_home(archives, tmp_path / "home")
    assert [folder.name for folder in taken] == ["a", "b", "c", "e"]
    assert Record.read(tmp_path / "home" / "beyond" / "b").epochs_done == 10
    assert (tmp_path / "home" / "beyond" / "b" / "epochs.json").exists()
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["beyond"]


def test_what_would_lose_something_is_refused(tmp_path):
    copies(tmp_path / "away", a=10)
    archives = away.pack(tmp_path / "away", tmp_path)
    copies(tmp_path / "home", a=30)
    with pytest.raises(RunError, match="has more epochs"):
        take_home(archives, tmp_path / "home")
    assert Record.read(tmp_path / "home" / "beyond" / "a").epochs_done == 30
    archives[0].write_bytes(archives[0].read_bytes()[:-400])
    with pytest.raises(RunError, match="cannot be read"):
        take_home(archives, tmp_path / "other")


@pytest.mark.parametrize("name", ["../record.json", "beyond/a/run.sh", "/etc/record.json", "a/b/c/record.json"])
def test_an_archive_of_something_else_is_refused(name, tmp_path):
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as archive:
        info = tarfile.TarInfo(name)
        archive.addfile(info)
    with pytest.raises(RunError, match="no part of a run"):
        take_home([tmp_path / "x.tar.xz"], tmp_path / "home")
    assert not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


def test_bundle_and_run_on_a_machine_with_jax_alone(tmp_path):
    """Two steps of the compact GAN, trained, measured, packed and taken home. Minutes: packages are fetched."""
    data = load_mnist()
    arrays = {"x_train": data.x_train[:400], "x_test": data.x_test[:300]}
    labels = {"y_train": data.y_train[:400], "y_test": data.y_test[:300]}
    np.savez(tmp_path / "mnist.npz", **{k: to_uint8(x) for k, x in arrays.items()}, **labels)
    python = "{}.{}".format(*sys.version_info[:2])
    path = bundle(tmp_path / "b.tar.gz", pythons=[python], mnist=str(tmp_path / "mnist.npz"))
    assert path.stat().st_size < 60_000_000
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "empty", filter="data")
    # JAX and what it needs, and nothing else of this environment.
    site, here = tmp_path / "jax", Path(np.__file__).parents[1]
    site.mkdir()
    for name in ("jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum"):
        for entry in (*here.glob(name), *here.glob(f"{name}-*.dist-info"), *here.glob(f"{name}.libs")):
            (site / entry.name).symlink_to(entry)
    base = Path(sys.base_prefix) / "bin" / f"python{python}"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHON": str(base), "PYTHONPATH": str(site)}
    env |= {"JAX_PLATFORMS": "cpu", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = ["bash", "run.sh", "beyond/gan-compact@0", "--epochs=1", "--limit=256", "--n=200", "--minutes=15"]
    told = subprocess.run([*command, f"--out={tmp_path / 'out'}"], cwd=tmp_path / "empty" / "bundle", env=env,
                          capture_output=True, text=True)  # fmt: skip
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    (folder,) = take_home([tmp_path / "out" / "results-1.tar.xz"], tmp_path / "results")
    record = Record.read(folder)
    assert record.epochs_done == 1 and record.data.n_train == 256 and record.environment.backend == "jax"
    assert record.metric("MNIST-classifier Fréchet distance").n == 200


def home_and_archive(tmp_path, **new):
    """One run at home and the same one in an archive, its record changed."""
    copies(tmp_path / "away", a=10)
    copies(tmp_path / "home", a=10)
    record = tmp_path / "away" / "beyond" / "a" / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | new))
    if new.get("metrics") == []:
        (record.parent / "unmeasured").touch()
    return away.pack(tmp_path / "away", tmp_path), tmp_path / "home"


@pytest.mark.parametrize(
    ("new", "message"),
    [({"seed": 7}, "is another run"), ({"batch_size": 7}, "is another run"), ({"metrics": []}, "is not")],
)
def test_another_run_and_an_unmeasured_one_do_not_take_the_place(new, message, tmp_path):
    archives, home = home_and_archive(tmp_path, **new)
    before = (home / "beyond" / "a" / "record.json").read_bytes()
    with pytest.raises(RunError, match=message):
        take_home(archives, home)
    assert (home / "beyond" / "a" / "record.json").read_bytes() == before


def test_what_lies_in_folders_is_not_swept_away(tmp_path):
    archives, home = home_and_archive(tmp_path)
    kept = home / "beyond" / "a" / "checkpoints" / "last.h5"
    kept.parent.mkdir()
    kept.write_text("weights")
    with pytest.raises(RunError, match="something else than a published run"):
        take_home(archives, home)
    assert kept.exists()
    shutil.copy(RECORD / "record.json", tmp_path / "away" / "beyond" / "record.json")
    archives = away.pack(tmp_path / "away", tmp_path)
    with pytest.raises(RunError):  # a run above the others
        take_home(archives, tmp_path / "elsewhere")


def test_a_run_in_two_archives_is_refused(tmp_path):
    (archive,), home = home_and_archive(tmp_path)
    shutil.copy(archive, tmp_path / "again.tar.xz")
    with pytest.raises(RunError, match="once more"):
        take_home([archive, tmp_path / "again.tar.xz"], home)


def test_a_garbled_header_is_not_taken_for_the_end(tmp_path):
    """A bit flipped in the xz may garble a tar header: `tarfile` ends there, before the checksum, without a word."""
    copies(tmp_path / "away", **dict.fromkeys("abcdef", 10))
    (archive,) = away.pack(tmp_path / "away", tmp_path)
    data = archive.read_bytes()

    def names():
        with suppress(Exception), tarfile.open(archive) as file:
            return file.getnames()

    whole, silent = names(), 0
    for at in range(len(data) - 400, len(data)):  # where the headers of the last runs are
        for bit in (1, 4, 16, 128):
            archive.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
            if names() not in (None, whole):
                silent += 1
                with pytest.raises(RunError, match="cannot be read|once more"):
                    take_home([archive], tmp_path / "home")
                assert not list((tmp_path / "home").rglob("record.json"))
    assert silent > 0


def test_measurements_of_an_earlier_training_do_not_stay(tmp_path):
    archives, home = home_and_archive(tmp_path)
    run = home / "beyond" / "a"
    (run / "epochs.json").write_text("{}")
    (run / "notes.txt").write_text("mine")
    take_home(archives, home)
    assert (run / "epochs.json").exists()  # of the same training
    history = (run / "history.csv").read_text().splitlines()
    (run / "history.csv").write_text("".join(f"{line},{'nan' if i else 'older'}\n" for i, line in enumerate(history)))
    take_home(archives, home)
    assert (run / "epochs.json").exists()  # of the same training, by another version
    (run / "history.csv").write_text(
        "\n".join([history[0], *(line.replace(",", ",1", 1) for line in history[1:])]) + "\n"
    )
    take_home(archives, home)
    assert not (run / "epochs.json").exists() and (run / "notes.txt").read_text() == "mine"


def test_half_written_files_are_not_packed(tmp_path):
    copies(tmp_path / "away", a=10)
    (tmp_path / "away" / "beyond" / "a" / "epochs.json.1234abcd.part").write_text("{")
    assert [folder.name for folder in take_home(away.pack(tmp_path / "away", tmp_path), tmp_path / "home")] == ["a"]


@pytest.fixture
def long_run(tmp_path, monkeypatch):
    """A run trained with few rolling checkpoints, as long ones are away from home. → its arguments, its folder."""
    run = Run("vae", "narrow", "vae-tiny", epochs=3, n=200, keep=(), features=("mnist",), invert=False)
    monkeypatch.setattr(away, "RUNS", {"vae-tiny": run})
    data = load_mnist().limit(300)
    args = argparse.Namespace(names=["vae-tiny"], worker="0", scratch=tmp_path, limit=300, n=200)
    folder = tmp_path / "runs" / "vae-tiny-seed0"
    train("vae", data, folder, variation="narrow", epochs=3, progress=False, checkpoint_seconds=1e6)
    return args, folder


def test_where_rolling_checkpoints_are_rare_the_named_ones_hold_weights_alone(long_run):
    _, folder = long_run
    (last, _), (second, meta) = (load_arrays(folder / "checkpoints" / f) for f in ("last.h5", "epoch-002.h5"))
    weights = {name: array for name, array in state_arrays(load_run(folder, 2)[0], weights_only=True).items()}
    assert meta["epoch"] == 2 and second.keys() == weights.keys() < last.keys()
    assert all(np.array_equal(second[name], weights[name]) for name in weights)
    assert any(not np.array_equal(second[name], last[name]) for name in weights)


def test_a_long_run_is_measured_at_its_checkpoints_and_they_come_home(long_run, tmp_path):
    args, folder = long_run
    target = tmp_path / "results" / "vae-tiny-seed0"
    publish(folder, target, n=200, keep=(), features=("mnist",), invert=False, progress=False)
    assert away._watcher(args) == 0
    away.bring_epochs(tmp_path)
    told = json.loads((target / "epochs.json").read_text())
    assert list(told["epochs"]) == ["1", "2", "3"] and told["settings"]["n"] == 200
    distances = [row["Fréchet distance"] for row in told["epochs"].values()]
    assert len(set(distances)) == 3  # three sets of weights
    final = Record.read(target).metric("MNIST-classifier Fréchet distance").value
    assert distances[-1] == pytest.approx(final)
    (taken,) = take_home(away.pack(tmp_path / "results", tmp_path), tmp_path / "home")
    assert (taken / "epochs.json").read_text() == (target / "epochs.json").read_text()
