"""bench/: what is counted and fitted, how a contender is told to run, and what the records hold."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest

from bench import card, scaling, steps
from ganvae_lib import GAN, VAE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "speed.ipynb"


def test_a_step_of_either_model_is_what_the_records_say():
    table = {row["row"]: row for row in json.loads(steps.OUT.read_text())["table"]}
    for kind, model, work in (("GAN", GAN(), steps.gan_step_flops), ("VAE", VAE(), steps.vae_step_flops)):
        for name in (f"{kind} step, this course", f"{kind} step, PyTorch eager"):
            row = table[name]
            assert row["GFLOP"] == pytest.approx(work(model) / 1e9)
            assert row["GFLOP/s"] == pytest.approx(row["GFLOP"] / row["seconds"])
            assert min(row["arithmetic floor, seconds"], row["memory floor, seconds"], row["peak MB"]) > 0
        assert table[f"{kind} step, this course"]["ours / this"] == 1


def test_the_card_s_record_has_the_floors_it_says():
    told = json.loads(card.OUT.read_text())
    for row, (kind, variation, precision) in zip(told["table"], card.ROWS, strict=True):
        assert row["row"] == f"{kind} {variation}, {precision}"
        model = {"gan": GAN, "vae": VAE}[kind]() if variation == "report" else None
        if model:
            assert row["GFLOP"] == pytest.approx(card.operations_of(model, kind) / 1e9)
            assert row["memory floor, seconds"] == pytest.approx(
                card.BYTES * model.count_params() / told["rates"]["copy"]
            )
        rate = told["rates"]["bfloat16" if "bfloat16" in precision else "float32"]
        floors = row["arithmetic floor, seconds"], row["memory floor, seconds"]
        assert floors[0] == pytest.approx(1e9 * row["GFLOP"] / rate)
        assert row["of the larger floor"] == pytest.approx(row["seconds"] / max(floors))
        assert row["of the larger floor"] > 1


def test_the_exponent_of_a_power_law_is_its_power():
    x = np.array([10, 20, 50, 100])
    assert scaling.exponent(x, 3e-5 * x**1.7) == pytest.approx(1.7)


def test_a_curve_keeps_the_fastest_repeat(capsys):
    slow = iter([0.0] * 4 + [0.05, 0.3] * 2 + [0.3, 0.05] * 2)  # warm-up of each point, then two turns
    found = scaling.curve("a", "b", {x: lambda: scaling.time.sleep(next(slow)) for x in (1, 2, 4, 8)}, repeats=2)
    assert found["x"] == [1, 2, 4, 8] and all(0.05 <= s < 0.3 for s in found["seconds"])
    assert "exponent" in capsys.readouterr().out


def test_a_contender_runs_a_turn_when_told_to_and_tells_its_memory():
    contender = steps.Contender(steps.COPY)
    seconds = [contender.turn() for _ in range(2)]
    assert all(0.001 < s < 60 and 0 < busy < 60 for s, busy in seconds)
    assert contender.end() > 2 * 512 * 1.04  # both arrays


def test_every_row_is_in_one_group_and_each_group_is_of_one_model():
    assert sorted(row for group in steps.GROUPS for row in group) == sorted(
        row for row in steps.ROWS if row not in (steps.PRODUCT, steps.COPY)
    )
    assert all(len({row[:3] for row in group}) == 1 for group in steps.GROUPS)


def test_rows_that_cannot_run_here_are_left_out(monkeypatch):
    def one_second(rows, turns):
        return {row: np.ones((turns, 2)) for row in rows}, dict.fromkeys(rows, 1.0)

    monkeypatch.setattr(steps, "in_turns", one_second)
    assert [row["row"] for row in steps.table_of(2, [])] == list(steps.ROWS)
    rows = [row["row"] for row in steps.table_of(2, ["PyTorch", "bfloat16"])]
    assert rows == [row for row in steps.ROWS if "PyTorch" not in row and "bfloat16" not in row]


def test_the_record_of_growth_holds_each_curve_and_its_fit():
    record = json.loads(scaling.OUT.read_text())
    kinds = {curve["what"].split(" against ")[1].split(",")[0] for curve in record["curves"]}
    assert kinds == {"batch size", "images", "N", "d"}
    for curve in record["curves"]:
        assert curve["exponent"] == pytest.approx(scaling.exponent(curve["x"], curve["seconds"]))
    assert [row["bar"] for row in record["starting"]] == [0.3, 0.5, 1.0, 6.0, None]


def test_the_page_was_executed_and_stores_no_stderr():
    cells = [cell for cell in nbformat.read(PAGE, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make notebooks`"
    assert cells[0].source == (ROOT / "book" / "install_cell.txt").read_text().rstrip("\n")
    outputs = [out for cell in cells for out in cell.outputs]
    assert not any(out.get("name") == "stderr" or out.output_type == "error" for out in outputs)
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 4
