"""Files that are whole or not there, folders that one process at a time writes to, and faults at every operation."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from fcntl import F_GETFL, LOCK_EX, LOCK_NB, fcntl
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faults import OPERATIONS

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


@pytest.fixture(params=["posix", "windows"])
def system(request, monkeypatch):
    """Locks as Windows has them too: its `msvcrt`, no unlinking of open files, no fsync of what is open to read."""
    if request.param == "posix":
        return request.param
    real_open, real_unlink, real_fsync, flock, one = open, os.unlink, os.fsync, files.fcntl.flock, threading.RLock()

    def locking(fd, mode, count):
        assert (mode, count, os.lseek(fd, 0, os.SEEK_CUR)) == (2, 1, files.SOMEWHERE_ELSE)
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def opened(*args, **options):
        with one:
            return real_open(*args, **options)

    def unlink(path, **options):
        with one:
            mine = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
            if any(os.path.islink(fd) and os.path.realpath(fd) == os.path.realpath(path) for fd in mine):
                raise PermissionError(errno.EACCES, "The process cannot access the file")
            real_unlink(path, **options)

    def fsync(fd):
        if fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_fsync(fd)

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2), raising=False)
    monkeypatch.setattr(files, "open", opened, raising=False)
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "fsync", fsync)
    return request.param


def test_a_lock_says_who_has_it_and_is_gone_after_it_on_either_system(system, tmp_path):
    for _ in range(2):
        with files.locked(tmp_path / "run", "training"):
            told = rf"run is in use by process {os.getpid()} on .*, training since \d\d:\d\d:\d\d: wait for it"
            with pytest.raises(RunError, match=told), files.locked(tmp_path / "run", "measuring"):
                pass
            files.write_text(tmp_path / "a.txt", "whole")
        assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_on_a_full_disk_a_lock_holds_without_a_name(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    told = "in use by another process"
    with files.locked(tmp_path / "run", "a"), pytest.raises(RunError, match=told), files.locked(tmp_path / "run", "b"):
        pass
    monkeypatch.setattr("builtins.open", full)
    told = r"run cannot be written \(No space left on device\): make room"
    with pytest.raises(RunError, match=told), files.locked(tmp_path / "run", "training"):
        pass


def test_a_folder_is_held_once_whatever_it_is_called(system, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "run")
    with files.locked("run", "training"):
        for name in (tmp_path / "run", "other", "./x/../run"):
            with pytest.raises(RunError, match="in use"), files.locked(name, "training"):
                pass
        with files.locked("run2", "training"):
            pass


def test_many_at_once_are_never_two(system, tmp_path):
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


def test_several_files_are_all_the_old_ones_until_all_are_written(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("old")
    told = r"a and .*b and .*c could not be written \(.*No space.*\): make room"
    with pytest.raises(RunError, match=told), files.together(*paths) as parts:
        for part in parts[:2]:
            part.write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.read_text() for path in paths] == ["old"] * 3 and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(RunError, match="No such file"), files.together(*paths) as parts:
        parts[0].write_text("new")  # the others were forgotten
    assert [path.read_text() for path in paths] == ["old"] * 3
    with files.together(*paths) as parts:
        for part in parts:
            part.write_text("new")
    assert [path.read_text() for path in paths] == ["new"] * 3 and len(list(tmp_path.iterdir())) == 3


def test_what_a_killed_writer_left_is_swept(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "last.h5.0a1b2c3d.part").write_text("half")
    (tmp_path / "my.part").write_text("mine")
    (tmp_path / "x.png.0a1b2c3d.part").write_text("half")
    files.sweep(tmp_path / "y.png")
    files.sweep(tmp_path / "x.png")  # of a file
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"my.part", "last.h5.0a1b2c3d.part"}
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["my.part"]


def test_a_header_that_tells_of_too_few_bytes_is_seen(tmp_path):
    path, x = tmp_path / "x.npz", (np.arange(10_000) % 251).astype("uint8").reshape(20, 500)
    np.savez(path, x=x, y=x)
    assert files.read_npz(path)["y"].tolist() == x.tolist()
    assert list(files.read_npz(path, lambda names: names[:1])) == ["x"]
    data = bytearray(path.read_bytes())
    at = data.index(b"\x93NUMPY") + 8  # the length of the header, 118: from 114 the array begins four bytes early
    data[at] -= 4
    path.write_bytes(data)
    with np.load(path) as file:
        assert (file["x"] != x).any()  # without a word
    with pytest.raises(files.NPZ_FAULTS, match="x"):
        files.read_npz(path)


def test_a_device_a_pipe_and_a_link_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="pipe is no file"):
        files.write_text(tmp_path / "pipe", "x")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "own").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "own")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "own").read_text() == "new"
    with pytest.raises(RunError, match="null is no file"):
        files.write_text("/dev/null", "x")
