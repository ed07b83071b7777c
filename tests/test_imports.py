"""Imports point down only: a module imports what stands on a lower floor, or beside it in its own folder, no circle."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "ganvae_lib"
# From the top. A name is a folder or a module of the library.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"explore"},
    {"runs"},
    {"latent"},
    {"models"},
    {"training"},
    {"metrics"},
    {"networks", "losses", "toy"},
    {"data", "plots", "exercises"},
    {"quiet_keras", "files", "checks"},
    {"paper"},
    {"errors"},
)
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}


def imports(path, text=None):
    """(line, module as 'runs.record') for each import of the library's own in a file, lazy ones too."""
    package = ["ganvae_lib", *path.relative_to(LIBRARY).parts[:-1]]
    for node in ast.walk(ast.parse(text or path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if alias.name.split(".")[0] == "ganvae_lib"]
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "ganvae_lib"):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            found = [".".join(base)] if len(base) > 1 else [f"{base[0]}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            yield node.lineno, name.removeprefix("ganvae_lib.").removeprefix("ganvae_lib")


def upward(path, text=None):
    """The imports of a file that do not point down."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    own = FLOOR[parts[0]] if parts[0] != "__init__" else -1
    return [
        f"{path.relative_to(LIBRARY)}:{line} imports {name}"
        for line, name in imports(path, text)
        if name and name.split(".")[0] != parts[0] and FLOOR[name.split(".")[0]] <= own
    ]


def test_every_module_stands_on_a_floor():
    names = {path.relative_to(LIBRARY).with_suffix("").parts[0] for path in LIBRARY.rglob("*.py")} - {"__init__"}
    assert names == set(FLOOR)


def test_imports_point_down():
    assert [fault for path in sorted(LIBRARY.rglob("*.py")) for fault in upward(path)] == []


def test_no_circle_within_a_folder():
    graph = {}
    for path in LIBRARY.rglob("*/*.py"):
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        graph[name] = {n for _, n in imports(path) if n.split(".")[0] == name.split(".")[0] and n != name}
    for name, targets in graph.items():
        reached, front = set(), {t for t in targets if t in graph}
        while front:
            reached |= front
            front = {t for n in front for t in graph[n] if t in graph} - reached
        assert name not in reached, f"{name} imports itself by way of {sorted(reached)}"


@pytest.mark.parametrize(
    "text", ["from ..runs import train", "from ganvae_lib.explore import export", "from .. import cli"]
)
def test_an_upward_import_is_seen(text):
    assert len(upward(LIBRARY / "models" / "gan.py", text)) == 1
    assert upward(LIBRARY / "models" / "gan.py", "from .. import losses\nfrom .vae import VAE") == []


def test_no_file_is_longer_than_a_reader_s_patience():
    root = LIBRARY.parent
    paths = [path for folder in ("ganvae_lib", "tests", "bench", "book") for path in (root / folder).rglob("*.py")]
    long = {str(p.relative_to(root)): n for p in paths if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert long == {}
