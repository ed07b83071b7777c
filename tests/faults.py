"""What can happen at each operation on files: a kill, a rival, a full disk. And whether what is there then is whole."""

import builtins
import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

OPERATIONS = ("mkdir", "fsync", "replace", "rename", "link", "unlink", "rmdir")


def contents(folder):
    """{name: hash} of all files."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def whole_files(files):
    """Those that a reader looks at: neither half-written nor in a hidden folder, and no lock."""
    return {name: value for name, value in files.items() if not (name.endswith(".part") or "/." in f"/{name}")}


def check_readable(folder):
    """An error where a file that a reader looks at is not whole."""
    from ganvae_lib.training import load_arrays  # here: other tests of files take nothing else from a backend

    for name in whole_files(contents(folder)):
        path = folder / name
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".h5":
            load_arrays(path)
        elif path.suffix == ".npz" and path.parent.name != "datasets":
            with np.load(path) as file:
                assert all(file[key].size for key in file.files)
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                assert len({len(row) for row in csv.reader(file)}) == 1
        elif path.suffix == ".js":
            json.loads(path.read_text().split("] = ")[1].removesuffix(";\n"))
        elif path.suffix == ".png" and path.read_bytes() != b"older":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".xz":
            with tarfile.open(path) as file:
                assert all(member.isfile() or member.isdir() for member in file)


def writes(mode):
    return bool(set(mode) & set("wax+"))


@contextmanager
def before_each_operation(do):
    """`do(name, path)` before each operation on files, opening one to write among them; not before its own."""
    busy = []

    def watched(real, name, asked=lambda *_, **__: True):
        def operation(*args, **options):
            if not busy and asked(*args, **options):
                busy.append(1)
                try:
                    do(name, args[0])
                finally:
                    busy.clear()
            return real(*args, **options)

        return operation

    def to_write(file, mode="r", *_, **__):
        return not isinstance(file, int) and writes(mode)

    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, watched(getattr(os, name), name))
        opened = watched(open, "open", to_write)
        for module in (builtins, io):
            patch.setattr(module, "open", opened)
        real = h5py.File.__init__
        first = watched(lambda file, *args, **options: None, "open", to_write)
        patch.setattr(h5py.File, "__init__", lambda self, *args, **o: (first(*args, **o), real(self, *args, **o))[1])
        yield


@contextmanager
def copied_before_each_operation(folder, to):
    """→ the copies of `folder` as a kill would leave it, without those that are as the one before but for parts."""
    states, seen, count = [], [{"nothing yet": ""}], [0]

    def copy(name, path):
        count[0] += 1
        if name == "open" and folder in Path(path).parents:  # what is written in place is half-written for a while
            place = Path(path).relative_to(folder)
            assert place.suffix in (".part", ".lock") or any(p[0] == "." for p in place.parts[:-1]), f"{path}, in place"
        files = contents(folder)
        if whole_files(files) != whole_files(seen[-1]):
            states.append(to / f"{len(states)}-before-{count[0]}-{name}")
        elif len(files) > len(seen[-1]):  # the same with more that is half-written
            shutil.rmtree(states[-1])
        else:
            return
        seen.append(files)
        shutil.copytree(folder, states[-1])

    to.mkdir()
    with before_each_operation(copy):
        yield states
    print(f"{count[0]} operations, {len(states)} states")


@contextmanager
def full_disk(after):
    """After so many writes (files and folders made, bytes written) each fails, half done. → the list of all."""
    asked = []

    def full(name):
        asked.append(name)
        return len(asked) > after

    def error():
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Raw(io.FileIO):
        def write(self, some):
            if full("write"):
                super().write(bytes(some)[: len(some) // 2])
                raise error()
            return super().write(some)

    real_open, real_file, real_mkdir, real_link, real_write = open, h5py.File, os.mkdir, os.link, os.write

    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if isinstance(file, int) or not writes(mode):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not os.path.exists(file) and full("open"):
            raise error()
        raw = Raw(file, mode.translate({ord(c): None for c in "bt"}), closefd, opener)
        binary = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    class File(real_file):
        def __init__(self, name, mode="r", **options):
            if writes(mode) and full("open"):
                raise error()
            super().__init__(name, mode, **options)
            self.written = name if writes(mode) else None

        def close(self):
            failed = self and self.written and full("write")
            super().close()
            if failed:
                os.truncate(self.written, 100)
                raise error()

    def mkdir(path, *args, **options):
        if not os.path.exists(path) and full("mkdir"):
            raise error()
        return real_mkdir(path, *args, **options)

    def link(*args, **options):
        if full("link"):
            raise error()
        return real_link(*args, **options)

    def write(*args):
        if full("write"):
            raise error()
        return real_write(*args)

    with pytest.MonkeyPatch.context() as patch:
        for module in (builtins, io):
            patch.setattr(module, "open", opened)
        patch.setattr(tarfile, "bltn_open", opened)
        patch.setattr(shutil, "_USE_CP_SENDFILE", False, raising=False)
        patch.setattr(h5py, "File", File)
        for function in (mkdir, link, write):
            patch.setattr(os, function.__name__, function)
        yield asked
