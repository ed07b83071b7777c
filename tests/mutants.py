"""Change the library in small ways, one at a time, and see whether its tests notice: `make mutants`.

A mutant is one changed sign (+ − * /), factor or index (a number one larger) in a function of losses, models, training
or metrics, or one of `NAMED`, mistakes written by hand. It runs against the unit tests of its module alone, a mistake
of `NAMED` against one test. What no test notices is printed; `EXPLAINED` says of
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
    "models/gan": (14, "test_gan_options test_gan test_stateful"),
    "models/vae": (10, "test_vae"),
    "models/likelihood": (10, "test_evaluation test_vae"),
    "training/step_model": (6, "test_training test_vae"),
    "training/batches": (8, "test_training"),
    "metrics/frechet": (14, "test_metrics_frechet"),
    "metrics/kid": (16, "test_metrics_kid"),
    "metrics/prdc": (4, "test_metrics_prdc"),
    "metrics/neighbours": (24, "test_metrics_prdc test_metrics_memorisation"),
    "metrics/inception_score": (8, "test_metrics_inception_score"),
    "metrics/classes": (6, "test_metrics_classes"),
    "metrics/reconstruction": (18, "test_metrics_reconstruction"),
    "metrics/memorisation": (14, "test_metrics_memorisation"),
    "metrics/stats": (18, "test_metrics_stats"),
}
SIGNS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
# Mistakes that are easily made, written by hand: what, module, (old, new), the test that must notice.
NAMED = (
    ("the gradient penalty with an alpha for each pixel", "models/gan",
     ("alpha = ops.reshape(self.uniform(ops.shape(x_real)[0], 1), (-1, *[1] * (len(x_real.shape) - 1)))",
      "alpha = ops.reshape(self.uniform(ops.shape(x_real)[0], 784), ops.shape(x_real))"),
     "test_losses::test_the_gradient_penalty_looks_between_real_and_fake_with_one_alpha_an_image"),
    ("the hinge with its signs exchanged", "losses",
     ("ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))",
      "ops.relu(1.0 + real)) + ops.mean(ops.relu(1.0 - fake))"),
     "test_losses::test_hinge_at_its_corners"),
    ("batch normalisation over real and fake in one batch", "models/gan",
     ("self.discriminator_loss(critic(x_real), critic(fake), **smoothing)",
      "self.discriminator_loss(*ops.split(critic(ops.concatenate([x_real, fake])), 2), **smoothing)"),
     "test_gan_options::test_real_and_fake_images_are_normalised_apart"),
    ("the bottleneck's beta not held at 0", "models/bottleneck_gan",
     ("ops.maximum(beta + self.beta_step * (kl - self.information), 0.0)",
      "beta + self.beta_step * (kl - self.information)"),
     "test_bottleneck_gan::test_beta_is_never_negative"),
    ("T subtracted from the KL of AVB", "models/adversarial_vae",
     ("self.log_ratio(x, w, training) + log_r_over_p", "log_r_over_p - self.log_ratio(x, w, training)"),
     "test_avb::test_a_discriminator_with_the_right_features_is_the_log_ratio_and_tells_the_kl"),
    ("T trained with q and r exchanged", "models/adversarial_vae",
     ("(self.log_ratio(x, w, training=True), self.log_ratio(x, noise, training=True))",
      "(self.log_ratio(x, noise, training=True), self.log_ratio(x, w, training=True))"),
     "test_avb::test_a_discriminator_with_the_right_features_is_the_log_ratio_and_tells_the_kl"),
    ("Q's gradient kept from the generator", "models/infogan",
     ("- self.information * l_i", "- self.information * ops.stop_gradient(l_i)"),
     "test_infogan::test_the_gradient_of_l_i_reaches_the_generator"),
    ("an average of weights without their running statistics", "models/gan",
     ("a = self.average if now.path in trained else 0.0", "a = self.average if now.path in trained else 1.0"),
     "test_stateful::test_an_average_takes_running_statistics_over"),
)  # fmt: skip
EXPLAINED = (  # module, what the changed line holds, why no test can notice
    ("models/likelihood", ".reshape(len(x), 1, -2)", "to NumPy every negative size is the unknown one"),
    ("models/likelihood", "mu[images, None] - np.exp(log_var", "noise of the other sign is as likely"),
    ("metrics/neighbours", ".reshape(n, -2)", "to NumPy every negative size is the unknown one"),
    ("metrics/reconstruction", ".reshape(-2, pixels)", "to NumPy every negative size is the unknown one"),
    ("metrics/neighbours", "self._error = 9 *", "a margin above rounding, and one as good"),
    ("metrics/neighbours", "step = max(2,", "blocks of another size give the same numbers"),
    ("metrics/neighbours", "found = min(k + 9", "a margin for near ties, and one as good"),
    ("metrics/neighbours", "values[:, -2] - error", "another of the values found, which is no larger: a stricter test"),
    ("metrics/neighbours", "k - 2, axis=1)[:, :k]", "NumPy sorts so few values whole on some processors"),
    ("metrics/stats", "max(4 / self.dim, 2048)", "when rows are compressed does not change what they hold"),
    ("metrics/stats", "max(4 * self.dim, 2049)", "when rows are compressed does not change what they hold"),
    ("metrics/stats", "np.zeros((2, y.shape[1]))", "a row of zeros more adds nothing to a product"),
    ("metrics/stats", "s = 4 / len(gram)", "a shift that is too small fails, and is made larger"),
    ("training/batches", ".prefetch(3)", "how far it reads ahead does not change what it reads"),
    ("training/step_model", "(count := replicas()) == 2", "one replica draws the same both ways; test_distribute has "
     "two, in processes that read the unchanged file"),
)  # fmt: skip


def explanation(what):
    """Why no test can notice this mutant, or None."""
    module, _, lines = what.partition(": ")
    changed = lines.partition(" → ")[2]
    return next((why for of, text, why in EXPLAINED if of == module and text in changed), None)


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


def named(only=""):
    """The mutants written by hand, as (path, changed source, what in words, test)."""
    for what, module, (old, new), test in NAMED:
        path = ROOT / "ganvae_lib" / f"{module}.py"
        source = path.read_text(encoding="utf-8")
        if source.count(old) != 1:
            sys.exit(f"{module} does not hold once what 'NAMED' changes in it: {old}")
        if only in f"named {module}":
            yield path, source.replace(old, new).encode(), f"{module}: {what}", test


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

    wanted = [test.partition("::") for test in tests.split()]  # a module, or module::test
    files = [str(ROOT / "tests" / f"{module}.py") + mark + test for module, mark, test in wanted]
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
    by_hand = list(named(only))
    tests = " ".join(sorted({test for *_, test in by_hand}))
    if by_hand and not passes(by_hand[0][0], by_hand[0][0].read_bytes(), tests):
        sys.exit(f"{tests} fail without any change: mend them first")
    for path, source, what, test in by_hand:
        if passes(path, source, test):
            survived.append(what)
            print("SURVIVED", what, flush=True)
        else:
            killed.append(what)
            print("killed", what, flush=True)
    for module, (n, tests) in TARGETS.items():
        chosen = [mutant for mutant in mutants(module, n) if only in mutant[2]]
        if not chosen:
            continue
        path = ROOT / "ganvae_lib" / f"{module}.py"
        if not passes(path, path.read_bytes(), tests):
            sys.exit(f"{tests} fail without any change: mend them first")
        for path, source, what in chosen:
            why = explanation(what)
            into = killed if not passes(path, source, tests) else explained if why else survived
            into.append(what)
            if into is not killed:
                print("explained" if why else "SURVIVED", what, f"({why})" if why else "", flush=True)
        print(f"{module}: {len(killed)} killed so far", flush=True)
    return killed, survived, explained


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those with this in their line of --list; 'named' for NAMED")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    arguments = parser.parse_args()
    if arguments.list:
        for _, _, what, test in named(arguments.only):
            print(f"{what} ({test})")
        for module, (n, _) in TARGETS.items():
            for _, _, what in mutants(module, n):
                if arguments.only in what:
                    print(what)
        sys.exit()
    killed, survived, explained = run(arguments.only)
    tried = len(killed) + len(survived) + len(explained)
    if not tried:
        sys.exit(f"no line of --list holds {arguments.only!r}")
    print(f"{tried} mutants: {len(killed)} killed, {len(survived)} survived, {len(explained)} explained")
    sys.exit(len(killed) < 0.95 * (tried - len(explained)))
