"""bench.epochs: a row for each checkpoint, going on with what is missing, and the record in results/."""

import json
import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from small_commands import FEW, publish, small, train

from bench import epochs
from ganvae_lib import load_mnist, runs
from ganvae_lib.errors import InUseError, RunError
from ganvae_lib.files import locked
from ganvae_lib.runs import epochs as measuring
from ganvae_lib.runs.epochs import measure_checkpoints

measure = partial(measure_checkpoints, mnist=FEW, n=20, say=lambda line: None)
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
        ({"identity": written["identity"] | {"configuration": None}}, "another run"),
        ({"epochs": {"last": {}}}, "something else"),
        ({"epochs": []}, "something else"),
    ):
        text = json.dumps(written | change)
        (tmp_path / "epochs.json").write_text(text)
        with pytest.raises(RunError, match=message):
            measure_checkpoints(tmp_path / "run", tmp_path / "epochs.json", n=200)
        assert (tmp_path / "epochs.json").read_text() == text  # what took hours stays


def test_of_two_that_measure_into_one_file_or_publish_beside_it_one_is_refused(tmp_path, monkeypatch):
    run, home = tmp_path / "run", tmp_path / "p"
    with small():
        train(run)
        publish(run, home)
        measured, refused = measuring.evaluate_samples, []

        def with_rivals(*args, **options):
            for rival in (partial(measure, run, out), *([partial(publish, run, home)] if out.parent == home else [])):
                with monkeypatch.context() as patch, pytest.raises(InUseError, match="measuring by epoch"):
                    patch.setattr(measuring, "evaluate_samples", measured)
                    rival()
                refused.append(rival)
            return measured(*args, **options)

        monkeypatch.setattr(measuring, "evaluate_samples", with_rivals)
        for out in (home / "epochs.json", run / "epochs.json"):
            with locked(run, "training") if out.parent == run else nullcontext():  # which goes on meanwhile
                measure(run, out)
            assert list(json.loads(out.read_text())["epochs"]) == ["1", "2"]
        assert len(refused) == 6
        (run / "epochs.json.0a1b2c3d.part").write_text("half")  # of one that was killed
        measure(run, run / "epochs.json")
        assert sorted(path.name for path in run.iterdir() if "epochs" in path.name) == ["epochs.json"]
        with pytest.raises(RunError, match="is not there"):
            measure(tmp_path / "none", tmp_path / "none" / "epochs.json")
        assert not (tmp_path / "none").exists()


def test_an_epoch_of_a_run_that_trains_on_meanwhile_is_not_taken_for_an_earlier_one(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with small():
        train(run)
        (run / "checkpoints" / "epoch-002.h5").unlink()
        load = measuring.load_run

        def trained_on(folder, *epoch):
            if epoch == (None,):
                train(run, epochs=3)
            return load(folder, *epoch)

        monkeypatch.setattr(measuring, "load_run", trained_on)
        measure(run, tmp_path / "epochs.json")
        assert list(json.loads((tmp_path / "epochs.json").read_text())["epochs"]) == ["1"]
        measure(run, tmp_path / "epochs.json")
        assert list(json.loads((tmp_path / "epochs.json").read_text())["epochs"]) == ["1", "2", "3"]


def test_the_record_s_entropy_and_modes_are_those_of_its_counts():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    n = record["settings"]["n"]
    for row in record["epochs"].values():
        shares = [count / n for count in row["counts"]]
        assert sum(row["counts"]) == n and row["digit modes"] == sum(p >= 0.01 for p in shares)
        assert row["class entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares if p))
