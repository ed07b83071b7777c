"""bench.epochs: a row for each checkpoint, going on with what is missing, and the record in results/."""

import json
import math
from pathlib import Path

import pytest

from bench import epochs
from ganvae_lib import load_mnist, runs
from ganvae_lib.errors import RunError
from ganvae_lib.runs.epochs import measure_checkpoints

RECORD = Path(__file__).parents[1] / "results" / "gan-report-seed0" / "epochs.json"


def test_each_checkpoint_is_measured_once(tmp_path, monkeypatch):
    data = load_mnist().limit(300)
    monkeypatch.setattr("ganvae_lib.runs.epochs.load_mnist", lambda: data)
    runs.train("vae", data, tmp_path / "run", variation="narrow", epochs=2, batch_size=64, progress=False)
    arguments = [str(tmp_path / "run"), str(tmp_path), "--n", "200"]
    epochs.main(arguments)
    written = json.loads((tmp_path / "epochs.json").read_text())
    assert list(written["epochs"]) == ["1", "2"] and all(sum(r["counts"]) == 200 for r in written["epochs"].values())
    first = written["epochs"].pop("1")
    written["epochs"]["2"]["precision"] = "kept"
    (tmp_path / "epochs.json").write_text(json.dumps(written))
    epochs.main(arguments)
    again = json.loads((tmp_path / "epochs.json").read_text())["epochs"]
    assert list(again) == ["1", "2"] and again["2"]["precision"] == "kept"
    assert again["1"]["counts"] == first["counts"]
    (tmp_path / "epochs.json").write_text(json.dumps(written | {"run": "vae-narrow-seed1"}))
    with pytest.raises(RunError, match="the metrics of another run, vae-narrow-seed1"):
        measure_checkpoints(tmp_path / "run", tmp_path / "epochs.json", n=200)
    for change, message in (
        ({"settings": written["settings"] | {"n": 100}}, "other settings"),
        ({"features": written["features"] | {"sha256": "0" * 64}}, "other features"),
        ({"identity": written["identity"] | {"batch_size": 7}}, "another run"),
    ):
        text = json.dumps(written | change)
        (tmp_path / "epochs.json").write_text(text)
        with pytest.raises(RunError, match=message):
            measure_checkpoints(tmp_path / "run", tmp_path / "epochs.json", n=200)
        assert (tmp_path / "epochs.json").read_text() == text  # what took hours stays


def test_the_record_s_entropy_and_modes_are_those_of_its_counts():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    n = record["settings"]["n"]
    for row in record["epochs"].values():
        shares = [count / n for count in row["counts"]]
        assert sum(row["counts"]) == n and row["digit modes"] == sum(p >= 0.01 for p in shares)
        assert row["class entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares if p))
