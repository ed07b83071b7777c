"""`make fork` sets the repository's address everywhere, in a copy of the few files that have it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLD = "https://github.com/" + "/".join(["ganvae-course"] * 2)  # in pieces: a fork leaves it as it is
NEW = "https://github.com/a-teacher/gan.class"
FILES = [
    "_config.yml",
    "README.md",
    "CITATION.cff",
    "LICENSE-text",
    "Makefile",
    "book/howto.md",
    "book/install_cell.txt",
    "book/install_cell_plain.txt",
    "chapters/01_data.ipynb",
    "ganvae_lib/runs/results.py",
]


@pytest.fixture
def copy(tmp_path):
    """The few files, in a folder of their own, under their present address."""
    address = re.search(r"^  url: (\S+)$", (ROOT / "_config.yml").read_text(encoding="utf-8"), re.M).group(1)
    folder = tmp_path / "a copy with ü"
    for name in [*FILES, "book/fork.py"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    if address != OLD:  # in a fork: begin where the course began
        assert fork(folder, OLD).returncode == 0
    return folder


def fork(folder, *arguments):
    """Run the copy's own script, as `make fork` does."""
    command = [sys.executable, str(folder / "book" / "fork.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def texts(folder):
    return {name: (folder / name).read_text(encoding="utf-8") for name in FILES}


def test_every_mention_is_set(copy):
    before = texts(copy)
    done = fork(copy, NEW + ".git/")
    assert done.returncode == 0 and done.stderr == ""
    after = texts(copy)
    assert [name for name in FILES if "ganvae-course/ganvae-course" in before[name]] == [
        name for name in FILES if "a-teacher/gan.class" in after[name]
    ]
    for name, text in after.items():
        assert "ganvae-course/ganvae-course" not in text, name
        # A clone of the new repository makes a folder of the new name.
        assert not re.search(r"(test -d |\./|cd |Path\(\")ganvae-course", text), name
    assert f'URL = "{NEW}"\n' in after["book/install_cell.txt"]
    assert after["book/install_cell.txt"].endswith("--no-deps ./gan.class\n")
    assert "github/a-teacher/gan.class/blob/main/notebooks/01_data.ipynb" in after["README.md"]
    assert 'Path("gan.class/results")' in after["ganvae_lib/runs/results.py"]


def test_the_authors_keep_their_name(copy):
    before = texts(copy)
    fork(copy, NEW)
    for name, text in texts(copy).items():
        assert text.count("ganvae-course contributors") == before[name].count("ganvae-course contributors")


def test_there_and_back_changes_nothing(copy):
    before = texts(copy)
    assert fork(copy, NEW).returncode == fork(copy, OLD).returncode == 0
    assert texts(copy) == before
    assert fork(copy, OLD).stdout.startswith("0 files changed.")


@pytest.mark.parametrize("url", ["", "5", "github.com/a/b", "https://github.com/a", "https://example.org/a/b", "a b"])
def test_what_is_no_address_is_refused_in_one_line(copy, url):
    before = texts(copy)
    done = fork(copy, url)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and "https://github.com/OWNER/NAME" in done.stderr
    assert texts(copy) == before


def test_no_address_in_the_configuration(copy):
    (copy / "_config.yml").write_text("title: none\n", encoding="utf-8")
    done = fork(copy, NEW)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "_config.yml" in done.stderr
