"""The kit for teachers and maintainers: settings parse and agree with the project, hygiene of notebooks, questions."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))

import check_notebooks  # noqa: E402
import hours  # noqa: E402
import questions  # noqa: E402

SETTINGS = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / ".pre-commit-config.yaml",
    *sorted((ROOT / ".devcontainer").glob("*.json")),
]
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PYTHONS = {"3.11", "3.12", "3.13"}


def read(path):
    """YAML or JSON, whatever the name says; a key given twice is an error in both."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    node = yaml.compose(text)
    nodes = [node]
    while nodes:
        one = nodes.pop()
        if isinstance(one, yaml.MappingNode):
            keys = [key.value for key, _ in one.value]
            assert len(keys) == len(set(keys)), f"{path.name} gives a key twice: {keys}"
            nodes += [value for _, value in one.value]
        elif isinstance(one, yaml.SequenceNode):
            nodes += one.value
    return yaml.safe_load(text)


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.name)
def test_settings_parse(path):
    assert isinstance(read(path), dict)


def workflows():
    return {path.stem: read(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}


def test_workflows_have_triggers_rights_limits_and_pinned_actions():
    found = workflows()
    assert set(found) == {"test", "book", "newest"}
    for name, flow in found.items():
        assert flow[True], f"{name} has no trigger"  # YAML 1.1 reads the key `on` as true
        assert flow["permissions"] == {"contents": "read"}
        for job in flow["jobs"].values():
            for step in job["steps"]:
                assert len({"uses", "run"} & set(step)) == 1
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_tests_run_on_every_python_that_the_project_supports():
    job = workflows()["test"]["jobs"]["test"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python :: 3." in line}
    assert set(job["strategy"]["matrix"]["python"]) == asked == PYTHONS
    steps = job["steps"]
    assert any(step.get("run", "").startswith("make test") for step in steps)
    assert any(step.get("with", {}).get("cache") == "pip" for step in steps)


def test_style_and_package_are_checked_on_each_change_and_the_lock_each_week():
    flows = workflows()
    asked = [step.get("run", "") for step in flows["test"]["jobs"]["lint"]["steps"]]
    assert ["actionlint" in line for line in asked].index(True) < asked.index("make lint PYTHON=python")
    assert "make package PYTHON=python" in asked
    assert any(step.get("run") == "make audit PYTHON=python" for step in flows["newest"]["jobs"]["audit"]["steps"])


def test_the_weekly_run_does_not_take_the_lock():
    steps = workflows()["newest"]["jobs"]["newest"]["steps"]
    assert not any("requirements" in str(step) or "make " in step.get("run", "") for step in steps)


def test_the_book_is_deployed_by_the_only_job_that_may():
    jobs = workflows()["book"]["jobs"]
    assert "permissions" not in jobs["build"]
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert jobs["deploy"]["needs"] == "build"


def test_make_targets_that_the_settings_call_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for path in [*SETTINGS, ROOT / ".github" / "pull_request_template.md", ROOT / "binder" / "postBuild"]:
        called = re.findall(r"(?:`|run: |&& |\()make ([a-z-]+)", path.read_text(encoding="utf-8"))
        assert set(called) <= targets, f"{path.name} calls {set(called) - targets}"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_ask_something(path):
    form = read(path)
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) >= 2
    assert all(field["attributes"].get("label") for field in form["body"])
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_there_are_three_issue_forms():
    assert {path.stem for path in FORMS} == {"formula", "colab", "idea"}


def test_hooks_take_the_versions_of_the_lock():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = dict(re.match(r"([\w-]+)==([\w.]+)", line).groups() for line in lines if re.match(r"[\w-]+==", line))
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"  # nothing is fetched but packages
    tools = {hook["id"]: hook["additional_dependencies"] for hook in repo["hooks"]}
    assert set(tools) == {"ruff-check", "ruff-format", "ruff-format-notebooks", "codespell", "notebook-outputs"}
    for hook in tools.values():
        assert [tool for tool in hook if tool != f"{tool.split('==')[0]}=={pinned[tool.split('==')[0]]}"] == []
    assert (ROOT / "book" / "check_notebooks.py").exists()


def test_binder_installs_the_lock_and_the_library_on_a_supported_python():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    (named,) = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    assert (ROOT / "binder" / named).resolve() == ROOT / "requirements.txt"
    assert (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-") in PYTHONS
    script = ROOT / "binder" / "postBuild"
    assert script.stat().st_mode & 0o111 and "--no-deps" in script.read_text()


# Notebook hygiene


def notebook(**output):
    """A notebook of one cell with one output."""
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output(**output)])]
    return nb


HOMES = ["/ho" + "me/ada/x.npz", "/Us" + "ers/ada", str(ROOT / "x"), "/t" + "mp/a"]


@pytest.mark.parametrize("folder", HOMES, ids=["home", "mac", "this", "temporary"])
def test_a_stored_folder_is_refused(folder):
    (fault,) = check_notebooks.faults(notebook(output_type="stream", name="stdout", text=f"read {folder}"))[:1]
    assert fault.startswith("the output of cell 0 names")
    data = {"text/plain": f"'{folder}'"}
    assert check_notebooks.faults(notebook(output_type="execute_result", data=data))


def test_stderr_is_refused_and_a_share_of_the_whole_is_not():
    stderr = notebook(output_type="stream", name="stderr", text="careful")
    assert check_notebooks.faults(stderr) == ["cell 0 stores stderr"]
    assert check_notebooks.faults(notebook(output_type="stream", name="stdout", text="1/2, results/vae, a/tmp/b")) == []


def test_the_hook_as_a_command(tmp_path):
    good, bad, none = tmp_path / "good.ipynb", tmp_path / "bad.ipynb", tmp_path / "none.ipynb"
    nbformat.write(notebook(output_type="stream", name="stdout", text="1"), good)
    nbformat.write(notebook(output_type="stream", name="stderr", text="1"), bad)
    none.write_text("5")

    def run(*paths):
        command = [sys.executable, str(ROOT / "book" / "check_notebooks.py"), *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run(good).returncode == 0
    done = run(good, bad, none)
    assert done.returncode == 1
    first, second, advice = done.stderr.strip().splitlines()
    assert first.endswith("bad.ipynb: cell 0 stores stderr")
    assert "none.ipynb: cannot be read as a notebook" in second and "make notebooks" in advice


# The question bank


def unescaped(text):
    """What a reader of GIFT makes of an escaped text."""
    return re.sub(r"\\([\\~=#{}:])", r"\1", text)


@pytest.mark.parametrize("path", sorted((ROOT / "chapters").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_quiz_comes_whole_into_the_bank(path):
    nb = nbformat.read(path, as_version=4)
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    assert text.count("\n## Quiz\n") == 1
    below = text.partition("\n## Quiz\n")[2]
    asked = [
        title
        for title in re.findall(r"^[`:]{3,}\{admonition\} (.+)$", below, re.M)
        if not title.startswith(("Take", "To"))
    ]
    found = questions.quiz(nb)
    assert [question for question, _ in found] == asked and len(asked) >= 2
    bank = questions.gift(nb, path.stem)
    blocks = re.findall(r"^::(.+?)::\[html\](.*?)(?<!\\)\{####(.*?)(?<!\\)\}$", bank, re.M)
    assert len(blocks) == len(asked)
    for _, question, answer in blocks:
        for part in (question, answer):
            assert not re.search(r"(?<!\\)[~=#{}:]", re.sub(r"\\\\", "", part)), part
            shown = unescaped(part)
            assert "```" not in shown and "$" not in shown and not re.search(r"\{[\w:]+\}`", shown), shown
            assert shown.count(r"\(") == shown.count(r"\)")


def test_formulas_and_marks_survive():
    assert questions.as_html(r"If $a < b_{1}$, *then* `x`") == r"If \(a &lt; b_{1}\), <em>then</em> <code>x</code>"
    assert questions.escaped(r"\neq {a}") == r"\\neq \{a\}"
    assert unescaped(questions.escaped(r"\{x\} = 1: # ~")) == r"\{x\} = 1: # ~"
    assert questions.without_roles("By {eq}`eq-x` so {cite:p}`a2000`. {eq}`y` too, {doc}`A page <p>`.") == (
        "By the chapter's equation so. The chapter's equation too, A page."
    )


# Teaching with this course


def test_the_page_s_chapters_exist():
    named = set(re.findall(r"\{doc\}`/(\S+?)`", hours.PAGE.read_text(encoding="utf-8")))
    assert len(named) > 10
    assert [name for name in named if not any((ROOT / f"{name}{kind}").exists() for kind in (".md", ".ipynb"))] == []


def test_the_table_of_hours_is_that_of_the_chapters():
    page = hours.PAGE.read_text(encoding="utf-8")
    assert hours.with_table(page) == page, "run `python book/hours.py`"


def test_the_map_is_that_of_the_chapters():
    assert hours.MAP.read_text(encoding="utf-8") == hours.picture(hours.chapters()), "run `python book/hours.py`"
    assert "/book/_static/chapters.svg" in hours.PAGE.read_text(encoding="utf-8")


def test_a_line_of_the_map_that_follows_from_others_is_left_out():
    leans = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a", "c"], "e": ["a"]}
    assert hours.needed(leans) == {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "e": ["a"]}


def test_hours_of_exercises_are_read_from_their_heads():
    text = (
        "````{exercise} A (an hour)\n:label: a\n````\n```{exercise} B\n:label: b\n(Up to an hour.) Go.\n```\n"
        "```{exercise} C\n:label: c\nGo.\n```\n```{exercise} D (half an hour)\n:label: d\n```"
    )
    assert hours.exercise_minutes(text) == (4, 60 + 60 + 10 + 30)
    assert [hours.hours(m) for m in (1, 15, 16, 60)] == ["0.25", "0.25", "0.5", "1"]
