"""`python -m bench.pages`: what opening a page costs in Chromium, its processor slowed fourfold; the live GAN's pace.

Of the built book (`make html`), at 1280 px. *Interactive* is when the last task of over 50 ms has ended that is
followed by five quiet seconds, and not before the first content is painted; the *longest task* keeps the page from
answering. Both are measured with all scripts and with none, which leaves the text, its styles and its layout. Of some
rounds the best is kept, figure by figure. Weight is that of the page, its styles, scripts and fonts, without pictures
and the explorers' models.
"""

import argparse
import json
import platform
import re
import time
from pathlib import Path

from ganvae_lib.files import write_text
from ganvae_lib.runs.record import hardware_in_words

from . import explorables

ROOT = Path(__file__).resolve().parents[1]
HTML, OUT = ROOT / "_build" / "html", ROOT / "results" / "bench_pages" / "bench.json"
PICTURES = {".png", ".svg", ".jpg"}
SLOWER, QUIET, LIMIT = 4, 5.0, 60.0  # times; seconds
WATCH = """
window.longTasks = [];
new PerformanceObserver(list => list.getEntries().forEach(e => longTasks.push([e.startTime, e.duration])))
    .observe({type: "longtask", buffered: true});
"""
TOLD = """
const painted = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null;
return [performance.now(), painted, window.longTasks];
"""
STOPS = """
return [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter(e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility()).length;
"""


def opened(chromium, page: Path, scripts: bool = True) -> dict:
    """One opening of a page, with its scripts or without: seconds until it is interactive, and its longest task."""
    chromium.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [] if scripts else ["*.js", "*.js?*"]})
    chromium.get("about:blank")
    chromium.get_log("performance")
    chromium.get(page.as_uri())
    began = time.perf_counter()
    while True:
        now, painted, tasks = chromium.execute_script(TOLD)
        end = max([painted or 0.0, *(start + duration for start, duration in tasks)])
        if painted is not None and now - end >= 1000 * QUIET:
            longest = max((duration for _, duration in tasks), default=0.0)
            return {"interactive, seconds": end / 1000, "longest task, ms": longest}
        if time.perf_counter() - began > LIMIT:
            raise SystemExit(f"{page.name} is not quiet after {LIMIT:.0f} s")
        time.sleep(0.25)


def weight(chromium, page: Path) -> int:
    """Bytes of the page just opened and of what it has loaded, without pictures and the models of explorers."""
    sent = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    files = {Path(url.split("?")[0].removeprefix("file://")) for url in urls if url.startswith("file://")}
    return sum(f.stat().st_size for f in files if f.suffix not in PICTURES and "models" not in f.parts)


def heaviest(n: int) -> list[Path]:
    """The page that greets, and the n chapters with the most formulas."""
    written = [HTML / "chapters" / f"{path.stem}.html" for path in (ROOT / "chapters").glob("*.ipynb")]
    chapters = sorted(written, key=lambda p: -p.read_text(encoding="utf-8").count('class="math'))
    return [HTML / "book" / "intro.html", *chapters[:n]]


def browser():
    """A headless Chromium, its processor slowed."""
    chromium = explorables.browser(traffic=True)
    chromium.execute_cdp_cmd("Page.enable", {})
    chromium.execute_cdp_cmd("Network.enable", {})
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    screen = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    chromium.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    return chromium


def main():
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=4, help="chapters with the most formulas")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    chromium, rows = browser(), []
    try:
        for page in heaviest(arguments.pages):
            bare = [opened(chromium, page, scripts=False) for _ in range(arguments.rounds)]
            rounds = [opened(chromium, page) for _ in range(arguments.rounds)]
            title = re.sub(r" — .*", "", chromium.title)
            row = {"page": title, "address": page.relative_to(HTML).with_suffix("").as_posix()}
            row |= {figure: min(r[figure] for r in rounds) for figure in rounds[0]}
            row["without scripts"] = {figure: min(r[figure] for r in bare) for figure in bare[0]}
            row |= {"bytes": weight(chromium, page), "focus stops": chromium.execute_script(STOPS)}
            rows.append(row)
            print(row, flush=True)
        version = chromium.capabilities["browserVersion"]
    finally:
        chromium.quit()
    record = {
        "hardware": hardware_in_words(),
        "versions": {"chromium": version, "python": platform.python_version()},
        "processor slowed": SLOWER,
        "rounds": arguments.rounds,
        "pages": rows,
        "live GAN": {"batch": 128, "steps a second": explorables.pace()},
    }
    write_text(arguments.out, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
