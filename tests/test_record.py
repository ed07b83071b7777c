"""Records: a strict reading of what a run wrote."""

import json

import pytest

from ganvae_lib.errors import RunError
from ganvae_lib.metrics import MetricResult
from ganvae_lib.models.variations import configuration
from ganvae_lib.runs import record
from ganvae_lib.runs.record import DataSource, Record, environment, hardware_in_words


def make(**changes):
    fields = dict(
        model="vae", variation="report", configuration=configuration("vae"), loss="summed binary cross-entropy plus KL",
        parameters={"encoder": 1, "decoder": 2}, seed=0, epochs=100, epochs_done=30, batch_size=128, learning_rate=2e-4,
        precision="float32", data=DataSource(source="MNIST", n_train=60_000, n_test=10_000, sha256="0" * 64),
        environment=environment("tensorflow"), seconds_per_epoch=20.0,
        metrics=[MetricResult.of("pixel Fréchet distance", 12.5, 100, reference="MNIST test images")],
    )  # fmt: skip
    return Record(**(fields | changes))


def write(tmp_path, change):
    fields = json.loads(make().to_json())
    change(fields)
    (tmp_path / "record.json").write_text(json.dumps(fields))
    return tmp_path


def test_what_was_written_is_what_is_read(tmp_path):
    record = make()
    (tmp_path / "record.json").write_text(record.to_json())
    assert Record.read(tmp_path) == Record.read(tmp_path / "record.json") == record
    assert record.metric("pixel Fréchet distance").value == 12.5 and record.metric("other") is None


def _drop(*path):
    def change(fields):
        for key in path[:-1]:
            fields = fields[key]
        del fields[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("seed"), "seed: Field required"),
        (_drop("schema_version"), "schema_version: Field required"),
        (_drop("data", "sha256"), "data.sha256: Field required"),
        (_drop("metrics", 0, "floor"), r"metrics.0.floor: Field required"),
        (lambda f: f.update(note="?"), "note: Extra inputs are not permitted"),
        (lambda f: f["metrics"][0].update(fid=1.0), "metrics.0.fid: Extra inputs"),
        (lambda f: f.update(epochs_done=-1), "epochs_done"),
        (lambda f: f.update(model="flow"), "model"),
        (lambda f: f.update(schema_version=3), "schema_version"),
    ],
)
def test_an_unknown_or_missing_field_is_an_error(tmp_path, change, message):
    with pytest.raises(RunError, match=message) as caught:
        Record.read(write(tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "<html>", "[]", "5", "null", "[" * 100_000, '{"a":' * 100_000])
def test_a_file_that_is_no_record_is_answered(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(RunError, match=r"record\.json"):
        Record.read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("variation", "/../../x"), ("variation", "..\\x"), ("variation", ""), ("seconds_per_epoch", float("nan"))],
)
def test_a_path_for_a_name_and_no_number_for_a_time_are_refused(tmp_path, field, value):
    with pytest.raises(RunError, match=field):
        Record.read(write(tmp_path, lambda fields: fields.update({field: value})))


def test_hardware_is_in_words():
    words = environment("tensorflow").hardware
    assert "cores" in words and "/" not in words


@pytest.mark.parametrize(
    ("flags", "words"),
    [("sse2 avx2", " with AVX2"), ("avx2 avx512f avx512_bf16", " with AVX-512 and bfloat16"), ("", "")],
)
def test_the_hardware_names_its_widest_instructions(monkeypatch, flags, words):
    monkeypatch.setattr(record.Path, "read_text", lambda path: f"model name\t: Chip\nflags\t\t: {flags}\n")
    assert hardware_in_words().startswith(f"Chip{words}, ")


def test_the_hardware_counts_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1}, raising=False)
    assert ", 1 core, " in hardware_in_words()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert ", 3 cores, " in hardware_in_words()
