"""Write the table of hours and the map of chapters for book/teaching.md, from the chapters: `python book/hours.py`.

Reading is counted at a slow pace, derivations followed with a pencil; an exercise is ten minutes unless it says more.
A chapter leans on those before it that its text links to. Order and choice of the chapters are those of _toc.yml.
"""

import html
import re
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "teaching.md"
MAP = ROOT / "book" / "_static" / "chapters.svg"
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


def leans_on(texts):
    """For each chapter the earlier ones that its text links to, in the order of the contents."""
    found = {}
    for place, (stem, text) in enumerate(texts.items()):
        linked = set(re.findall(r"\{doc\}`(?:[^`<]*<)?(?:/?chapters/)?(\w+)>?`", text))
        found[stem] = [other for other in list(texts)[:place] if other in linked]
    return found


def table():
    """The table in Markdown."""
    texts = chapters()
    rows = ["| chapter | running | reading (h) | exercises (h) | leans on |", "|---|---|---|---|---|"]
    leans, total = leans_on(texts), [0, 0]
    for stem, text in texts.items():
        run = re.search(r"Run time: ([^.,]+?) on (?:two )?processor", text)
        reading = int(len(text.split()) / WORDS_A_MINUTE)
        count, minutes = exercise_minutes(text)
        earlier = [f"{{doc}}`/chapters/{other}`" for other in leans[stem]]
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


def needed(leans):
    """The same without what follows: a chapter that another needed one leans on itself, however many steps away."""
    below = {}
    for stem, others in leans.items():
        below[stem] = set(others).union(*(below[other] for other in others))
    return {stem: [o for o in others if not any(o in below[p] for p in others)] for stem, others in leans.items()}


def picture(texts):
    """The map as SVG: a row a chapter, a column further to the right than those of all that it leans on.

    The first chapter, which every other takes for granted, has no lines.
    """
    first, *_ = texts
    direct = needed({stem: [o for o in others if o != first] for stem, others in leans_on(texts).items()})
    titles = {stem: re.search(r"^# (.+)$", text, re.M)[1].strip() for stem, text in texts.items()}
    place, row = {}, {stem: 20 * i + 16 for i, stem in enumerate(texts)}
    for stem, others in direct.items():
        place[stem] = max((place[other] + 1 for other in others), default=0)
    x = {stem: 410 + 62 * column for stem, column in place.items()}
    width, height = max(x.values()) + 20, max(row.values()) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for stem in texts:
        lines.append(f'<path d="M 390 {row[stem]} H {x[stem]}" stroke="#ddd"/>')
    for stem, others in direct.items():
        for other in others:
            start, end, middle = x[other], x[stem], (x[other] + x[stem]) / 2
            curve = f"M {start} {row[other]} C {middle:g} {row[other]} {middle:g} {row[stem]} {end} {row[stem]}"
            lines.append(f'<path d="{curve}" fill="none" stroke="#26547c" stroke-opacity="0.55" stroke-width="1.4"/>')
    for stem, title in titles.items():
        lines.append(f'<circle cx="{x[stem]}" cy="{row[stem]}" r="4.5" fill="#26547c"/>')
        label = html.escape(f"{stem[:2]}  {title}", quote=False)
        lines.append(f'<text x="4" y="{row[stem] + 4}" fill="#222">{label}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    MAP.write_text(picture(chapters()), encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
