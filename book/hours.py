"""Write the table of hours and dependencies into book/teaching.md, from the chapters: `python book/hours.py`.

Reading is counted at a slow pace, derivations followed with a pencil; an exercise is ten minutes unless it says more.
A chapter leans on those before it that its text links to. Order and choice of the chapters are those of _toc.yml.
"""

import re
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "teaching.md"
BEGIN, END = "<!-- hours: written by book/hours.py -->", "<!-- end of hours -->"
WORDS_A_MINUTE = 50
MINUTES = {"an hour": 60, "up to an hour": 60, "half an hour": 30}
EXERCISE = 10


def chapters():
    """The chapters' stems in the order of the contents, each with its text."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    stems = [Path(file).name for file in files if file.startswith("chapters/")]
    books = {stem: nbformat.read(ROOT / "chapters" / f"{stem}.ipynb", as_version=4) for stem in stems}
    return {
        stem: "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
        for stem, nb in books.items()
    }


def exercise_minutes(text):
    """(number of exercises, minutes for all of them)."""
    heads = re.findall(r"\{exercise\}([^\n]*\n:label: \S+\n\s*(?:\([^)]*\))?)", text)
    times = [re.search(r"\(((?:up to |half )?an hour)\.?\)", head, re.I) for head in heads]
    return len(heads), sum(MINUTES[time[1].lower()] if time else EXERCISE for time in times)


def hours(minutes):
    """Minutes as hours, to the next quarter."""
    return f"{max(1, -(-minutes // 15)) / 4:g}"


def table():
    """The table in Markdown."""
    texts = chapters()
    rows = ["| chapter | running | reading (h) | exercises (h) | leans on |", "|---|---|---|---|---|"]
    total = [0, 0]
    for place, (stem, text) in enumerate(texts.items()):
        run = re.search(r"Run time: ([^.,]+?) on (?:two )?processor", text)
        reading = int(len(text.split()) / WORDS_A_MINUTE)
        count, minutes = exercise_minutes(text)
        linked = set(re.findall(r"\{doc\}`(?:[^`<]*<)?(?:/?chapters/)?(\w+)>?`", text))
        earlier = [f"{{doc}}`/chapters/{other}`" for other in list(texts)[:place] if other in linked]
        rows.append(
            f"| {{doc}}`/chapters/{stem}` | {run[1] if run else '–'} | {hours(reading)} | {hours(minutes)} ({count}) | "
            f"{', '.join(earlier) or '–'} |"
        )
        total = [total[0] + reading, total[1] + minutes]
    return "\n".join([*rows, f"| all | | {hours(total[0])} | {hours(total[1])} | |"])


def with_table(page):
    """The page's text with the table between its marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
