"""Several processes: runs handed to two workers, one of them killed; and one training dealt out to two processes.

`python -m bench.several` prints what each computed and what it cost, and writes results/bench_several/bench.json. All
processes are of one machine and share its cores: what is told is the work, not how fast several machines are.
"""

import csv
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

from ganvae_lib.files import write_text
from ganvae_lib.runs.record import hardware_in_words

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "bench_several" / "bench.json"
WORKERS, SEEDS, EPOCHS, IMAGES = 2, 2, 20, 512
KIND, VARIATION, TRAIN_EPOCHS, TRAIN_IMAGES = "vae", "narrow", 3, 1_280
ARMS = ("one after another", "two workers", "two workers, one killed")


def rows(folder: Path) -> list[dict]:
    """The epochs in a run's history; none where it has not begun."""
    try:
        return list(csv.DictReader((folder / "history.csv").read_text(encoding="utf-8").splitlines()))
    except OSError:
        return []


def kill_in_the_middle(folder: Path, epochs: int, seen: list) -> None:
    """SIGKILL for the process that trains in `folder`, as its lock names it, after some epochs; `seen` gets them."""
    while len(rows(folder)) < epochs:
        time.sleep(0.02)
    lock = folder.parent / f".{folder.name}.lock"
    os.kill(int(re.match(r"process (\d+) on ", lock.read_text(encoding="utf-8"))[1]), signal.SIGKILL)
    seen[:] = rows(folder)


def arm(name: str, place: Path) -> dict:
    """Two seeds of a small GAN, trained and published, in one of the `ARMS`."""
    from ganvae_lib.data import load_mnist
    from ganvae_lib.runs import cluster, reproduce

    run = reproduce.Run("gan", "compact", "gan", EPOCHS, SEEDS, n=500, features=("mnist",), invert=False)
    reproduce.RUNS = {run.folder: run}
    folders, seen = {"runs": place / "runs", "results": place / "results"}, []
    if name == ARMS[0]:
        for task in reproduce.tasks(**folders):
            task.do(load_mnist().limit(IMAGES), progress=False)
        return {}
    first = folders["runs"] / "gan-seed0"
    if name == ARMS[2]:
        killer = threading.Thread(target=kill_in_the_middle, args=(first, EPOCHS // 2, seen), daemon=True)
        killer.start()
    list(cluster.reproduce_on(workers=WORKERS, limit=IMAGES, **folders))
    kept = sum(before == after for before, after in zip(seen, rows(first), strict=False))
    return {"epochs at the kill": len(seen), "of them kept": kept} if seen else {}


def machine(i: int, place: Path, *ports: str) -> dict:
    """Process `i` of as many as there are ports, which train one model; without ports, alone."""
    from ganvae_lib.data import load_mnist
    from ganvae_lib.runs import train

    if ports:
        address = [f"127.0.0.1:{port}" for port in ports]
        told = {"cluster": {"worker": address}, "task": {"type": "worker", "index": i}}
        for name, value in (("JOB_ADDRESSES", address[0]), ("NUM_PROCESSES", len(ports)), ("PROCESS_ID", i)):
            os.environ[f"KERAS_DISTRIBUTION_{name}"] = str(value)
        os.environ["TF_CONFIG"] = json.dumps(told)
    data = load_mnist().limit(TRAIN_IMAGES)
    out = place / f"{len(ports) or 1}"
    train(KIND, data, out, variation=VARIATION, epochs=TRAIN_EPOCHS, progress=False, distribute=bool(ports))
    return {}


def free_ports(n: int) -> list[str]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def children(*commands: list, **env) -> dict:
    """Processes of this file, at once: what they took together, and what the first told."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, env = time.perf_counter(), os.environ | {"PYTHONPATH": str(ROOT)} | env
    started = [
        subprocess.Popen([sys.executable, "-m", "bench.several", *map(str, words)], env=env, stdout=subprocess.PIPE)
        for words in commands
    ]
    told = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"{commands} ended badly")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {"seconds": time.perf_counter() - began, "processor seconds": busy} | json.loads(told[0].splitlines()[-1])


def main():
    if sys.argv[1:2] == ["--arm"]:
        print(json.dumps(arm(sys.argv[2], Path(sys.argv[3]))))
        return
    if sys.argv[1:2] == ["--machine"]:
        print(json.dumps(machine(int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])))
        return
    found = {
        "hardware": hardware_in_words(), "load when begun": os.getloadavg()[0], "workers": WORKERS,
        "versions": {name: version(name) for name in ("distributed", "jax", "keras", "tensorflow")},
        "run": {"model": "gan-compact", "seeds": SEEDS, "epochs": EPOCHS, "images": IMAGES}, "runs": {},
        "training": {"model": f"{KIND}-{VARIATION}", "epochs": TRAIN_EPOCHS, "images": TRAIN_IMAGES}, "machines": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        for name in ARMS:
            told = children(["--arm", name, Path(place) / name])
            found["runs"][name] = told
            print(f"{name:26s} {told}", flush=True)
        for backend in ("tensorflow", "jax"):
            told = {}
            for k in (1, 2):
                ports, where = free_ports(k) if k > 1 else [], Path(place) / backend
                told[k] = children(*(["--machine", i, where, *ports] for i in range(k)), KERAS_BACKEND=backend)
                told[k]["seconds an epoch"] = float(rows(where / f"{k}")[-1]["seconds"])
            one, two = (rows(Path(place) / backend / f"{k}") for k in (1, 2))
            apart = max(
                abs(float(a[name]) / float(b[name]) - 1)
                for a, b in zip(one, two, strict=True)
                for name in a
                if name not in ("epoch", "seconds")
            )
            found["machines"][backend] = {"one": told[1], "two": told[2], "losses apart by at most": apart}
            print(f"{backend:26s} {found['machines'][backend]}", flush=True)
    write_text(OUT, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
