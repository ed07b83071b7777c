"""The wheel holds the whole library and works outside the clone. `make package` tries it in a bare environment."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import package
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of what it is made of: building leaves files beside its source."""
    source, out = tmp_path_factory.mktemp("source") / "a copy", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "ganvae_lib", source / "ganvae_lib", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


def test_it_holds_every_file_of_the_library_and_no_other(wheel):
    own = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ganvae_lib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in packed if ".dist-info/" not in name} == own
    assert {name.rsplit("/", 1)[-1] for name in packed if "/licenses/" in name} == {"LICENSE", "LICENSE-text"}


def test_library_and_classifier_work_outside_the_clone(wheel, tmp_path):
    installed = tmp_path / "with ü"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", installed, wheel]
    subprocess.run(install, check=True, capture_output=True)
    assert (installed / "bin" / "ganvae").exists()
    told = package.library(sys.executable, tmp_path, installed, PYTHONPATH=str(installed))
    assert told.endswith("97 % of 500 digits")
