"""Plain notebooks from the chapters: `python book/plain.py plain | handout | answers [FOLDER]`.

`plain` writes notebooks/, which Colab, GitHub and any Jupyter show without the book; `handout` writes _build/handout,
the same without solutions, answers and self-check values; `answers` writes _build/answers, the key.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"plain": ROOT / "notebooks", "handout": ROOT / "_build" / "handout", "answers": ROOT / "_build" / "answers"}


def write(kind, folder):
    """Write what is asked into a folder, from the book's own build; a file there that has no chapter any more goes."""
    built = ROOT / "_build" / kind
    shutil.rmtree(built, ignore_errors=True)
    book = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "-n", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*book, "--builder", "custom", "--custom-builder", kind], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nThe {kind} notebooks were not written: mend what is named above.")
    folder.mkdir(parents=True, exist_ok=True)
    new = {path.name: path for path in built.glob("*.*") if path.suffix in {".ipynb", ".md"}}
    for old in folder.iterdir():
        if old.suffix in {".ipynb", ".md"} and old.name not in new:
            old.unlink()
    for name, path in new.items():
        if folder != built:
            shutil.copyfile(path, folder / name)
    return sorted(new)


if __name__ == "__main__":
    kind, *folder = sys.argv[1:] or ["plain"]
    if kind not in FOLDERS or len(folder) > 1:
        sys.exit(__doc__.splitlines()[0])
    target = Path(folder[0]).resolve() if folder else FOLDERS[kind]
    print(
        f"{len(write(kind, target))} chapters in {target.relative_to(ROOT) if target.is_relative_to(ROOT) else target}"
    )
