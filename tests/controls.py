"""Negative controls of the chapters: `python tests/controls.py [--sample 60] [CHAPTER …]`, or `make controls`.

An assertion that guards a claim about trained models or digits should fail where there is nothing to claim. Each
chapter runs three times, as it stands and under two controls, and no failed assertion stops it:

  untrained  no optimizer moves a weight, stored weights are drawn anew, stored samples are noise, stored snapshots
             and histories show the first epoch throughout
  shuffled   each pixel of the real images is shuffled over the images, and so are the labels; each figure of a stored
             record is another record's

An assertion is *concerned* where one of its variables is another one under a control. Of those that are, a sample
is drawn; printed is which of them fail under a control, and which pass under both. What passes may be right to pass
(no control touches a closed form): read it. What a chapter gave is kept in _build/controls until the chapter changes,
so that a killed run goes on where it was.
"""

import argparse
import ast
import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from ganvae_lib.files import write_text

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
CONTROLS = ("as it stands", "untrained", "shuffled")

# Runs in the kernel before the chapter. `_tried` keeps (assertion, passed or the error, fingerprints of its variables).
COMMON = """
import hashlib as _hashlib, types as _types
import numpy as _np
_tried = {}

def _print_of(value, depth=0):
    if isinstance(value, (_types.ModuleType, _types.FunctionType, type)) or callable(value):
        return None
    if isinstance(value, (str, bytes, bool, int, type(None))):
        return repr(value)
    if isinstance(value, dict) and depth < 4:
        return repr([(repr(k), _print_of(v, depth + 1)) for k, v in value.items()])
    if isinstance(value, (list, tuple)) and depth < 4:
        return repr([_print_of(v, depth + 1) for v in value])
    try:
        value = _np.asarray(value)
        return None if value.dtype == object else _hashlib.sha256(value.tobytes()).hexdigest()
    except Exception:
        return None

def _assertion(key, names, check, space):
    try:
        check()
        outcome = "passed"
    except AssertionError:
        outcome = "failed"
    except Exception as error:
        outcome = type(error).__name__
    _tried[key] = (outcome, {name: _print_of(space[name]) for name in names if name in space})
"""
UNTRAINED = """
import keras as _keras
_keras.optimizers.Optimizer.apply = lambda self, grads, variables=None: self.iterations.assign_add(1)
from ganvae_lib.runs import results as _results
import ganvae_lib.training as _training
_training.assign_arrays = lambda *_: None  # a loaded model keeps its first weights
_first = lambda arrays: {n: arrays[min(m for m in arrays if m.split("_")[0] == n.split("_")[0])] for n in arrays}
_Result = _results.Result
_history, _snapshots, _samples = (getattr(_Result, n).fget for n in ("history", "snapshots", "samples"))
_still = lambda column, v: v if column == "epoch" else [v[0]] * len(v)
_Result.history = property(lambda self: {column: _still(column, v) for column, v in _history(self).items()})
_Result.snapshots = property(lambda self: _first(_snapshots(self)))

def _noise(self):
    x = _samples(self)
    return None if x is None else _np.random.default_rng(0).integers(0, 256, x.shape, dtype="uint8")

_Result.samples = property(_noise)
"""
SHUFFLED = """
import dataclasses as _dataclasses
import ganvae_lib as _library
from ganvae_lib import data as _data
from ganvae_lib.runs import record as _record, results as _results
_load = _data.load_mnist

def _apart(x, rng):
    x = x.copy()
    flat = x.reshape(len(x), -1)
    return rng.permuted(flat, axis=0).reshape(x.shape)

def _shuffled(*args, **kwargs):
    mnist, rng = _load(*args, **kwargs), _np.random.default_rng(0)
    return _dataclasses.replace(mnist, x_train=_apart(mnist.x_train, rng), x_test=_apart(mnist.x_test, rng),
                                y_train=rng.permutation(mnist.y_train), y_test=rng.permutation(mnist.y_test))

_data.load_mnist = _library.load_mnist = _shuffled
_read = _record.Record.read.__func__
_pool, _draw = {}, _np.random.default_rng(1)
for _path in sorted(_results.FOLDER.rglob("record.json")):
    for _m in _read(_record.Record, _path.parent).metrics:
        _pool.setdefault(_m.name, []).append(_m.value)

def _another(cls, folder):
    record = _read(cls, folder)
    metrics = [m.model_copy(update={"value": float(_draw.choice(_pool[m.name]))}) for m in record.metrics]
    return record.model_copy(update={"metrics": metrics})

_record.Record.read = classmethod(_another)
"""
PREAMBLE = {"as it stands": "", "untrained": UNTRAINED, "shuffled": SHUFFLED}
CLOSE = "import json as _json\nopen({path!r}, 'w').write(_json.dumps(_tried))"


class Recorded(ast.NodeTransformer):
    """Each assertion outside a function becomes a call that keeps its outcome."""

    def __init__(self, cell):
        self.cell, self.texts = cell, {}

    def visit_FunctionDef(self, node):
        return node

    visit_Lambda = visit_ClassDef = visit_FunctionDef

    def visit_Assert(self, node):
        key = f"{self.cell}:{len(self.texts)}"
        self.texts[key] = ast.unparse(node.test)
        names = sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name)})
        hook = ast.parse(
            f"def _check():\n    pass\n_assertion({key!r}, {names!r}, _check, {{**globals(), **locals()}})"
        )
        hook.body[0].body = [node]
        return hook.body


def prepared(path, control, out):
    """The chapter with its assertions recorded, a control's preamble before and the result written after it."""
    nb = nbformat.read(path, as_version=4)
    found = {}
    for cell in nb.cells:
        if cell.cell_type == "code" and "assert" in cell.source:
            try:
                tree = ast.parse(cell.source)
            except SyntaxError:  # a line for the shell
                continue
            recorded = Recorded(cell.id)
            cell.source = ast.unparse(ast.fix_missing_locations(recorded.visit(tree)))
            found |= recorded.texts
    nb.cells.insert(0, nbformat.v4.new_code_cell(COMMON + PREAMBLE[control]))
    nb.cells.append(nbformat.v4.new_code_cell(CLOSE.format(path=str(out))))
    return nb, found


def outcomes(path, control):
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "tried.json"
        nb, texts = prepared(path, control, out)
        client = NotebookClient(nb, timeout=1200, startup_timeout=300, kernel_name="python3", allow_errors=True,
                                resources={"metadata": {"path": str(path.parent)}})  # fmt: skip
        client.execute()
        first = next((o for o in nb.cells[0].outputs if o.output_type == "error"), None)
        if first or not out.exists():
            sys.exit(f"{path.name}, {control}: the preamble failed: {first and first.evalue}")
        return json.loads(out.read_text(encoding="utf-8")), texts


def kept(path):
    """The outcomes of a chapter under each of CONTROLS, from the last run of this very chapter where there is one."""
    chapter = hashlib.sha256(path.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    file = ROOT / "_build" / "controls" / f"{path.stem}.json"
    if file.exists() and (known := json.loads(file.read_text(encoding="utf-8")))["chapter"] == chapter:
        return known["outcomes"]
    found = [outcomes(path, control) for control in CONTROLS]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps({"chapter": chapter, "outcomes": found}))
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", type=Path, nargs="*", help="default: all")
    parser.add_argument("--sample", type=int, default=60, help="how many of the assertions that are concerned")
    options = parser.parse_args(argv)
    paths = [p.resolve() for p in options.chapter] or sorted((ROOT / "chapters").glob("*.ipynb"))
    concerned, count = {}, 0
    for path in paths:
        (plain, texts), *others = kept(path)
        count += len(plain)
        touched = 0
        for key, (outcome, names) in plain.items():
            if outcome != "passed":
                print(f"{path.stem} {key}: {outcome} in the chapter as it stands")
            seen = [tried.get(key, ("not reached", {})) for tried, _ in others]
            moved = any(other[1].get(n) != v for other in seen for n, v in names.items())
            if moved or any(other[0] != "passed" for other in seen):
                concerned[path.stem, key] = [other[0] for other in seen], texts[key]
                touched += 1
        print(f"{path.stem}: {len(plain)} assertions, {touched} concerned", flush=True)
    sample = sorted(random.Random(SEED).sample(sorted(concerned), min(options.sample, len(concerned))))
    failed = 0
    for key in sample:
        (untrained, shuffled), text = concerned[key]
        noticed = {"failed"} & {untrained, shuffled}
        failed += bool(noticed)
        if not noticed:
            print(f"{' '.join(key)}: untrained {untrained}, shuffled {shuffled}\n    {text[:300]}")
    print(f"{count} assertions, {len(concerned)} concerned; of {len(sample)} sampled {failed} fail under a control")
    return 0


if __name__ == "__main__":
    sys.exit(main())
