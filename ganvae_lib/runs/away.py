"""Runs on a borrowed machine that has JAX, perhaps a GPU, and no network: trained, measured and packed in a given time.

`bash run.sh NAME… --minutes M --out DIR` of a bundle calls this. Each name is a run of the plan, or the beginning of
several, or NAME@SEED. They are dealt out to `workers` processes, the first names first; each trains (an epoch a
dispatch) and is published as `ganvae reproduce` would; beside a long run a process measures its checkpoints as they
come, for weights of 80 million parameters are too large to bring home. What is finished is packed again and again into
DIR/results-N.tar.xz, so that a machine that is taken away leaves it; `ganvae publish --from` takes it. The same command
again goes on where this one was.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
from pathlib import Path

from ..errors import CourseError, RunError
from ..files import whole, write_text
from .bundle import PARTS
from .plan import RUNS

PACK_LIMIT = 15_000_000  # bytes an archive
PACK_EVERY = 45  # seconds
PUBLISHING = 75  # seconds kept free for the measuring of runs that the deadline ends
ROLLING = 120  # seconds between rolling checkpoints
LONG = 30  # epochs from which on a run is measured at its checkpoints
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(argv=None) -> int:
    """The command of `run.sh`."""
    parser = _Parser(prog="run.sh", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="a run, the beginning of several, or NAME@SEED")
    parser.add_argument("--minutes", type=_above(0, float), default=60.0, help="stop in time, what is finished packed")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where results-N.tar.xz and log.txt go")
    parser.add_argument("--scratch", type=Path, default=None, help="where all else lies; default OUT/scratch")
    parser.add_argument("--workers", type=_above(0), default=1, help="processes that share the device")
    parser.add_argument("--epochs", type=_above(0), default=None, help="epochs of each; default the run's own")
    parser.add_argument("--limit", type=_above(0), default=None, help="training images; default all; few to rehearse")
    parser.add_argument("--n", type=_above(1), default=None, help="samples measured; default the run's own")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--watch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    try:
        if args.watch:
            return _watcher(args)
        if args.worker is not None:
            return _worker(args)
        return _manager(args)
    except (CourseError, OSError) as error:
        print(f"run.sh: {error}", file=sys.stderr)
        return getattr(error, "exit_code", RunError.exit_code)


class _Parser(argparse.ArgumentParser):
    """A wrong argument is told of in one line, without all that could have been said."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def _above(least: int, kind=int):
    """A number of an argument, finite and above `least`."""

    def number(text):
        value = kind(text)
        if not least < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be a number above {least}; got {text}")
        return value

    return number


def tasks_of(names: list[str]) -> list[tuple[str, list[int]]]:
    """(run, seeds) for each of the names, in their order; a run and seed named twice is done once.

    Raises:
      RunError: a name is no run's, nor the beginning of one; or names a baseline; or the seed is none.
    """
    from .reproduce import choose

    tasks, seen = [], set()
    for name in names:
        name, at, seed = name.partition("@")
        if at and not (seed.isdecimal() and len(seed) <= 10 and int(seed) < 2**32):
            raise RunError(f"the seed in {name}@{seed} must be a number from 0 to {2**32 - 1}")
        for run_name, run in choose(name).items():
            if run.kind == "baseline":
                raise RunError(f"{run_name} is not trained: 'ganvae reproduce --only {run_name}' measures it")
            wanted = [s for s in ([int(seed)] if seed else range(run.seeds)) if (run_name, s) not in seen]
            seen |= {(run_name, s) for s in wanted}
            tasks += [(run_name, wanted)] if wanted else []
    return tasks


def _manager(args) -> int:
    """Start the workers, pack what is finished, stop in time."""
    started = time.time()
    deadline = started + 60 * args.minutes
    queue = tasks_of(args.names)
    args.scratch = args.scratch or args.out / "scratch"
    args.out.mkdir(parents=True, exist_ok=True)
    results, logs = args.scratch / "results", args.scratch / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[subprocess.Popen, str] = {}
    watchers: dict[str, subprocess.Popen] = {}
    packed, failed = started, []
    threads = str(max(2, (os.cpu_count() or 2) // 4))
    environment = dict.fromkeys(THREADS, threads) | os.environ

    def say(line):
        print(line, flush=True)
        with open(args.out / "log.txt", "a", encoding="utf-8") as log:
            log.write(line + "\n")

    def start(name, seeds, what, log):
        told = [f"--{o}={v}" for o in ("out", "scratch", "epochs", "limit", "n") if (v := getattr(args, o)) is not None]
        command = [sys.executable, "-m", "ganvae_lib.runs.away", name, *what, f"--deadline={deadline - PUBLISHING}",
                   f"--worker={','.join(map(str, seeds))}", *told]  # fmt: skip
        with open(logs / log, "w", encoding="utf-8") as file:
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    while queue or running or any(watcher.poll() is None for watcher in watchers.values()):
        for process in [p for p in running if p.poll() is not None]:
            name = running.pop(process)
            told = (logs / _log(name)).read_text(encoding="utf-8").strip().splitlines()[-1:] or ["nothing"]
            say(f"{time.time() - started:5.0f} s  {'FAILED ' * (process.returncode != 0)}{name}: {told[0][:160]}")
            failed += [name] * (process.returncode != 0)
            if process.returncode and name in watchers:
                watchers[name].kill()
        now = time.time()
        while queue and len(running) < args.workers and now < deadline - PUBLISHING - 30:
            name, seeds = queue.pop(0)
            own = name + f"@{seeds[0]}" * (len(seeds) == 1)
            running[start(name, seeds, (), _log(own))] = own
            if RUNS[name].epochs >= LONG:
                watchers[own] = start(name, seeds, ("--watch",), _log(f"{own}-epochs"))
        if now - packed > PACK_EVERY:
            bring_epochs(args.scratch)
            pack(results, args.out)
            packed = now
        if now > deadline:
            for process in (*running, *watchers.values()):
                process.kill()
            say(f"out of time: {', '.join([*running.values(), *(name for name, _ in queue)])}")
            break
        if queue and not running and now >= deadline - PUBLISHING - 30:
            say(f"not begun: {', '.join(name for name, _ in queue)}")
            queue.clear()
        time.sleep(0.2)
    bring_epochs(args.scratch)
    pack(results, args.out)
    for name in failed:
        say(f"--- {name}\n{(logs / _log(name)).read_text(encoding='utf-8')[-1500:]}")
    return 4 if failed else 0


def _log(name: str) -> str:
    return f"{name.replace('/', '-')}.log"


def _worker(args) -> int:
    """One run, its seeds one after the other in this process: the second finds the first one's programs compiled."""
    from dataclasses import replace

    from ..data import load_mnist
    from ..training import BACKEND, keep_programs
    from .record import Record
    from .reproduce import full_mnist, one

    keep_programs(args.scratch / "cache")
    run = RUNS[args.names[0]]
    run = replace(run, n=args.n or run.n)
    mnist = load_mnist().limit(args.limit) if args.limit else full_mnist()
    failed = False
    for seed in map(int, args.worker.split(",")):
        if time.time() > args.deadline:
            break
        folder = args.scratch / "runs" / f"{run.folder}-seed{seed}"
        target = args.scratch / "results" / f"{run.folder}-seed{seed}"
        if (target / "record.json").exists():
            done = Record.read(target)
            if done.metrics and done.epochs_done >= (args.epochs or run.epochs):
                continue
        began = time.time()
        try:
            record = one(
                run, seed, mnist, folder, target, epochs=args.epochs, scanned=BACKEND == "jax", deadline=args.deadline,
                checkpoint_seconds=ROLLING,
            )  # fmt: skip
        except Exception:  # what was trained is not lost with the machine: it comes home unmeasured
            traceback.print_exc()
            failed = True
            if (folder / "weights.h5").exists() and (folder / "weights.h5").stat().st_size < 8_000_000:
                target.mkdir(parents=True, exist_ok=True)
                for name in ("record.json", "history.csv", "weights.h5"):
                    shutil.copy(folder / name, target / name)
                (target / "unmeasured").touch()
            continue
        figures = {m.name.removeprefix("MNIST-classifier "): round(m.value, 3) for m in record.metrics[:4]}
        print(
            f"{record.name}: {record.epochs_done} epochs, {time.time() - began:.0f} s, {json.dumps(figures)}",
            flush=True,
        )
        if run.epochs < LONG and record.epochs_done >= (args.epochs or run.epochs):
            shutil.rmtree(folder)  # gigabytes, of which nothing is needed any more
    return 4 if failed else 0


def _watcher(args) -> int:
    """Measure the checkpoints of a long run as they come, until it is published and none is left."""
    from ..data import load_mnist
    from ..training import named_checkpoints
    from .epochs import measure_checkpoints
    from .reproduce import full_mnist

    run = RUNS[args.names[0]]
    mnist = load_mnist().limit(args.limit) if args.limit else full_mnist()
    waiting = {f"{run.folder}-seed{seed}": {} for seed in args.worker.split(",")}  # and what was measured
    while waiting:
        for name, before in list(waiting.items()):
            folder = args.scratch / "runs" / name
            published = (args.scratch / "results" / name / "record.json").exists()
            named = named_checkpoints(folder / "checkpoints")
            if published or named != before:
                measure_checkpoints(folder, folder / "epochs.json", mnist=mnist, n=args.n or run.n, last=published)
                waiting[name] = named
            if published:
                del waiting[name]
        time.sleep(1)
    return 0


def bring_epochs(scratch: Path) -> None:
    """What was measured at the checkpoints of a run, beside the run where that is published."""
    for path in (scratch / "runs").rglob("epochs.json"):
        target = scratch / "results" / path.relative_to(scratch / "runs").parent
        if (target / "record.json").exists():
            write_text(target / "epochs.json", path.read_text(encoding="utf-8"))


def pack(results: Path, out: Path) -> list[Path]:
    """results/ as out/results-1.tar.xz, …, each below the limit of an archive; whole folders, whole files."""
    groups, size = [[]], 0
    for folder in sorted(path.parent for path in results.rglob("record.json")):
        if any(part.startswith(".") for part in folder.relative_to(results).parts):
            continue  # being published now, or replaced
        measured = json.loads((folder / "record.json").read_text(encoding="utf-8"))["metrics"]
        if not (measured or (folder / "unmeasured").exists()):
            continue  # being measured now
        own = sum(path.stat().st_size for path in folder.iterdir())
        if groups[-1] and size + own > PACK_LIMIT:
            groups.append([])
            size = 0
        groups[-1].append(folder)
        size += own
    paths = []
    for i, group in enumerate(groups, 1):
        path = out / f"results-{i}.tar.xz"
        with whole(path) as part, tarfile.open(part, "w:xz", preset=1) as archive:
            for folder in group:
                for part_of in (folder / name for name in PARTS):  # not what is being written now
                    if part_of.is_file():
                        archive.add(part_of, part_of.relative_to(results).as_posix())
        paths.append(path)
    return paths


if __name__ == "__main__":
    sys.exit(main())
