"""Files and folders that are there whole or not at all, and folders that one process at a time writes to."""

import errno
import lzma
import os
import platform
import shutil
import struct
import time
import tokenize
import uuid
import zipfile
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from .errors import InUseError, RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

# What `np.load` and the archive below it raise where a .npz is damaged, by bits or by design.
NPZ_FAULTS = (
    OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, IndexError, RuntimeError, OverflowError,
    MemoryError, struct.error, zlib.error, lzma.LZMAError, tokenize.TokenError, SyntaxError, zipfile.BadZipFile,
    zipfile.LargeZipFile,
)  # fmt: skip
SOMEWHERE_ELSE = 1 << 30  # Windows forbids to read the bytes that are locked: one far behind the text is


@contextmanager
def together(*paths, mend="make room or choose another folder"):
    """A path beside each of `paths` to write to. They take their places when the block ends well, and go when not.

    All are written out before the first takes its place. Killed between two of these moves, the first is new already.
    Of a link the file that it names is written.

    Raises:
      RunError: a file could not be written: what stood at `paths` before is untouched; or not moved to its place; or
        there stands no file, but a folder, a device or a pipe.
    """
    paths = [Path(os.path.realpath(path)) for path in paths]
    for path in paths:
        if os.path.exists(path) and not os.path.isfile(path):  # unlike Path's, these say no where nobody can look
            raise RunError(f"{path} is no file: choose another")
    # Two writers do not share one: not two processes, not two machines on one disk, not two threads.
    parts = [path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part") for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part in parts:
            with open(part, "r+b") as file:  # Windows brings to disk only what is open for writing
                os.fsync(file.fileno())
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    except (OSError, RuntimeError) as error:
        names = " and ".join(str(path) for path in paths)
        raise RunError(f"{names} could not be written ({first_line(error)}): {mend}") from error
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def whole(path, mend="make room or choose another folder"):
    """`together` for one file."""
    with together(path, mend=mend) as (part,):
        yield part


def read_npz(path, choose=list):
    """The arrays of a .npz, {name: array}, of those names that `choose(names)` returns. Pickles are never loaded.

    Each member is read to its end, where its checksum is compared. `np.load` reads as many bytes as the member's header
    tells of; of fewer, where the header was changed, and then it gives other numbers without a word.

    Raises:
      one of NPZ_FAULTS: it is damaged, or no such archive; or what `choose` raises.
    """
    with open(path, "rb") as opened, zipfile.ZipFile(opened) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        arrays = {}
        for name in choose(list(members)):
            with archive.open(members[name]) as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
                if member.read(1):
                    raise ValueError(f"{name} goes on behind its end")
        return arrays


def write_text(path, text):
    """Write a text file, UTF-8."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def link(old, new):
    """The file `old` under a second name, whatever stood there before: the same bytes, or where that fails a copy."""
    with whole(new) as part:
        try:
            os.link(old, part)
        except OSError:
            shutil.copyfile(old, part)


def keras_home():
    """Keras' folder, found without importing Keras: KERAS_HOME, or .keras at home, or where nobody is at home in /tmp.

    `Path.home()` raises where HOME is unset and the user has no entry in the system's list.
    """
    home = os.path.expanduser("~")
    default = Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
    return Path(os.environ.get("KERAS_HOME") or default)


def crc32(path, start=0):
    """The CRC-32 of a file's bytes from `start` on, read a piece at a time."""
    value = 0
    with open(path, "rb") as file:
        file.seek(start)
        while piece := file.read(1 << 24):
            value = zlib.crc32(piece, value)
    return value


def first_line(error):
    """What an exception says, its first line alone."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def mend_of(error, mend):
    """`mend`, or where an error comes of a full disk what helps then."""
    return "make room" if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) else mend


@contextmanager
def locked(folder, doing, mend="choose another folder, or change its permissions", reading=False, make=False):
    """Keep every other process that asks for `folder` out of it while the block runs.

    The system itself lets go of the lock when its holder ends, however it ends. It lies beside the folder, which may
    thus be exchanged as a whole (`beside`), or inside where nothing may be written beside it. A file system that
    knows no locks is used without.

    Args:
      folder: it need not be there yet; what it lies in is made.
      doing: for whoever is refused, 'training', say.
      mend: what to do where nothing can be written.
      reading: the folder is read only; where nothing may be written, there is no lock.
      make: make the folder.

    Raises:
      InUseError: another process has it; the line names it.
      RunError: nothing can be written there.
    """
    folder = Path(folder).resolve()
    if reading and not any(os.access(place, os.W_OK) for place in (folder.parent, folder)):
        yield
        return
    file, path = _open_lock(folder, mend, make)
    try:
        with suppress(OSError):  # a full disk keeps nobody from reading, nor from being told of it where he writes
            os.truncate(file.fileno(), 0)
            told = f"process {os.getpid()} on {platform.node()}, {doing} since {time.strftime('%H:%M:%S')}"
            os.write(file.fileno(), told.encode())
        yield
    finally:
        if fcntl:  # gone before it is free: whoever waits for this file sees that it is no longer the one at `path`
            with suppress(OSError):
                path.unlink()
        file.close()
        if not fcntl:  # Windows removes no open file, another process's neither
            with suppress(OSError):
                path.unlink()


def _open_lock(folder, mend, make):
    while True:
        try:
            (folder if make else folder.parent).mkdir(parents=True, exist_ok=True)
            beside = os.access(folder.parent, os.W_OK)
            if folder.is_dir() and not os.access(folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
            path = folder.parent / f".{folder.name}.lock" if beside else folder / ".lock"
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise RunError(f"{folder} cannot be written ({error.strerror}): {mend_of(error, mend)}") from error
        if not _take(file):
            time.sleep(0.05)  # until its holder has written its name
            with suppress(OSError):
                file.seek(0)
            holder = file.read(200).strip() or "another process"
            file.close()
            raise InUseError(f"{folder} is in use by {holder}: wait for it, or choose another folder")
        with suppress(OSError):
            if not fcntl or os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file, path
        file.close()  # its holder went, and the file with it, between our opening and our locking


def _take(file):
    """Lock an open file. → whether that succeeded, or cannot be done on its file system."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(SOMEWHERE_ELSE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


@contextmanager
def beside(folder):
    """An empty folder beside `folder`, to fill. It takes `folder`'s place when the block ends well, and goes when not.

    Killed at any moment, `folder` is the old one or the new one, or for the instant between two renames the old one
    under another name, which the next call puts back. Call it under the lock of `folder`.

    Raises:
      RunError: it could not be made, or the folders not renamed.
    """
    folder = Path(folder).resolve()
    new, old = (folder.with_name(f".{folder.name}.{part}") for part in ("new", "old"))
    try:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError("it is a file")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            if old.exists():
                shutil.rmtree(old)
            os.rename(folder, old)
        try:
            os.rename(new, folder)
        except OSError:
            with suppress(OSError):
                os.rename(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{folder} could not be written ({first_line(error)}): make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def sweep(path):
    """Remove what writers that were killed left in a folder, or of a file, whose lock is held."""
    path = Path(path)
    parts = path.rglob("*.????????.part") if path.is_dir() else path.parent.glob(f"{path.name}.????????.part")
    for part in parts:
        with suppress(OSError):
            part.unlink()
