"""Execute the notebooks in place, store outputs that name no machine: `python book/run_notebooks.py [NOTEBOOK …]`."""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "speed.ipynb"
PRIVATE = sorted({str(ROOT), str(Path.home()), sys.prefix} - {"/"})


def clean(nb):
    """Drop what changes from run to run or belongs to one machine: stderr, time stamps, widget states, versions."""
    nb.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in nb.cells:
        for key in ("execution", "ExecuteTime", "collapsed"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return nb


def private_paths(nb):
    """Return (cell number, path) for each stored output that names a folder of this machine."""
    return [
        (number, path)
        for number, cell in enumerate(nb.cells)
        for out in cell.get("outputs", [])
        for path in PRIVATE
        if path in out.get("text", "") or path in str(out.get("data", {}).get("text/plain", ""))
    ]


def run(path):
    """Execute one notebook and replace it, or leave it as it was and say in one line what went wrong."""
    nb = nbformat.read(path, as_version=4)
    began = time.perf_counter()
    client = NotebookClient(
        nb,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return f"{path.name}: {error.ename}: {error.evalue}\n{error}"
    clean(nb)
    if found := private_paths(nb):
        number, folder = found[0]
        return f"{path.name}: the output of cell {number} names {folder}; print something that holds on any machine"
    part = path.with_suffix(".part")
    nbformat.write(nb, part)
    os.replace(part, path)
    print(f"{path.name}: {time.perf_counter() - began:.0f} s", flush=True)
    return None


if __name__ == "__main__":
    paths = [Path(p).resolve() for p in sys.argv[1:]] or [*sorted(ROOT.glob("chapters/*.ipynb")), PAGE]
    failures = [message for path in paths if (message := run(path))]
    sys.exit("\n".join(failures) or None)
