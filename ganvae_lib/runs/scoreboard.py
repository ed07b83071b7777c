"""Records → the tables of the book: one row a model and variation, beside the report's numbers."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from ..metrics.result import MetricResult, figure
from ..paper import RESULTS
from .results import FOLDER, all_results

# Columns that are metrics, by the names that records give them.
SAMPLES = {
    "MNIST-classifier FD": "MNIST-classifier Fréchet distance",
    "MNIST-classifier KD": "MNIST-classifier kernel distance",
    "MNIST-classifier IS": "MNIST-classifier inception score",
    "class entropy": "MNIST-classifier class entropy",
    "pixel FD": "pixel Fréchet distance",
    "copying": "pixel data-copying score",
}
COVERAGE = {
    "precision": "MNIST-classifier precision",
    "recall": "MNIST-classifier recall",
    "density": "MNIST-classifier density",
    "coverage": "MNIST-classifier coverage",
}
RECONSTRUCTION = {
    "MSE [−1, 1]": "reconstruction MSE on [−1, 1]",
    "MAE [−1, 1]": "reconstruction MAE on [−1, 1]",
    "BCE per pixel": "reconstruction BCE",
    "KL": "KL to the prior",
    "ELBO": "ELBO",
    "log p(x) ≥": "importance-weighted bound on log p(x)",
    "active units": "active latent units",
}
METRICS = SAMPLES | COVERAGE | RECONSTRUCTION
RUNS = ("epochs", "seeds", "parameters", "arithmetic")
TIME = ("s/epoch", "on")
COLUMNS = ("run", *RUNS, *TIME, *METRICS)
TABLES = {
    "runs": RUNS,
    "time": TIME,
    "samples": tuple(SAMPLES),
    "what the samples cover": tuple(COVERAGE),
    "reconstruction": tuple(RECONSTRUCTION),
}
ABSENT = "–"


@dataclass(frozen=True)
class ReportRow:
    """One number of the report's §3.6, which of our figures stand beside it, and whether they can be compared."""

    model: str
    quantity: str
    value: float
    beside: tuple[str, ...]
    comparable: str


REPORT = (
    ReportRow("gan", "FID", RESULTS.gan_fid, ("MNIST-classifier FD", "pixel FD"),
              "no: the report names neither the network, nor the number of images, nor the reference set"),
    ReportRow("vae", "FID", RESULTS.vae_fid, ("MNIST-classifier FD", "pixel FD"),
              "no: as above"),
    ReportRow("gan", "inception score", RESULTS.gan_inception_score, ("MNIST-classifier IS",),
              "no: the report names neither the network nor the splits"),
    ReportRow("vae", "reconstruction error", RESULTS.vae_reconstruction_error, ("MSE [−1, 1]", "BCE per pixel"),
              "perhaps: the report does not define it, and several definitions come near"),
)  # fmt: skip


class Scoreboard:
    """The runs of a results folder, those that differ in their seed alone in one row."""

    def __init__(self, records):
        self.groups: dict[tuple, list] = {}
        for record in records:
            configuration = json.dumps(record.configuration, sort_keys=True)
            key = (record.model, record.variation, record.epochs_done, record.precision)
            key += (record.data.n_train, record.batch_size, record.data.sha256, configuration)
            self.groups.setdefault(key, []).append(record)

    def _name(self, key: tuple) -> str:
        """Model and variation; and where another row has the same, what tells them apart."""
        name = f"{key[0]} {key[1]}"
        others = [other for other in self.groups if other[:4] == key[:4] and other != key]
        told = (f"{key[4]:,} images", f"batches of {key[5]}", f"data {key[6][:8]}",
                f"configuration {hashlib.sha256(key[7].encode()).hexdigest()[:8]}")  # fmt: skip
        return ", ".join([name, *(t for i, t in enumerate(told, 4) if any(o[i] != key[i] for o in others))])

    @classmethod
    def read(cls, folder=FOLDER) -> "Scoreboard":
        """From every record in `folder`.

        Raises:
          RunError: the folder is missing, or a record in it is not valid.
        """
        return cls([result.record for result in all_results(Path(folder))])

    def rows(self) -> list[dict[str, str]]:
        """One dict of texts a row, in the order of COLUMNS; '–' where something was not measured."""
        rows = []
        for key, records in self.groups.items():
            model, _, epochs, precision = key[:4]
            seconds: dict[str, list[float]] = {}  # times on different machines have no common mean
            for record in records:
                if record.seconds_per_epoch is not None:
                    where = record.environment.hardware
                    if record.environment.backend != "tensorflow":
                        where += f", {record.environment.backend}"
                    seconds.setdefault(where, []).append(record.seconds_per_epoch)
            row = {
                "run": self._name(key),
                "epochs": ABSENT if model == "baseline" else str(epochs),
                "seeds": str(len({record.seed for record in records})),
                "parameters": f"{sum(records[0].parameters.values()):,}",
                "arithmetic": precision,
                "s/epoch": "; ".join(spread(times) for times in seconds.values()) or ABSENT,
                "on": "; ".join(seconds) or ABSENT,
            }
            for column, name in METRICS.items():
                row[column] = over_seeds([(r.seed, m) for r in records for m in r.metrics if m.name == name])
            rows.append(row)
        return rows

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """The same in tables that fit a page, by title: each with the runs that have anything to say in it."""
        rows = self.rows()
        parts = {
            title: [{column: row[column] for column in ("run", *columns)} for row in rows]
            for title, columns in TABLES.items()
        }
        return {
            title: told
            for title, part in parts.items()
            if (told := [row for row in part if set(list(row.values())[1:]) != {ABSENT}])
        }

    def against_report(self) -> list[dict[str, str]]:
        """The report's numbers row by row: ours beside them under every name they could go by, and 'comparable?'."""
        best, most = {}, {}  # the longest of those on the most images
        for (model, variation, epochs, _, images, *_), row in zip(self.groups, self.rows(), strict=True):
            if variation == "report" and (images, epochs) >= most.get(model, (0, 0)):
                best[model], most[model] = row, (images, epochs)
        return [
            {
                "the report": f"{line.model.upper()}: {line.quantity}",
                "its value": f"{line.value:g}",
                "ours": "; ".join(f"{name} {ours[name]}" for name in line.beside) if ours else "not in results/",
                "after": f"{ours['epochs']} epochs" if ours else ABSENT,
                "comparable?": line.comparable,
            }
            for line in REPORT
            for ours in [best.get(line.model)]
        ]

    def to_text(self) -> str:
        """All tables for a terminal."""
        return "\n\n".join(plain_table(rows) for rows in (*self.tables().values(), self.against_report()))


def over_seeds(measured: list[tuple[int, MetricResult]]) -> str:
    """`spread` over the distinct seeds of (seed, result); results of unlike definitions have no common mean."""
    kinds: dict[tuple, dict[int, list[float]]] = {}
    for seed, m in measured:
        network = m.feature_network and (m.feature_network.name, m.feature_network.sha256)
        asked = tuple((m.extra or {}).get(name) for name in ("k", "steps", "starts"))
        kind = (m.n, m.n_reference, m.reference, network, m.splits, m.unit, m.pixel_range, asked)
        kinds.setdefault(kind, {}).setdefault(seed, []).append(m.value)
    cells = {kind: spread([mean(values) for values in seeds.values()]) for kind, seeds in kinds.items()}
    if len(cells) < 2:
        return next(iter(cells.values()), ABSENT)
    same_n = len({kind[0] for kind in cells}) < len(cells)
    return "; ".join(
        f"{cell} (N = {kind[0]:,}{f' against {kind[1]} of {kind[2]}' if same_n else ''})"
        for kind, cell in cells.items()
    )


def spread(values: list[float]) -> str:
    """Mean ± standard deviation over seeds; the value alone where there is one seed; '–' where there is none."""
    if not values:
        return ABSENT
    return figure(mean(values)) + (f" ± {figure(stdev(values))}" if len(values) > 1 else "")


def plain_table(rows: list[dict[str, str]]) -> str:
    """Aligned columns under their names."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def html_table(rows: list[dict[str, str]]) -> str:
    """The same as an HTML table for a notebook page."""
    from html import escape

    head = "".join(f"<th>{escape(column)}</th>" for column in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
