"""The scoreboard reads records alone and says what is not there."""

import numpy as np
import pytest
from test_record import make

from ganvae_lib.errors import RunError
from ganvae_lib.metrics import MetricResult
from ganvae_lib.paper import RESULTS
from ganvae_lib.runs.record import DataSource
from ganvae_lib.runs.results import find, seeds
from ganvae_lib.runs.scoreboard import COLUMNS, METRICS, Scoreboard, html_table, spread

DISTANCE = METRICS["pixel FD"]


def put(folder, name, **changes):
    (folder / name).mkdir()
    (folder / name / "record.json").write_text(make(**changes).to_json())


def measured(value):
    return [MetricResult.of(DISTANCE, value, 100)]


def test_seeds_share_a_row_with_mean_and_spread(tmp_path):
    put(tmp_path, "a", seed=0, metrics=measured(10.0))
    put(tmp_path, "b", seed=1, metrics=measured(14.0))
    put(tmp_path, "c", variation="mse", metrics=measured(9.0))
    rows = {row["run"]: row for row in Scoreboard.read(tmp_path).rows()}
    assert rows["vae report"]["seeds"] == "2"
    assert rows["vae report"]["pixel FD"] == "12 ± 2.828"
    assert rows["vae mse"]["pixel FD"] == "9"
    assert rows["vae mse"]["MNIST-classifier IS"] == "–"


def test_a_table_holds_the_runs_that_have_something_to_say_in_it(tmp_path):
    put(tmp_path, "a", metrics=[*measured(10.0), MetricResult.of(METRICS["recall"], 0.5, 100)])
    put(tmp_path, "b", model="baseline", variation="gaussian", epochs=0, epochs_done=0, batch_size=None,
        learning_rate=None, seconds_per_epoch=None, metrics=[MetricResult.of(METRICS["ELBO"], -90.0, 100)])  # fmt: skip
    tables = Scoreboard.read(tmp_path).tables()
    assert [row["run"] for row in tables["runs"]] == ["vae report", "baseline gaussian"]
    assert [row["epochs"] for row in tables["runs"]] == ["30", "–"]
    assert [row["run"] for row in tables["samples"]] == ["vae report"]
    assert [(row["run"], row["ELBO"]) for row in tables["reconstruction"]] == [("baseline gaussian", "-90")]
    assert sum(len(row) - 1 for row in (table[0] for table in tables.values())) == len(COLUMNS) - 1
    assert "baseline gaussian" in Scoreboard.read(tmp_path).to_text()


def test_times_on_different_machines_have_no_common_mean(tmp_path):
    environment = make().environment
    for i, (cores, seconds) in enumerate((("2 cores", 10.0), ("1 core", 13.0), ("1 core", 15.0))):
        on = environment.model_copy(update={"hardware": f"Chip, {cores}"})
        put(tmp_path, str(i), seed=i, environment=on, seconds_per_epoch=seconds)
    (row,) = Scoreboard.read(tmp_path).rows()
    assert (row["s/epoch"], row["on"]) == ("10; 14 ± 1.414", "Chip, 2 cores; Chip, 1 core")


def test_seeds_of_a_run_come_in_order_and_are_equally_long(tmp_path):
    for seed, epochs in ((10, 30), (2, 30), (0, 30), (1, 10)):
        put(tmp_path, f"vae-report-seed{seed}", seed=seed, epochs_done=epochs)
    put(tmp_path, "vae-report-wide-seed0", variation="wide")
    assert [result.record.seed for result in seeds("vae-report", tmp_path)] == [0, 2, 10]
    assert seeds("gan-report", tmp_path) == []


def test_runs_of_different_length_are_different_rows(tmp_path):
    put(tmp_path, "a", epochs_done=10)
    put(tmp_path, "b", epochs_done=20, seed=1)
    assert [row["epochs"] for row in Scoreboard.read(tmp_path).rows()] == ["10", "20"]


def test_a_run_in_another_precision_is_another_row(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b", seed=1, precision="mixed_bfloat16")
    assert [row["arithmetic"] for row in Scoreboard.read(tmp_path).rows()] == ["float32", "mixed_bfloat16"]


def of(n_train=60_000, sha256="0" * 64):
    return DataSource(source="MNIST", n_train=n_train, n_test=10_000, sha256=sha256)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": of(500)}, "vae report, 500 images"),
        ({"data": of(sha256="1" * 64)}, "vae report, data 11111111"),
        ({"batch_size": 64}, "vae report, batches of 64"),
        ({"configuration": {"model": {"beta": 2.0}}}, "vae report, configuration "),
    ],
)
def test_unlike_runs_are_different_rows_and_the_row_says_what_differs(tmp_path, change, told):
    put(tmp_path, "a", metrics=measured(10.0))
    put(tmp_path, "b", seed=1, metrics=measured(500.0), **change)
    rows = Scoreboard.read(tmp_path).rows()
    assert [row["pixel FD"] for row in rows] == ["10", "500"] and [row["seeds"] for row in rows] == ["1", "1"]
    assert rows[1]["run"].startswith(told) and rows[0]["run"] != rows[1]["run"]


def test_one_seed_measured_twice_is_one_seed(tmp_path):
    for name, seed, value in (("a", 0, 10.0), ("b", 0, 12.0), ("c", 1, 13.0)):
        put(tmp_path, name, seed=seed, metrics=measured(value))
    (row,) = Scoreboard.read(tmp_path).rows()
    assert row["seeds"] == "2" and row["pixel FD"] == spread([11.0, 13.0])


def test_metrics_of_different_n_have_no_common_mean(tmp_path):
    put(tmp_path, "a", metrics=measured(10.0))
    put(tmp_path, "b", seed=1, metrics=[MetricResult.of(DISTANCE, 200.0, 50)])
    (row,) = Scoreboard.read(tmp_path).rows()
    assert row["pixel FD"] == "10 (N = 100); 200 (N = 50)"


def test_a_run_on_few_images_does_not_stand_for_the_report_s(tmp_path):
    put(tmp_path, "a", epochs_done=10, metrics=measured(30.0))
    put(tmp_path, "b", epochs_done=90, data=of(500), metrics=measured(20.0))
    lines = {line["the report"]: line for line in Scoreboard.read(tmp_path).against_report()}
    assert "pixel FD 30" in lines["VAE: FID"]["ours"]


def test_the_report_stands_beside_the_longest_run(tmp_path):
    put(tmp_path, "a", epochs_done=10, metrics=measured(30.0))
    put(tmp_path, "b", epochs_done=20, seed=1, metrics=measured(20.0))
    lines = {line["the report"]: line for line in Scoreboard.read(tmp_path).against_report()}
    assert lines["VAE: FID"]["its value"] == str(RESULTS.vae_fid)
    assert "pixel FD 20" in lines["VAE: FID"]["ours"] and lines["VAE: FID"]["after"] == "20 epochs"
    assert lines["GAN: FID"]["ours"] == "not in results/"
    assert all(line["comparable?"].startswith(("no", "perhaps", "yes")) for line in lines.values())


def test_an_empty_folder_gives_the_report_alone(tmp_path):
    assert "not in results/" in Scoreboard.read(tmp_path).to_text()


def test_a_missing_folder_is_answered(tmp_path):
    with pytest.raises(RunError, match="is not there"):
        Scoreboard.read(tmp_path / "none")


def test_a_missing_result_is_none(tmp_path):
    assert find("nothing", tmp_path) is None


@pytest.mark.parametrize("text", ["", "epoch,loss\n1,x\n", "epoch,loss\n1\n", "epoch\n1\n\0"])
def test_a_damaged_history_is_answered(tmp_path, text):
    put(tmp_path, "a")
    (tmp_path / "a" / "history.csv").write_text(text)
    with pytest.raises(RunError, match="history.csv is no history"):
        assert find("a", tmp_path).history


def test_a_byte_order_mark_in_a_history_is_passed_over(tmp_path):
    put(tmp_path, "a", epochs_done=1)
    (tmp_path / "a" / "history.csv").write_text("epoch,loss\n1,2.5\n", encoding="utf-8-sig")
    assert find("a", tmp_path).history == {"epoch": [1.0], "loss": [2.5]}


def test_damaged_arrays_are_answered(tmp_path):
    put(tmp_path, "a")
    path = tmp_path / "a" / "samples.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 256, (9, 28, 28), "uint8"))
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        for name in ("samples", "snapshots"):
            (tmp_path / "a" / f"{name}.npz").write_bytes(whole[:cut])
            with pytest.raises(RunError, match=f"{name}.npz cannot be read"):
                getattr(find("a", tmp_path), name)
    np.savez(path, y=[1])
    with pytest.raises(RunError, match="samples.npz lacks epoch, seed, x"):
        assert find("a", tmp_path).samples is None


def test_spread():
    assert spread([]) == "–" and spread([2.0]) == "2" and spread([1.0, 3.0]) == "2 ± 1.414"


def test_html_is_escaped():
    assert "<td>a &lt; b</td>" in html_table([{"column": "a < b"}])


def test_bounds_of_other_k_and_times_of_other_backends_have_no_common_mean(tmp_path):
    for i, k in enumerate((100, 5_000)):
        bound = MetricResult.of("importance-weighted bound on log p(x)", -90.0 + 10 * i, 50, extra={"k": k})
        where = make().environment.model_copy(update={"backend": ("tensorflow", "jax")[i]})
        put(tmp_path, f"s{i}", seed=i, metrics=[bound], environment=where, seconds_per_epoch=10.0 + 20 * i)
    (row,) = Scoreboard.read(tmp_path).rows()
    assert row["s/epoch"] == "10; 30" and row["on"].endswith(", jax")
    assert any(cell.startswith("-90") and "; -80" in cell for cell in row.values())
