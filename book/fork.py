"""Set the repository's address in a fork, everywhere: `python book/fork.py https://github.com/OWNER/NAME [FOLDER]`.

The address stands in _config.yml; every other mention (the install cells, the links to Colab, the licence, the clone
commands) is replaced with it. The folder that a clone makes is named after the repository, so its name changes too.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9_.-]+)")
KINDS = {".bib", ".cff", ".css", ".ipynb", ".js", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}
SKIP = {"_build", "runs", "dist", "build", "results"}  # at the root: ganvae_lib has a folder runs, too
HIDDEN = {".ci", ".devcontainer", ".github", ".pre-commit-config.yaml"}


def text_files(root):
    """The files that a fork may have to change: text, tracked by git, neither builds nor records."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not (name in SKIP and Path(folder) == root)
            and name != "__pycache__"
            and not name.endswith(".egg-info")
            and (name[0] != "." or name in HIDDEN)
        )
        for name in sorted(names):
            if (name[0] != "." or name in HIDDEN) and Path(name).suffix in KINDS:
                yield Path(folder, name)


def present_address(root):
    """The address in _config.yml."""
    text = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(rf"^  url: ({ADDRESS.pattern})\s*$", text, re.M)
    if not found:
        sys.exit("_config.yml has no line '  url: https://github.com/OWNER/NAME' under 'repository'.")
    return found.group(1)


def renamed(text, old, new):
    """A file's text with the new address, and with the new name where the folder of a clone is meant."""
    (old_owner, old_name), (owner, name) = (ADDRESS.fullmatch(url).groups() for url in (old, new))
    end = r"(?![\w-])(?!\.\w)"
    text = re.sub(
        rf"github(\.com)?/{re.escape(f'{old_owner}/{old_name}')}(?:\.git)?{end}", rf"github\1/{owner}/{name}", text
    )
    text = re.sub(rf"(/v2/gh)/{re.escape(f'{old_owner}/{old_name}')}{end}", rf"\1/{owner}/{name}", text)
    folder = rf"(test -d |--no-deps \./|^cd |Path\(\")({re.escape(old_name)}){end}"
    return re.sub(folder, rf"\g<1>{name}", text, flags=re.M)


def fork(url, root=ROOT):
    """Set the address and return the files that changed; all are read before the first is written."""
    new = url.strip().rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(new):
        sys.exit(f"'{url}' is not of the form https://github.com/OWNER/NAME, which Colab's links need.")
    old, changes = present_address(root), {}
    for path in text_files(root):
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # not text
        if (mended := renamed(text, old, new)) != text:
            changes[path] = mended
    for path, text in changes.items():
        path.write_bytes(text.encode("utf-8"))
    return [path.relative_to(root).as_posix() for path in changes]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or not sys.argv[1]:
        sys.exit("Say which address: make fork URL=https://github.com/OWNER/NAME")
    changed = fork(sys.argv[1], Path(sys.argv[2]).resolve() if len(sys.argv) == 3 else ROOT)
    print(*changed, sep="\n", end="\n" if changed else "")
    print(
        f"{len(changed)} files changed. The text is CC BY 4.0: keep the credit to the original authors in LICENSE-text."
    )
