"""The part of `fuzz.py` that changes bytes in files, writes odd ones, and gives commands odd arguments."""

import io
import json
import os
import sys
import warnings
import zipfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from ganvae_lib import cli, metrics
from ganvae_lib.data import _read_npz
from ganvae_lib.errors import CourseError
from ganvae_lib.models.variations import configuration
from ganvae_lib.runs.record import DataSource, Record, environment
from ganvae_lib.runs.results import Result, read_npz
from ganvae_lib.training import load_arrays, save_arrays


def ok(condition, what):
    """Like `assert`, where something must have come out right."""
    if not condition:
        raise AssertionError(what)


def damaged(rng, data: bytes) -> bytes:
    """The bytes with a bit flipped, cut, doubled, mixed, emptied, or left as they are."""
    data = bytearray(data)
    how = rng.integers(8)
    for _ in range(1 if how < 3 else int(rng.integers(2, 20)) if how == 3 else 0):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    if how == 4:
        del data[rng.integers(len(data)) :]
    elif how == 5:
        at, length = rng.integers(len(data)), int(rng.integers(1, 60))
        data[at : at + length] = rng.bytes(int(rng.integers(0, 60)))
    elif how == 6:
        data[rng.integers(len(data)) :] = data[: rng.integers(len(data))]
    return bytes(data)


class Files:
    """One whole file of each kind, and what is read from it."""

    def __init__(self, folder: Path):
        self.folder = folder
        rng = np.random.default_rng(0)
        self.x = rng.integers(0, 256, (20, 28, 28)).astype("uint8")
        self.run = folder / "run"
        self.run.mkdir()
        (self.run / "history.csv").write_text("epoch,seconds,loss\n1,0.5,230.25\n2,0.25,200.5\n")
        self.record = Record(
            model="vae", variation="report", configuration=configuration("vae"), loss="x", parameters={"encoder": 1},
            seed=3, epochs=2, epochs_done=2, batch_size=128, learning_rate=2e-4, precision="float32",
            data=DataSource(source="MNIST", n_train=9, n_test=9, sha256="0" * 64),
            environment=environment("tensorflow"), seconds_per_epoch=20.0,
            metrics=[metrics.MetricResult.of("pixel distance", 12.5, 100, reference="test")],
        ).with_files(self.run, "history.csv")  # fmt: skip
        (self.run / "record.json").write_text(self.record.to_json())
        self.npz = []
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, x=self.x, seed=0, epoch=2)
            self.npz.append(file.getvalue())
        file = io.BytesIO()
        np.savez_compressed(file, x_train=self.x, y_train=np.arange(20) % 10, x_test=self.x, y_test=np.arange(20) % 10)
        self.mnist = file.getvalue()
        self.arrays = {"a": rng.standard_normal((30, 4)), "b": np.float32(2.5)}
        save_arrays(folder / "w.h5", self.arrays, {"epoch": 2})
        self.h5 = (folder / "w.h5").read_bytes()
        self.png = []
        for picture in (Image.fromarray(self.x[0]), Image.fromarray(self.x[0]).convert("P")):
            file = io.BytesIO()
            picture.save(file, "PNG")
            self.png.append(file.getvalue())

    def put(self, name, data):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # some file systems wait for the disk where a file is overwritten
        path.write_bytes(data)
        return path


def record_file(rng, files):
    text = files.record.to_json().encode()
    if rng.random() < 0.6:
        path = files.put("damaged/record.json", damaged(rng, text))
        return ok(Record.read(path) == files.record, "another record was read")
    # What a person or a program may have written: any JSON in any place, no checksum.
    fields = json.loads(text)
    del fields["crc32"]
    place, name = fields, rng.choice(list(fields))
    while isinstance(place[name], dict) and place[name] and rng.random() < 0.7:
        place = place[name]
        name = rng.choice(list(place))
    odd_values = (None, -1, 0, 2**70, 1e308, float("nan"), "", "../x", "\x00", [], [[]], {}, {"": {}}, True, "x" * 9999)
    place[str(name)] = odd_values[rng.integers(len(odd_values))]
    read = Record.read(files.put("damaged/record.json", json.dumps(fields).encode()))
    ok(json.loads(read.to_json()) is not None, "it cannot be written")


def history_file(rng, files):
    data = (files.run / "history.csv").read_bytes()
    folder = files.put("h/history.csv", damaged(rng, data)).parent
    record = files.record if rng.random() < 0.7 else files.record.model_copy(update={"files": {}})
    (folder / "record.json").write_text(record.to_json())
    history = Result(folder).history
    if record.files:
        ok(history == {"epoch": [1, 2], "seconds": [0.5, 0.25], "loss": [230.25, 200.5]}, "another history was read")


def samples_file(rng, files):
    data = files.npz[rng.integers(len(files.npz))]
    path = files.put("damaged/s.npz", damaged(rng, data))
    if rng.random() < 0.5:
        x = metrics.load_images(path)
        ok(np.array_equal(np.rint((x[..., 0] + 1) * 127.5), files.x), "other images were read")
    else:
        ok(np.array_equal(read_npz(path, "x", "seed", "epoch")["x"], files.x), "other samples were read")


def mnist_file(rng, files):
    found = _read_npz(files.put("damaged/m.npz", damaged(rng, files.mnist)), "a file")
    ok(np.array_equal(np.rint((found.x_train[..., 0] + 1) * 127.5), files.x), "other digits were read")


def odd_npz(rng, files, arrays):
    """A whole archive of odd arrays, to be read as images."""
    path = files.folder / "damaged" / "o.npz"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez(path, **arrays)
    if rng.random() < 0.1:
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("readme.txt", "no array")
    x = metrics.load_images(path)
    ok(x.dtype == np.float32 and x.shape[1:] == (28, 28, 1) and np.abs(x).max() <= 1, "no images came out")


def weights_file(rng, files):
    arrays, meta = load_arrays(files.put("damaged/w.h5", damaged(rng, files.h5)))
    same = arrays.keys() == files.arrays.keys() and all(np.array_equal(arrays[k], files.arrays[k]) for k in arrays)
    ok(same and meta == {"epoch": 2}, "other weights were read")


def picture_file(rng, files):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = metrics.load_images(files.put("p/0.png", damaged(rng, files.png[rng.integers(2)])).parent)
    ok(np.array_equal(np.rint((x[..., 0] + 1) * 127.5), files.x[:1]), "another picture was read")


# --- command lines ---------------------------------------------------------------------------------------------------

ODD_WORDS = (
    "", " ", "-", "--", "-1", "0", "1.5", "nan", "1e9", str(2**32), str(10**30), "x" * 5_000, "../x", "a\nb", "ü",
    "\udcff", "--seed", "--no-such-option", "--help", "%s{}", "~", "/", "/dev/null", "vae", "mnist",
)  # fmt: skip
# What would train is asked for what there is none of: no input may take minutes.
COMMANDS = {
    "data": (),
    "train": ("no-such-model",),
    "evaluate": ("images.npz", "--features", "pixels"),
    "publish": ("run", "--to", "published"),
    "export": ("run", "--to", "exported"),
    "sample": ("run", "--out", "s.png"),
    "classifier": ("--holdout", "20", "--out", "c"),  # as many as there are images
    "reproduce": ("--only", "no-such-run", "--runs", "runs", "--results", "r"),
    "scoreboard": ("--results", "."),
}
OPTIONS = ("--seed", "--n", "--limit", "--epochs", "--batch-size", "--json", "--against", "--features", "--out", "--to",
           "--name", "--from", "--epoch", "--resume", "--precision", "--backend", "--seeds", "--weights")  # fmt: skip


def command_line(rng, files):
    """`ganvae` with words changed, added, left out: it ends with a code that its help names, and one line at most."""
    command = str(rng.choice(list(COMMANDS)))
    words = [command, *COMMANDS[command]]
    first = {"train": 2, "classifier": 3}.get(command, 1)  # the words before keep it from training
    for _ in range(rng.integers(4)):
        odd = [str(rng.choice(ODD_WORDS))]
        if rng.random() < 0.5:
            odd.insert(0, str(rng.choice(OPTIONS)))
        at = int(rng.integers(first, len(words) + 1))
        words[at : at + int(rng.integers(2))] = odd
    here = files.put("here/images.npz", files.npz[0]).parent
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(here),
        patch.object(sys, "argv", ["ganvae", *words]),
        patch.dict(os.environ, GANVAE_MNIST=str(files.put("m.npz", files.mnist))),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = cli.main()
        except SystemExit as stop:
            code = stop.code
    told = err.getvalue()
    lines = told.splitlines()
    ok(code in (0, 1, 2, 3, 4, 5, 6), f"code {code!r} of {words}")
    if code:
        ok(
            len(lines) == 1 and lines[0].startswith("ganvae: "),
            f"{len(lines)} lines of {words}: {told[:200]!r}",
        )
        raise CourseError(lines[0])
