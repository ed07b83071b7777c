"""The plan's runs on several processes at once, of this machine or of several that share a folder, through Dask.

A run whose process is killed goes on in another one from its last checkpoint: Dask hands it out again, and the system
lets go of the lock on its folder. Nothing here imports Keras before a worker knows its backend and its cores.
"""

import logging
import os
import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlparse

from ..errors import InUseError, RunError
from ..files import first_line, locked

LOOK_EVERY = 1.0  # seconds between two looks at the runs' folders
ANSWER_WITHIN = 10  # seconds for a scheduler to answer, and for its first worker
PLACE, HELD = "GANVAE_PLACE", ExitStack()  # a worker's place among its machine's cores, held until the process ends


def reproduce_on(*, workers: int | None = None, cluster: str | None = None, limit: int | None = None, runs="runs",
                 results="results", **wanted) -> Iterator[Path]:  # fmt: skip
    """`reproduce` on several processes: yields the folder of each run in `results` as it is finished.

    Args:
      workers: how many processes of this machine; each has an equal share of its cores.
      cluster: instead, the address of a Dask scheduler. Its workers have the library, run one task at a time
        (--nthreads 1), and see `runs` and `results` under the same paths; the cores of a machine are shared equally.
      limit: training images; default all, a rehearsal takes few.
      runs: where runs are trained, as in `reproduce`.
      results: where they are published.
      **wanted: `only`, `seeds`, `epochs` and `precision` of `reproduce`.

    Raises:
      DataError: the full MNIST is not at hand.
      RunError: Dask is not installed, the scheduler does not answer, it has no worker or one with several threads; a
        folder in `results` holds another run; or at the end, runs have failed.
    """
    if (workers is None) == (cluster is None):
        raise RunError("name either a number of workers or the address of a cluster")
    if workers is not None and workers < 1:
        raise RunError(f"the number of workers must be 1 or more; got {workers}")
    try:
        import distributed
    except ImportError as error:
        raise RunError(
            "several processes need Dask, the extra 'cluster': pip install 'ganvae-lib[cluster]', or go without"
        ) from error
    from ..training import BACKEND
    from .reproduce import full_mnist, tasks

    # Absolute: a worker may have been started elsewhere.
    todo = tasks(runs=Path(runs).resolve(), results=Path(results).resolve(), **wanted)
    if limit is None:
        full_mnist()
    yield from (task.target for task in todo if task.done)
    todo = [task for task in todo if not task.done]
    if not todo:
        return
    failed = []
    with _client(distributed, workers, cluster) as client, _view(len(todo)) as show:
        crowd = Counter(_machine(address) for address in client.nthreads())
        pending = {client.submit(perform, pickle.dumps(task), BACKEND, crowd, limit, pure=False): task for task in todo}
        while pending:
            with suppress(TimeoutError):
                distributed.wait(list(pending), timeout=LOOK_EVERY, return_when="FIRST_COMPLETED")
            for future in [future for future in pending if future.done()]:
                task = pending.pop(future)
                if future.status == "finished":
                    yield task.target
                else:
                    failed.append(f"{_name(task)}: {first_line(future.exception())}")
                    show(pending.values(), failed[-1])
            show(pending.values())
    if failed:
        raise RunError(
            f"{len(failed)} of {len(todo)} runs failed, the same command tries them again: {'; '.join(failed)}"
        )


def perform(task: bytes, backend: str, crowd: dict[str, int], limit: int | None = None) -> None:
    """What a worker does: a pickled `Task`. `crowd` is the number of workers on each machine."""
    from distributed import get_worker

    _take_cores(crowd.get(_machine(get_worker().address), 1))
    os.environ["KERAS_BACKEND"] = backend  # of no effect where the process has Keras already
    from ..data import load_mnist
    from ..training import BACKEND
    from .reproduce import full_mnist

    if backend != BACKEND:
        raise RunError(f"a worker computes on {BACKEND} already: restart it, or ask for --backend {BACKEND}")
    task, mnist = pickle.loads(task), load_mnist().limit(limit) if limit else full_mnist()
    while not task.done:
        with suppress(InUseError):  # of a worker that was lost but lives: it may end the run, or be killed
            task.do(mnist, progress=False)
            return
        time.sleep(LOOK_EVERY)


def _take_cores(workers: int) -> None:
    """Keep this process to its share of the machine's cores, before it imports what starts a thread for each."""
    if workers == 1 or PLACE in os.environ:
        return
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    share = max(1, len(cores) // workers)
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(share))
    for i in range(workers):
        with suppress(RunError):  # the place of another worker
            HELD.enter_context(locked(Path(tempfile.gettempdir()) / f"ganvae-place-{i}", "computing"))
            os.environ[PLACE] = str(i)
            if hasattr(os, "sched_setaffinity"):
                first = i * share % len(cores)
                os.sched_setaffinity(0, cores[first : first + share])
            return


@contextmanager
def _client(distributed, workers, address):
    """A client of as many local processes, or of the scheduler at that address."""
    if address is None:
        options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
        with (
            distributed.LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **options) as local,
            distributed.Client(local) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=ANSWER_WITHIN)
    except (OSError, ValueError, TimeoutError) as error:
        raise RunError(
            f"no Dask scheduler answers at {address} ({first_line(error)}): start one with "
            "'dask scheduler', or use --workers"
        ) from error
    with client:
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=ANSWER_WITHIN)
        threads = client.nthreads()
        if set(threads.values()) != {1}:
            told = "has workers of several threads" if threads else "has no workers"
            raise RunError(f"the cluster at {address} {told}: start them with 'dask worker {address} --nthreads 1'")
        yield client


@contextmanager
def _view(total: int):
    """All runs in one view, a line each with its epoch: live in a terminal; in a log a line where one has moved."""
    from rich.console import Console
    from rich.live import Live

    console, told = Console(), {}
    with Live(console=console, refresh_per_second=2) if console.is_terminal else nullcontext() as live:

        def show(pending, line=None):
            if line:
                print(line, flush=True)
            lines = {_name(task): _state(task) for task in pending}
            begun = {name: state for name, state in lines.items() if state}
            if live:
                end = f"{total - len(lines)} of {total} runs done, {len(lines) - len(begun)} waiting"
                live.update("\n".join([*(f"{name}  {state}" for name, state in begun.items()), end]))
            else:
                for name in [name for name in begun if told.get(name) != begun[name]]:
                    print(f"{name}  {begun[name]}", flush=True)
            told.update(lines)

        yield show


def _state(task) -> str:
    """How far a run is, from the history in its folder; '' where it has not begun."""
    try:
        done = len((task.folder / "history.csv").read_text(encoding="utf-8").splitlines()) - 1
    except OSError:
        return ""
    return f"epoch {done} of {task.epochs}" + ", being measured" * (done >= task.epochs)


def _name(task) -> str:
    return f"{task.run.folder}-seed{task.seed}"


def _machine(address: str) -> str:
    return urlparse(address).hostname or address
