"""What holds the project together: packaging, the Makefile, and the shape of every chapter."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
INSTALL_CELL = (ROOT / "book" / "install_cell.txt").read_text().rstrip("\n")
CHAPTERS = {path.name: nbformat.read(path, as_version=4) for path in sorted(ROOT.glob("chapters/*.ipynb"))}

each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def lock():
    """Return the lines of requirements.txt as Requirements, without their hashes."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line.removesuffix("\\")) for line in lines if re.match("[a-z]", line)]


def own_files():
    """Return the project's text files as git would list them: no builds, no environments."""
    skip = {"_build", "runs"}  # at the root; ganvae_lib has a folder runs, too
    kinds = {".py", ".md", ".txt", ".yml", ".toml", ".cff", ".ipynb", ".bib", ".css", ".js", ".json", ""}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in kinds
        and path.relative_to(ROOT).parts[0] not in skip
        and not any(
            part == "__pycache__"
            or (part.startswith(".") and part not in {".github", ".devcontainer"})
            or ".egg-info" in part
            for part in path.relative_to(ROOT).parts
        )
    ]


# Packaging


def test_lock_has_one_version_of_everything_the_project_asks_for():
    pinned = {}
    for requirement in lock():
        name = canonicalize_name(requirement.name)
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), f"{name} is not pinned"
        if requirement.marker is None or "python" not in str(requirement.marker):
            assert name not in pinned, f"{name} is pinned twice"
        pinned[name] = requirement
    project = PYPROJECT["project"]
    asked = (
        project["dependencies"] + project["optional-dependencies"]["book"] + project["optional-dependencies"]["test"]
    )
    for line in asked:
        wanted = Requirement(line)
        have = pinned[canonicalize_name(wanted.name)]
        version = str(have.specifier).removeprefix("==")
        assert wanted.specifier.contains(version, prereleases=True), f"the lock has {have}, pyproject wants {wanted}"


def test_every_line_of_the_lock_has_its_hashes():
    text = (ROOT / "requirements.txt").read_text()
    entries = re.split(r"^(?=[a-z])", text, flags=re.M)[1:]
    assert len(entries) == len(lock()) > 100
    assert [entry for entry in entries if not re.search(r"^    --hash=sha256:[0-9a-f]{64}\b", entry, re.M)] == []


def test_lock_brings_no_cuda_and_names_no_index():
    text = (ROOT / "requirements.txt").read_text()
    assert [r.name for r in lock() if re.search("nvidia|cuda|torch|cupy|triton", r.name)] == []
    assert re.search(r"://|--(extra-)?index|--find-links|file:", text) is None


def test_floors_are_within_what_colab_has():
    lines = (ROOT / "requirements-colab.txt").read_text().splitlines()
    colab = {r.name: str(r.specifier).removeprefix("==") for r in map(Requirement, lines[1:])}
    assert {"tensorflow", "keras", "numpy", "scipy"} <= set(colab)
    asked = {r.name: r for r in map(Requirement, PYPROJECT["project"]["dependencies"])}
    for name, version in colab.items():
        assert asked[name].specifier.contains(version), f"{asked[name]} would move Colab's {name} {version}"


def test_console_script_is_declared_and_leads_to_a_function():
    assert PYPROJECT["project"]["scripts"] == {"ganvae": "ganvae_lib.cli:main"}
    installed = [point for point in entry_points(group="console_scripts") if point.name == "ganvae"]
    for point in installed:
        assert callable(point.load())


def test_version_is_the_same_everywhere():
    import ganvae_lib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PYPROJECT["project"]["version"] == ganvae_lib.__version__ == citation["version"]


def test_every_name_that_the_library_offers_is_there():
    import ganvae_lib
    from ganvae_lib.runs import train

    assert all(getattr(ganvae_lib, name) for name in ganvae_lib.__all__)
    assert ganvae_lib.train is train


def test_repository_address_is_the_same_everywhere():
    url = CONFIG["repository"]["url"]
    assert f'URL = "{url}"\n' in INSTALL_CELL
    others = {}
    for path in own_files():
        for found in re.findall(r"https://github\.com/[\w.-]+/ganvae[\w-]*", path.read_text(errors="replace")):
            if found != url:
                others[path.relative_to(ROOT).as_posix()] = found
        for found in re.findall(
            r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)", path.read_text(errors="replace")
        ):
            if found != url.removeprefix("https://github.com/"):
                others[path.relative_to(ROOT).as_posix()] = found
    assert others == {}


# Makefile


def test_help_lists_every_target():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1).split()
    assert {"book", "html", "notebooks", "test", "lint", "reproduce", "bench", "help"} <= set(targets)
    missing = [target for target in targets if not re.search(rf"^\s+make {target}\s+\S", shown, re.M)]
    assert missing == []


def test_ci_runs_the_readme_s_test_command():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
    assert re.search(r"^(exec )?make test\b", script.read_text(), re.M)
    assert "make test" in (ROOT / "README.md").read_text()


def test_relative_links_of_the_front_files_lead_somewhere():
    broken = [
        f"{name}: {link}"
        for name in ["README.md", "CONTRIBUTING.md"]
        for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", (ROOT / name).read_text())
        if not (ROOT / link).exists()
    ]
    assert broken == []


# Nothing names a machine


def test_no_file_names_a_machine():
    """No home folder in any file of the project. The brackets keep this pattern from finding itself."""
    pattern = re.compile(r"/h[o]me/\w+/|/U[s]ers/\w+/|/ro{2}t/|C:\\+U[s]ers")
    found = {
        path.relative_to(ROOT).as_posix(): match.group()
        for path in own_files()
        if (match := pattern.search(path.read_text(errors="replace")))
    }
    assert found == {}


# Chapters


def code_cells(name):
    """Return the code cells of one chapter."""
    return [cell for cell in CHAPTERS[name].cells if cell.cell_type == "code"]


def prose(name):
    """Return the Markdown of one chapter."""
    return "\n\n".join(cell.source for cell in CHAPTERS[name].cells if cell.cell_type == "markdown")


def test_there_are_chapters():
    assert CHAPTERS, "no notebook in chapters/"
    assert all(re.fullmatch(r"\d\d[a-z]?_[a-z0-9_]+\.ipynb", name) for name in CHAPTERS), list(CHAPTERS)


@each_chapter
def test_the_readme_leads_to_each_chapter_and_to_no_other(name):
    linked = re.findall(r"/blob/main/notebooks/(\w+\.ipynb)", (ROOT / "README.md").read_text())
    assert name in linked and set(linked) <= set(CHAPTERS)


@each_chapter
def test_first_code_cell_is_the_install_cell(name):
    first = code_cells(name)[0]
    assert first.source == INSTALL_CELL
    assert "hide-input" in first.metadata.get("tags", [])
    assert sum("google.colab" in cell.source for cell in code_cells(name)) == 1


def test_install_cell_moves_nothing():
    assert "%pip install -q --no-deps" in INSTALL_CELL
    assert "--upgrade" not in INSTALL_CELL
    assert "==" not in INSTALL_CELL


@each_chapter
def test_no_line_of_code_is_wider_than_the_page_s_column(name):
    """88 characters: `make format` breaks what it can, a string or comment is broken by hand."""
    lines = [line for cell in code_cells(name) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 88] == []


@each_chapter
def test_chapter_was_executed_from_top_to_bottom(name):
    counts = [cell.execution_count for cell in code_cells(name) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"


@each_chapter
def test_stored_outputs_hold_no_stderr_error_or_machine(name):
    for number, cell in enumerate(CHAPTERS[name].cells):
        for out in cell.get("outputs", []):
            assert out.get("name") != "stderr", f"cell {number} stores stderr"
            expected = "raises-exception" in cell.metadata.get("tags", [])
            assert out.output_type != "error" or expected, f"cell {number} stores an error"
            text = out.get("text", "") + str(out.get("data", {}).get("text/plain", ""))
            assert not re.search(r"(?<![\w.])/(home|Users|root|tmp|private|mnt|opt|var)/", text), (
                f"cell {number} names a folder"
            )


@each_chapter
def test_notebook_carries_no_volatile_metadata(name):
    nb = CHAPTERS[name]
    assert nb.metadata.kernelspec.name == "python3"
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert set(nb.metadata.language_info) == {"name"}
    for number, cell in enumerate(nb.cells):
        assert not {"execution", "ExecuteTime"} & set(cell.metadata), f"cell {number} stores time stamps"


@each_chapter
def test_chapter_has_outcomes_takeaways_and_exercises(name):
    text = prose(name)
    assert text.startswith("# "), "the first cell is the title"
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.S), re.M)) == 1, "one title"
    assert len(re.findall(r"^:class: outcomes", text, re.M)) == 1, "one admonition of class outcomes"
    assert len(re.findall(r"^:class: takeaways", text, re.M)) == 1, "one admonition of class takeaways"
    assert text.rindex(":class: takeaways") > text.rindex("{exercise}"), "the take-aways come last"
    assert len(re.findall(r"^[`:]{3,}\{exercise\}", text, re.M)) >= 3, "at least three exercises"


@each_chapter
def test_every_exercise_has_a_collapsed_solution(name):
    text = prose(name)
    labels = re.findall(r"\{exercise\}[^\n]*\n:label: (\S+)", text)
    solved = re.findall(r"\{solution(?:-start)?\} (\S+)\n:class: dropdown", text)
    assert len(labels) == len(re.findall(r"^[`:]{3,}\{exercise\}", text, re.M)), "each exercise has a label"
    assert sorted(labels) == sorted(solved)


@each_chapter
def test_every_figure_has_alt_text_and_a_caption(name):
    for number, cell in enumerate(CHAPTERS[name].cells):
        if any(kind.startswith("image/") for out in cell.get("outputs", []) for kind in out.get("data", {})):
            told = cell.metadata.get("mystnb", {})
            alt, caption = told.get("image", {}).get("alt", ""), told.get("figure", {}).get("caption", "")
            assert len(alt) > 20, f"cell {number} draws a figure: say what it shows in metadata mystnb.image.alt"
            assert len(caption) > 20, f"cell {number} draws a figure: give it a caption in metadata mystnb.figure"


@each_chapter
def test_widgets_are_left_out_of_the_book(name):
    for number, cell in enumerate(CHAPTERS[name].cells):
        for out in cell.get("outputs", []):
            if "application/vnd.jupyter.widget-view+json" in out.get("data", {}):
                assert "remove-output" in cell.metadata.get("tags", []), (
                    f"cell {number} shows a widget: tag remove-output"
                )


def test_conftest_lets_literal_nbval_find_the_chapters():
    """`pytest --nbval` at the root collects tests/, chapters/ and the page on speed, never the copies under _build/."""
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests", "chapters", "book"]
    assert "_build" in options["norecursedirs"]
    assert "--nbval-current-env" in options["addopts"]
    assert options["filterwarnings"][0] == "error"


def test_this_python_is_one_the_project_supports():
    assert Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier.contains(
        ".".join(map(str, sys.version_info[:3]))
    )


def test_the_results_are_small_enough_to_clone_on_colab():
    assert sum(path.stat().st_size for path in (ROOT / "results").rglob("*") if path.is_file()) < 60e6
