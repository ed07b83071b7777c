"""Records: a strict reading of what a run wrote."""

import json

import pytest

from ganvae_lib.errors import RunError
from ganvae_lib.metrics import MetricResult
from ganvae_lib.models.variations import configuration
from ganvae_lib.runs import record
from ganvae_lib.runs.record import DataSource, Record, environment, hardware_in_words
from ganvae_lib.runs.results import Result


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


def test_a_changed_bit_anywhere_in_a_record_is_seen(tmp_path):
    """But for spaces between its fields, all that it says."""
    text, path = make().to_json().encode(), tmp_path / "record.json"
    seen = 0
    for at in range(0, len(text), 3):
        changed = bytearray(text)
        changed[at] ^= 1 << at % 7
        path.write_bytes(changed)
        try:
            assert Record.read(path) == make()
        except RunError:
            seen += 1
    assert seen > 0.8 * len(text) / 3


def test_what_a_person_changed_is_seen_and_an_older_record_without_a_checksum_is_read(tmp_path):
    def older(fields):
        del fields["crc32"], fields["files"]

    with pytest.raises(RunError, match="its checksum is not that of its fields"):
        Record.read(write(tmp_path, lambda fields: fields.update(epochs_done=31)))
    assert Record.read(write(tmp_path, older)) == make()


def test_a_file_beside_the_record_is_the_one_it_was_written_with(tmp_path):
    (tmp_path / "history.csv").write_bytes(b"epoch,loss\n1,2.5\n")
    record = make(epochs_done=1).with_files(tmp_path, "history.csv", "weights.h5")
    (tmp_path / "record.json").write_text(record.to_json())
    assert list(record.files) == ["history.csv"] and Result(tmp_path).history == {"epoch": [1], "loss": [2.5]}
    (tmp_path / "history.csv").write_bytes(b"epoch,loss\r\n1,2.5\r\n")  # as version control may
    assert Result(tmp_path).history["loss"] == [2.5]
    (tmp_path / "history.csv").write_bytes(b"epoch,loss\n1,3.5\n")
    with pytest.raises(RunError, match=r"history\.csv is not the file its record was written with"):
        Result(tmp_path).history  # noqa: B018


@pytest.mark.parametrize("text", ["", "\ufeff", "epoch,loss\n", "epoch,loss\n1\n", "epoch,loss\n1,x\n", "\0",
                                  "epoch,loss\n2,2.5\n", "loss\n2.5\n"])  # fmt: skip
def test_a_history_that_is_none_is_answered(tmp_path, text):
    (tmp_path / "record.json").write_text(make(epochs_done=1).to_json())
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(RunError, match=r"history\.csv is no history of a run"):
        Result(tmp_path).history  # noqa: B018
    (tmp_path / "history.csv").write_text("\ufeffepoch,loss\n1,2.5\n2,9\n")  # saved by a spreadsheet, and in training
    assert Result(tmp_path).history == {"epoch": [1], "loss": [2.5]}


def test_whose_weights_they_are(tmp_path):
    record = make()
    told = json.loads(json.dumps(record.identity))
    del told["configuration"]["model"]["beta"]  # written before it could be asked
    assert all(record.is_of(x) for x in (None, record.identity, told, "vae-report-seed0 0123456789abcdef"))
    for change in ({"name": "vae-report-seed1"}, {"batch_size": 64}, {"sha256": "1" * 64}, {"n_train": 10}):
        assert not record.is_of(told | change)
    told["configuration"]["model"]["beta"] = 4.0
    assert not record.is_of(told) and not record.is_of("vae-report-seed1 0123456789abcdef")
    for other in (None, "x", {"model": 3}, {"model": {"what a later version asks": 1}}):
        assert not record.is_of(record.identity | {"configuration": other})


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
