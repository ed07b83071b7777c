"""Refuse notebooks whose stored outputs hold stderr or name a machine: `python book/check_notebooks.py NOTEBOOK …`."""

import re
import sys
from pathlib import Path

import nbformat
from run_notebooks import private_paths

# Folders of anybody's machine; run_notebooks knows those of this one.
FOLDER = re.compile(r"(?<![\w.])/(home|Users|root|tmp|private|mnt|opt|var)/|[A-Z]:\\Users")


def faults(nb):
    """One line for each stored output that should not be committed."""
    found = [f"the output of cell {number} names {folder}" for number, folder in private_paths(nb)]
    for number, cell in enumerate(nb.cells):
        for out in cell.get("outputs", []):
            text = out.get("text", "") + str(out.get("data", {}).get("text/plain", ""))
            if out.get("name") == "stderr":
                found.append(f"cell {number} stores stderr")
            elif match := FOLDER.search(text):
                found.append(f"the output of cell {number} names a folder under {match.group()}")
    return found


def check(path):
    """The faults of one file, each with the file's name."""
    try:
        return [f"{path}: {fault}" for fault in faults(nbformat.read(path, as_version=4))]
    except (OSError, ValueError, KeyError, AttributeError) as error:  # KeyError, AttributeError: JSON of another kind
        return [f"{path}: cannot be read as a notebook ({type(error).__name__})"]


if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] for line in check(Path(name))]
    sys.exit("\n".join([*lines, "Run `make notebooks`, or clear the output."]) if lines else None)
