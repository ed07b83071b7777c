"""`ganvae reproduce --workers` and `--cluster`: what is answered in one line, and a worker that is killed in a run."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.several import kill_in_the_middle, rows
from ganvae_lib import cli
from ganvae_lib.data import MNIST
from ganvae_lib.errors import RunError
from ganvae_lib.runs import cluster, reproduce
from ganvae_lib.runs.record import Record
from ganvae_lib.training import load_arrays

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]
EPOCHS, SEEDS, LIMIT, WORKERS = 40, 2, 32, 2
RUN = reproduce.Run(
    "gan", "compact", "gan-small", EPOCHS, SEEDS, n=120, batch_size=16, features=("pixels",), invert=False
)

# The same runs one after the other, on as many cores as a worker has.
SERIAL = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from ganvae_lib.data import load_mnist
from ganvae_lib.runs import reproduce
from tests.test_cluster import LIMIT, RUN
reproduce.RUNS = {RUN.folder: RUN}
for task in reproduce.tasks():
    task.do(load_mnist().limit(LIMIT), progress=False)
"""


@pytest.fixture
def ganvae(monkeypatch, capsys, tmp_path):
    """Calls the command on a table of one run, on digits that pass as the full set. → (exit code, stderr)."""
    monkeypatch.setattr(MNIST, "is_full", property(lambda self: True))
    monkeypatch.setattr(reproduce, "RUNS", {RUN.folder: RUN})
    monkeypatch.setattr(cluster, "ANSWER_WITHIN", 1)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["ganvae", "reproduce", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err

    return call


def test_what_cannot_be_is_answered_in_one_line(ganvae, monkeypatch, tmp_path):
    for words, code, told in (
        (("--workers", "0"), 2, "'--workers'"),
        (("--workers", "2", "--cluster", "127.0.0.1:9"), 2, "either --workers or --cluster"),
        (("--cluster", "127.0.0.1:9"), 4, "no Dask scheduler answers at 127.0.0.1:9"),  # nobody listens there
        (("--cluster", "carrier-pigeon://home"), 4, "no Dask scheduler answers at carrier-pigeon://home"),
    ):
        found, err = ganvae(*words)
        assert found == code and told in err and len(err.splitlines()) == 1, (words, err)
    monkeypatch.setitem(sys.modules, "distributed", None)  # importing it raises ImportError
    code, err = ganvae("--workers", "2")
    assert code == 4 and "pip install 'ganvae-lib[cluster]'" in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"workers": 2, "cluster": "127.0.0.1:9"}, {"workers": 0}])
def test_a_number_of_workers_or_an_address(options):
    with pytest.raises(RunError, match="workers"):
        next(cluster.reproduce_on(**options))


@pytest.mark.parametrize(("workers", "words"), [(0, "has no workers"), (1, "has workers of several threads")])
def test_a_cluster_has_workers_of_one_thread(ganvae, workers, words):
    options = {"processes": False, "threads_per_worker": 2, "dashboard_address": None, "protocol": "tcp://"}
    with distributed.LocalCluster(n_workers=workers, **options) as local:
        code, err = ganvae("--cluster", local.scheduler_address)
    assert code == 4 and words in err and "--nthreads 1" in err and len(err.splitlines()) == 1


# Three workers start TensorFlow, one after another was killed, and so does the process that runs one after the other.
def test_a_worker_that_is_killed_changes_no_record(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(reproduce, "RUNS", {RUN.folder: RUN})
    runs, results, seen = tmp_path / "runs", tmp_path / "results", []
    killer = threading.Thread(target=kill_in_the_middle, args=(runs / "gan-small-seed0", 3, seen), daemon=True)
    killer.start()
    folders = list(cluster.reproduce_on(workers=WORKERS, limit=LIMIT, runs=runs, results=results))
    killer.join(60)
    assert {folder.name for folder in folders} == {f"gan-small-seed{seed}" for seed in range(SEEDS)}
    out = capsys.readouterr().out
    assert all(f"gan-small-seed{seed}  epoch {EPOCHS} of {EPOCHS}" in out for seed in range(SEEDS))
    # The run was in its middle, and what it had was not trained again but for the last epoch.
    assert 3 <= len(seen) < EPOCHS
    assert rows(runs / "gan-small-seed0")[: len(seen) - 1] == seen[:-1]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, cores // WORKERS)
    alone = tmp_path / "alone"
    alone.mkdir()
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run(
        [sys.executable, "-c", SERIAL, str(share)], cwd=alone, env=env, check=True, stdout=subprocess.DEVNULL
    )
    for seed in range(SEEDS):
        name = f"gan-small-seed{seed}"
        records = [Record.read(place / "results" / name) for place in (tmp_path, alone)]
        told = [r.model_dump(exclude={"seconds_per_epoch", "files"}) for r in records]
        assert told[0] == told[1] and records[0].epochs_done == EPOCHS and len(records[0].metrics) > 0
        losses = [[(r["d_loss"], r["g_loss"]) for r in rows(place / "runs" / name)] for place in (tmp_path, alone)]
        assert losses[0] == losses[1]
        weights = [load_arrays(place / "runs" / name / "weights.h5")[0] for place in (tmp_path, alone)]
        assert all((weights[0][key] == array).all() for key, array in weights[1].items())
        if hasattr(os, "sched_setaffinity"):
            assert f"{share} core" in records[0].environment.hardware
