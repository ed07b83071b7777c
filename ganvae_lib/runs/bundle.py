"""One archive for a machine without network: the library, the packages that a bare Python with JAX lacks, MNIST.

`make bundle` writes it; unpacked there, `bash run.sh NAME… --minutes M --out DIR` does the rest (`runs.away`).
"""

import argparse
import importlib.metadata
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ..errors import CourseError, RunError
from ..files import beside, locked, mend_of, whole
from .record import Record

# What the library imports, and what that imports, but for what JAX brings: NumPy, SciPy, ml_dtypes.
PACKAGES = (
    "absl-py", "annotated-doc", "annotated-types", "click", "h5py", "keras", "markdown-it-py",
    "mdurl", "namex", "optree", "packaging", "pydantic", "pydantic-core", "pygments", "rich", "shellingham",
    "typer", "typing-extensions", "typing-inspection",
)  # fmt: skip
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64",
             "manylinux_2_12_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
LIMIT = 60_000_000  # bytes
LIBRARY = Path(__file__).resolve().parents[1]


def bundle(to, pythons=PYTHONS, mnist: str | None = None) -> Path:
    """Write the archive `to` (.tar.gz). `mnist`: a copy of mnist.npz to put in; default GANVAE_MNIST, where it is set.

    Raises:
      RunError: a package could not be fetched, `mnist` is not there, or the archive would have more than 60 MB.
    """
    to, mnist = Path(to), mnist or os.environ.get("GANVAE_MNIST")
    if mnist and not os.path.isfile(mnist := os.path.expanduser(mnist)):
        raise RunError(f"{mnist} is not there or not a file: point GANVAE_MNIST at a copy of mnist.npz, or unset it")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "bundle"
        shutil.copytree(LIBRARY, root / "ganvae_lib", ignore=shutil.ignore_patterns("__pycache__", "run.sh"))
        shutil.copy(Path(__file__).with_name("run.sh"), root / "run.sh")
        for python in pythons:
            _wheels(root / "wheels" / python, python)
        if mnist:
            shutil.copy(mnist, root / "mnist.npz")
        with whole(to) as part:
            with tarfile.open(part, "w:gz", compresslevel=1) as archive:
                archive.add(root, "bundle")
            if part.stat().st_size > LIMIT:
                named = ", ".join(pythons)
                raise RunError(f"the bundle would have more than {LIMIT / 1e6:.0f} MB: leave out some of {named}")
    return to


def _wheels(folder: Path, python: str) -> None:
    """The packages as they are installed here, unpacked for that Python; no installer is needed there."""
    folder.mkdir(parents=True)
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES if _installed(name)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder),
               f"--python-version={python}", "--implementation=cp",
               *(f"--platform={platform}" for platform in PLATFORMS), *versions]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        raise RunError(
            f"the packages could not be fetched ({told.stderr.strip().splitlines()[-1]}): is there an index?"
        )


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


PARTS = ("record.json", "history.csv", "samples.npz", "snapshots.npz", "weights.h5", "unmeasured", "epochs.json")
NAME = re.compile(r"[\w.+-]+(/[\w.+-]+)?")


def take_home(archives, results) -> list[Path]:
    """Bring runs that were trained away (results-N.tar.xz) into `results`, each as a whole. → their folders.

    A folder takes the place of one of the same run with as many epochs or fewer; notes in it stay, and `epochs.json`
    where its training is the beginning of the new one.

    Raises:
      RunError: an archive is damaged, holds anything but runs, or one that another archive holds; or in `results` there
        is in its place another run, one with more epochs, one that is measured where the new one is not, or no run.
    """
    results, taken, hidden, seen = Path(results), [], ".taken-", set()
    with (
        locked(results, "taking runs home", make=True),
        tempfile.TemporaryDirectory(dir=results, prefix=hidden) as folder,
    ):
        for left in results.glob(f"{hidden}*"):
            if left.name != Path(folder).name:  # by one that was killed
                shutil.rmtree(left)
        for archive in map(Path, archives):
            try:
                with tarfile.open(archive, "r:xz") as file:
                    for member in file:
                        name, _, part = member.name.rpartition("/")
                        if member.isdir() and NAME.fullmatch(member.name):
                            continue
                        if not (member.isfile() and NAME.fullmatch(name) and ".." not in name and part in PARTS):
                            raise RunError(
                                f"{archive} holds {member.name!r}, which is no part of a run: nothing was taken"
                            )
                        if member.name in seen:
                            raise RunError(f"{archive} holds {member.name!r} once more: nothing was taken")
                        seen.add(member.name)
                        file.extract(member, folder, filter="data")
                    # A damaged header is taken for the end of the archive: the checksum stands at the real one.
                    while file.fileobj.read(1 << 20):
                        pass
            except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
                mend = mend_of(error, "fetch it again")
                raise RunError(f"{archive} cannot be read ({error}): {mend}; nothing was taken") from error
        found = sorted(path.parent for path in Path(folder).rglob("record.json"))
        for new in found:
            _may_take_the_place(new, results / new.relative_to(folder))
        for new in found:
            old = results / new.relative_to(folder)
            with locked(old, "taking it home"), beside(old) as place:
                for path in old.iterdir() if old.exists() else ():
                    if path.name not in PARTS[:-1] and (path.name != "epochs.json" or _goes_on(old, new)):
                        shutil.copy(path, place / path.name)
                shutil.copytree(new, place, dirs_exist_ok=True)
            taken.append(old)
    return taken


def _may_take_the_place(new: Path, old: Path) -> None:
    """RunError where the run in `new` is damaged, or must not stand in the place of what is in `old`."""
    record = Record.read(new)
    for path in new.iterdir():
        if path.is_dir():
            raise RunError(f"the archive has a run in {path.name}, within another: nothing was taken")
        record.check(path)
    if not old.exists() or not any(old.iterdir()):
        return
    if any(path.is_dir() for path in old.iterdir()) or not (old / "record.json").is_file():
        raise RunError(f"{old} holds something else than a published run: choose another folder")
    before = Record.read(old)
    if before.name != record.name or not record.is_of(before.identity):
        raise RunError(f"{old} is another run than the one in the archive, {record.name}: move it away first")
    if before.epochs_done > record.epochs_done:
        raise RunError(f"{old} has more epochs than the one in the archive: move it away first")
    if before.metrics and not record.metrics:
        raise RunError(f"{old} is measured, the one in the archive is not: move it away first")


def _goes_on(old: Path, new: Path) -> bool:
    """Whether the training in `new` begins with that in `old`: the history begins with each epoch and its seconds.

    What follows may have become more: a later version may report other losses.
    """
    before, now = (
        [line.split(",")[:2] for line in (folder / "history.csv").read_text(encoding="utf-8").splitlines()]
        if (folder / "history.csv").exists()
        else []
        for folder in (old, new)
    )
    return bool(before) and now[: len(before)] == before


def main(argv=None) -> None:
    """`python -m ganvae_lib.runs.bundle`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", default="dist/ganvae-bundle.tar.gz")
    parser.add_argument("--python", nargs="*", default=PYTHONS, help="for these versions of Python")
    args = parser.parse_args(argv)
    try:
        path = bundle(args.to, tuple(args.python))
    except CourseError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
