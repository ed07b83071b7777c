"""Files that are whole or not there, folders that one process at a time writes to, and faults at every operation."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganvae_lib import files
from ganvae_lib.errors import RunError

ROOT = Path(__file__).parents[1]
HOLD = """
import sys, time
from ganvae_lib.files import locked
with locked(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def holder(folder):
    """Another process that has the lock of `folder`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_told_who_has_the_folder_and_goes_on_when_that_one_is_killed(tmp_path):
    folder = tmp_path / "run"
    with holder(folder) as process:
        told = rf"run is in use by process {process.pid} on .*, training since \d\d:\d\d:\d\d"
        with pytest.raises(RunError, match=told), files.locked(folder, "measuring"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / ".run.lock").exists()  # left behind, and in nobody's way
        with files.locked(folder, "measuring"):
            assert f"process {os.getpid()} on" in (tmp_path / ".run.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_once_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "run")
    with files.locked("run", "training"):
        for name in (tmp_path / "run", "other", "./x/../run"):
            with pytest.raises(RunError, match="in use"), files.locked(name, "training"):
                pass
        with files.locked("run2", "training"):
            pass


def test_many_at_once_are_never_two(tmp_path):
    """Threads open the lock's file anew each time, as processes do; the file comes and goes under them."""
    inside, most, times = [], [], []

    def work():
        for _ in range(60):
            try:
                with files.locked(tmp_path / "run", "training"):
                    inside.append(1)
                    most.append(len(inside))
                    times.append(1)
                    inside.pop()
            except RunError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(times) >= 60


def test_where_nothing_can_be_written_beside_it_the_lock_lies_inside(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == folder and real(path, mode))
    with files.locked(folder, "training"):
        assert (folder / ".lock").exists() and not (tmp_path / ".run.lock").exists()
        with pytest.raises(RunError, match="in use"), files.locked(folder, "training"):
            pass
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunError, match=r"run cannot be written \(Permission denied\): copy it"):  # noqa: SIM117
        with files.locked(folder, "measuring", mend="copy it"):
            pass
    with files.locked(folder, "reading", reading=True):
        assert list(folder.iterdir()) == []


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", none)
    with files.locked(tmp_path / "run", "training"):
        assert (tmp_path / ".run.lock").exists()


OPERATIONS = ("mkdir", "fsync", "replace", "rename", "link", "unlink", "rmdir")


def fail_at(monkeypatch, k, error):
    """From the k-th operation on files on, each fails, as on a full disk. → the list of those that were asked for."""
    asked = []

    def failing(name):
        real = getattr(os, name)

        def operation(*args, **options):
            asked.append(name)
            if len(asked) > k:
                raise error
            return real(*args, **options)

        return operation

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, failing(name))
    return asked


@pytest.mark.parametrize("k", range(5))
def test_a_file_is_the_old_or_the_new_one_whichever_operation_fails(tmp_path, monkeypatch, k):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with monkeypatch.context() as patch:
        asked = fail_at(patch, k, OSError(errno.ENOSPC, "No space left on device"))
        try:
            files.write_text(path, "new")
        except RunError as error:
            assert "could not be written" in str(error) and "\n" not in str(error)
            assert path.read_text() == "old" and len(asked) > k
        else:
            assert path.read_text() == "new"
    assert k > 2 or path.read_text() == "old"


@pytest.mark.parametrize("k", range(12))
def test_a_folder_is_the_old_or_the_new_one_whichever_operation_fails(tmp_path, monkeypatch, k):
    folder = tmp_path / "published"

    def write(text):
        with files.beside(folder) as new:
            for name in ("a", "b"):
                files.write_text(new / name, text)

    write("old")
    with monkeypatch.context() as patch:
        fail_at(patch, k, OSError(errno.ENOSPC, "No space left on device"))
        try:
            write("new")
        except RunError as error:
            assert "could not be written" in str(error) and "\n" not in str(error)
    there = folder if folder.exists() else tmp_path / ".published.old"
    assert [(there / name).read_text() for name in ("a", "b")] in (["old"] * 2, ["new"] * 2)
    write("newer")
    assert (folder / "a").read_text() == "newer" and list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_writer_left_is_swept(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "last.h5.0a1b2c3d.part").write_text("half")
    (tmp_path / "my.part").write_text("mine")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["my.part"]
