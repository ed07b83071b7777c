"""What lies in `results/`: read a run's record, history and snapshots, or say plainly that it is not there."""

import csv
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from .. import files
from ..errors import RunError
from ..files import NPZ_FAULTS, first_line, whole
from .record import Record, check_run

# In a clone, beside the library; on Colab, in the clone that the first cell of a chapter makes.
FOLDER = next(
    (
        folder
        for folder in (Path(__file__).resolve().parents[2] / "results", Path("ganvae-course/results"))
        if folder.is_dir()
    ),
    Path(__file__).resolve().parents[2] / "results",
)


class Result:
    """One folder of `results/`. `record`, `history` (column → list) and `snapshots` (name → array)."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.record = Record.read(self.folder)

    @property
    def history(self) -> dict[str, list[float]]:
        path = self.folder / "history.csv"
        self.record.check(path)
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file, strict=True))
            history = {column: [float(row[column]) for row in rows] for column in rows[0]}
            # In training, or killed there, a run has an epoch in its history before its record knows.
            history = {column: values[: self.record.epochs_done] for column, values in history.items()}
            if history["epoch"] != list(range(1, self.record.epochs_done + 1)):
                raise ValueError(f"it is not of the record's {self.record.epochs_done} epochs")
            return history
        except (OSError, ValueError, TypeError, IndexError, KeyError, csv.Error) as error:
            raise RunError(f"{path} is no history of a run ({first_line(error)}): restore it") from error

    @property
    def snapshots(self) -> dict[str, np.ndarray]:
        """Arrays named samples_010, codes_010, reconstructions_010, …: what the figures at those epochs show."""
        self.record.check(self.folder / "snapshots.npz")
        return read_npz(self.folder / "snapshots.npz")

    def at_epochs(self, kind: str) -> dict[int, np.ndarray]:
        """The snapshots of one kind ('samples', 'codes', 'reconstructions') by epoch, in order."""
        found = {int(n.split("_")[1]): a for n, a in self.snapshots.items() if n.startswith(f"{kind}_")}
        return dict(sorted(found.items()))

    @property
    def samples(self) -> np.ndarray | None:
        """The stored samples (N, 28, 28), uint8, that the record's metrics were measured on; None if none are kept."""
        if not (self.folder / "samples.npz").exists():
            return None
        stored = stored_samples(self.folder, self.record)
        if stored["epoch"] != self.record.epochs_done:
            raise RunError(f"{self.folder / 'samples.npz'} is of epoch {stored['epoch']}: publish the run again")
        return stored["x"]


def stored_samples(folder: Path, record: Record) -> dict[str, np.ndarray]:
    """What `store_samples` kept. RunError where it is missing, damaged or another run's."""
    path = folder / "samples.npz"
    stored = read_npz(path, "x", "seed", "epoch")
    if stored["x"].dtype != np.uint8 or stored["x"].shape[1:] != (28, 28) or not len(stored["x"]):
        raise RunError(f"{path} holds no samples, uint8 (N, 28, 28): delete it, and samples are drawn again")
    told = str(stored["run"]) if "run" in stored else None  # an older version did not say whose they are
    with suppress(ValueError):
        told = told and json.loads(told)
    check_run(path, told, record)
    return stored


def read_npz(path: Path, *needed: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz that a run keeps.

    Raises:
      RunError: it is missing or damaged, or lacks an array of those needed.
    """
    try:
        arrays = files.read_npz(path)
    except NPZ_FAULTS as error:
        raise RunError(f"{path} cannot be read ({first_line(error)}): restore it, or publish the run again") from error
    if missing := set(needed) - set(arrays):
        raise RunError(f"{path} lacks {', '.join(sorted(missing))}: delete it, and samples are drawn again")
    return arrays


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As `np.savez_compressed`, but with bzip2: a sixth less for images; `np.load` reads both. No dates go in."""
    with whole(path, "make room, then evaluate again") as part, zipfile.ZipFile(part, "w") as file:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_BZIP2
            with file.open(entry, "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def find(name: str, folder=FOLDER) -> Result | None:
    """The result of that name, or None where it was deleted or never made: pages then say so and go on."""
    path = Path(folder) / name
    return Result(path) if (path / "record.json").exists() else None


def seeds(name: str, folder=FOLDER) -> list[Result]:
    """The results name-seed0, name-seed1, … that are there, in this order; of runs of several lengths, the longest."""
    found = [Result(path.parent) for path in Path(folder).glob(f"{name}-seed*/record.json")]
    longest = max((result.record.epochs_done for result in found), default=0)
    return sorted((r for r in found if r.record.epochs_done == longest), key=lambda r: r.record.seed)


def all_results(folder=FOLDER) -> list[Result]:
    """Every run in `results/`, by name. RunError where the folder is missing."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is not there: run the course from a clone of its repository, or name the folder")
    found = [path.parent for path in sorted(folder.glob("[!.]*/record.json"))]  # a hidden one is being written
    return [Result(path) for path in found]
