"""Change the library in small ways, one at a time, and see whether its tests notice: `make mutants`.

A mutant is one changed sign (+ − * /), factor or index (a number one larger) in a function of losses, models, training
or metrics. It runs against the unit tests of its module alone. What no test notices is printed; `EXPLAINED` says of
some why no test can. Which of all possible mutants are tried is a function of `SEED`.
"""

import argparse
import ast
import os
import random
import signal
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEED, LIMIT = 0, 900  # seconds of a mutant: one that never ends is noticed
TARGETS = {  # module: how many mutants, and the tests that answer for it
    "losses": (30, "test_losses"),
    "models/gan": (14, "test_gan_options test_gan"),
    "models/vae": (10, "test_vae"),
    "models/likelihood": (10, "test_evaluation test_vae"),
    "training/step_model": (6, "test_training test_vae"),
    "training/batches": (8, "test_training"),
    "metrics/frechet": (14, "test_metrics_frechet"),
    "metrics/kid": (16, "test_metrics_kid"),
    "metrics/prdc": (16, "test_metrics_prdc"),
    "metrics/inception_score": (8, "test_metrics_inception_score"),
    "metrics/classes": (6, "test_metrics_classes"),
    "metrics/reconstruction": (18, "test_metrics_reconstruction"),
    "metrics/memorisation": (14, "test_metrics_memorisation"),
    "metrics/stats": (18, "test_metrics_stats"),
}
SIGNS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
EXPLAINED: dict[str, str] = {}  # 'module: line → changed line': why no test can notice


class Sites(ast.NodeVisitor):
    """Where a module may be changed: (start, end, new text) in its source."""

    def __init__(self, source):
        self.source, self.found = source, []
        self.starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.in_function = False
        self.visit(ast.parse(source))

    def place(self, line, column):
        return self.starts[line - 1] + column

    def visit_FunctionDef(self, node):
        outer, self.in_function = self.in_function, True
        for child in node.body:
            self.visit(child)
        self.in_function = outer

    def visit_If(self, node):
        if all(isinstance(child, ast.Raise) for child in node.body):  # what is refused is not arithmetic
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Raise(self, node):
        """Messages stay."""

    visit_JoinedStr = visit_Raise

    def visit_BinOp(self, node):
        self.generic_visit(node)
        text = any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", 0), str)
                   for side in (node.left, node.right))  # fmt: skip
        if self.in_function and type(node.op) in SIGNS and not text:
            start = self.place(node.left.end_lineno, node.left.end_col_offset)
            end = self.place(node.right.lineno, node.right.col_offset)
            old, new = SIGNS[type(node.op)]
            between = self.source.encode()[start:end].decode()
            self.found.append((start, end, between.replace(old, new, 1)))

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        if self.in_function and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            start = self.place(node.lineno, node.col_offset)
            self.found.append((start, start + 1, ""))

    def visit_Constant(self, node):
        if self.in_function and type(node.value) in (int, float):
            start, end = self.place(node.lineno, node.col_offset), self.place(node.end_lineno, node.end_col_offset)
            self.found.append((start, end, repr(node.value + 1)))


def mutants(module, n):
    """`n` mutants of a module, as (its path, the changed source, what was changed in words)."""
    path = ROOT / "ganvae_lib" / f"{module}.py"
    source = path.read_bytes()
    found = Sites(source.decode()).found
    chosen = random.Random(f"{SEED} {module}").sample(found, min(n, len(found)))
    for start, end, new in sorted(chosen):
        changed = source[:start] + new.encode() + source[end:]
        first, last = source.rfind(b"\n", 0, start) + 1, source.find(b"\n", end)
        longer = len(changed) - len(source)
        before, after = source[first:last].decode().strip(), changed[first : last + longer].decode().strip()
        yield path, changed, f"{module}: {before} → {after}"


def passes(path, source, tests):
    """Whether the tests pass with this source in the place of the file's, in a child of this process."""
    child = os.fork()
    if child:
        began = time.time()
        while time.time() - began < LIMIT:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    get_code = SourceFileLoader.get_code

    def mutated(self, name):
        return compile(source, self.path, "exec") if Path(self.path) == path else get_code(self, name)

    SourceFileLoader.get_code = mutated
    import pytest

    files = [str(ROOT / "tests" / f"{test}.py") for test in tests.split()]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    os._exit(int(pytest.main([*options, *files])))


def run(only=""):
    """Try all mutants; print and count them. → (killed, survived, explained)."""
    sys.path.insert(0, str(ROOT))
    import scipy.stats  # noqa: F401
    import sklearn.svm  # noqa: F401

    import ganvae_lib.quiet_keras  # noqa: F401  what is slow to load is loaded once, the library itself in each child

    for name in [name for name in sys.modules if name.split(".")[0] == "ganvae_lib"]:
        del sys.modules[name]
    killed, survived, explained = [], [], []
    for module, (n, tests) in TARGETS.items():
        if only not in module:
            continue
        path = ROOT / "ganvae_lib" / f"{module}.py"
        if not passes(path, path.read_bytes(), tests):
            sys.exit(f"{tests} fail without any change: mend them first")
        for path, source, what in mutants(module, n):
            into = killed if not passes(path, source, tests) else explained if what in EXPLAINED else survived
            into.append(what)
            if into is not killed:
                print("explained" if into is explained else "SURVIVED", what, EXPLAINED.get(what, ""), flush=True)
        print(f"{module}: {len(killed)} killed so far", flush=True)
    return killed, survived, explained


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="modules with this in their name")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    arguments = parser.parse_args()
    if arguments.list:
        for module, (n, _) in TARGETS.items():
            for _, _, what in mutants(module, n):
                print(what)
        sys.exit()
    killed, survived, explained = run(arguments.only)
    tried = len(killed) + len(survived) + len(explained)
    print(f"{tried} mutants: {len(killed)} killed, {len(survived)} survived, {len(explained)} explained")
    sys.exit(len(killed) < 0.95 * (tried - len(explained)))
