"""Whatever happens to a command at any operation on files, it ends, given again, as if nothing had happened to it.

A kill: a command is undisturbed here; before each operation its folder is copied, as a kill there would leave it. From
each copy whose files differ from those before, the same command is given again; of copies that differ in what is
half-written alone, from the one that holds most of that. A full disk: from each write on, every one fails half done.
A rival: before each operation the same command is given once more.
"""

import shutil
from collections import Counter
from functools import partial

import numpy as np
import pytest
from faults import before_each_operation, check_readable, contents, copied_before_each_operation, full_disk, whole_files
from small_commands import COMMANDS, WITHOUT_A_LOCK, Model, evaluate, publish, small, train

from ganvae_lib import runs
from ganvae_lib.errors import CourseError, DataError
from ganvae_lib.metrics.classifier import load_classifier
from ganvae_lib.runs import evaluation
from ganvae_lib.runs.record import Record
from ganvae_lib.runs.results import Result, read_npz


@pytest.fixture(autouse=True, scope="module")
def quick():
    with small():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A function of a command's name: → a folder with what is there before it, and what all is there after it."""
    prepared = {}

    def of(name):
        if name not in prepared:
            before = tmp_path_factory.mktemp("before")
            COMMANDS[name].prepare(before)
            after = shutil.copytree(before, before.with_name(f"{before.name}-after"))
            COMMANDS[name].run(after)
            prepared[name] = before, contents(after)
        return prepared[name]

    return of


@pytest.fixture(params=COMMANDS)
def name(request):
    return request.param


def one_line(error):
    return str(error) and "\n" not in str(error)


def attempt(command, ends, refused="refused"):
    """Give a command; count whether it was done or refused in one line."""
    try:
        command()
        ends["done"] += 1
    except CourseError as error:
        assert one_line(error)
        ends[refused] += 1


def test_killed_before_any_operation_it_ends_as_if_it_had_not_been(name, place, tmp_path):
    (before, after), command = place(name), COMMANDS[name]
    here, locks = shutil.copytree(before, tmp_path / "here"), name not in WITHOUT_A_LOCK
    with copied_before_each_operation(here, tmp_path / "states") as states:
        command.run(here)
    assert contents(here) == after and len(states) >= 2
    for state in states:
        check_readable(state)
        if (state / "run" / "record.json").exists():  # weights and record are of one epoch
            try:
                _, record = runs.load_run(state / "run")
                assert record.epochs_done in (1, 2)
            except CourseError as error:
                assert one_line(error) and name == "train"
        if name == "classifier":  # the older pair, the newer one, or an answer
            try:
                assert load_classifier(state / "classifier" / "mnist_classifier.npz")[1]["seed"] in (0, 1)
            except DataError as error:
                assert one_line(error) and "is not what its card says" in str(error)
        command.run(state)
        now = contents(state)
        # `reproduce` leaves alone what is finished, a lock's file that nobody holds beside it
        assert (now if locks and name != "reproduce" else whole_files(now)) == after


def test_on_a_full_disk_it_says_so_and_given_again_ends_as_if_it_had_not_been(name, place, tmp_path):
    (before, after), command = place(name), COMMANDS[name]
    had, ends = contents(before), Counter()
    here = shutil.copytree(before, tmp_path / "here")
    with full_disk(10**9) as asked:
        command.run(here)
    assert contents(tmp_path / "here") == after and len(asked) >= 2
    for k in range(0, len(asked), 5 if name == "reproduce" else 1):  # it trains and publishes, tried one by one
        here = shutil.copytree(before, tmp_path / str(k))
        with full_disk(k) as tried:
            try:
                command.run(here)
                ends["whole"] += 1
            except (CourseError, OSError) as error:
                ends["refused"] += 1
                assert one_line(error), error
                assert isinstance(error, OSError) or "make room" in str(error) or "Try again" in str(error), error
        assert len(tried) > k
        check_readable(here)
        now = contents(here)
        assert all(now[file] in (had[file], after[file]) for file in had)
        assert set(now) == set(whole_files(now))
        command.run(here)
        assert contents(here) == after
        shutil.rmtree(here)
    print(f"{len(asked)} writes, {dict(ends)}")
    assert ends["whole"] <= 3  # without its name in the lock's file a command goes on


def test_with_a_rival_at_any_operation_one_of_them_does_it(name, place, tmp_path):
    (before, after), command = place(name), COMMANDS[name]
    here, ends = shutil.copytree(before, tmp_path / "here"), Counter()

    def again():
        command.run(here)

    with before_each_operation(lambda *_: attempt(again, ends)):
        attempt(again, ends, "itself refused")
    print(dict(ends))
    assert contents(here) == after
    assert (ends["refused"] + ends["itself refused"] > 0) == (name not in WITHOUT_A_LOCK)


def test_three_writers_at_any_operation_keep_out_of_one_another_s_way(tmp_path):
    """Train, evaluate and publish on one run: what is there in the end is of one epoch and measured on it."""
    ends = Counter()
    tasks = {
        "train": lambda here: train(here / "run"),
        "evaluate": lambda here: evaluate(here / "run", n=20),
        "publish": lambda here: publish(here / "run", here / "p"),
    }
    for first in tasks:
        here = tmp_path / first
        train(here / "run", epochs=1)

        def others(*_, first=first, here=here):
            for other in [task for task in tasks if task != first]:
                attempt(partial(tasks[other], here), ends)

        with before_each_operation(others):
            attempt(partial(tasks[first], here), ends, "itself refused")
        check_readable(here)
        for folder in (here / "run", here / "p"):
            model, record = runs.load_run(folder)
            for metric in record.metrics:
                assert metric.name == "images" or metric.value == pytest.approx(runs.sample(model, 20).mean(), abs=1e-6)
    print(dict(ends))
    assert ends["refused"] > 50 and ends["done"] > 5


def test_a_publication_killed_before_any_operation_is_the_old_one_or_the_new_one(place, tmp_path):
    before, _ = place("publish")
    here, seen = shutil.copytree(before, tmp_path / "here"), set()
    old = Record.read(here / "p")
    with copied_before_each_operation(here, tmp_path / "states") as states:
        new = publish(here / "run", here / "p")
    assert (old.seed, new.seed) == (1, 0) and len(states) >= 3  # the old, none, the new
    for state in states:
        folder = state / "p" if (state / "p").exists() else state / ".p.old"
        model, record = runs.load_run(folder)  # its weights are the record's, or this raises
        seen.add(record.seed)
        assert record == (new, old)[record.seed]
        assert np.array_equal(read_npz(folder / "samples.npz")["x"], evaluation.to_uint8(runs.sample(model, 20)))
    assert seen == {0, 1}


def test_publishing_again_keeps_what_it_does_not_replace(monkeypatch, tmp_path):
    monkeypatch.setattr(Model, "coded", True)
    run, folder = tmp_path / "run", tmp_path / "p"
    train(run)
    publish(run, folder, n=30)
    (folder / "epochs.json").write_text("{}")
    before = contents(folder)
    record = publish(run, folder, n=20)
    assert sorted(m.n for m in record.metrics if m.feature_network) == [20, 30]  # each once
    assert len(read_npz(folder / "samples.npz")["x"]) == 30
    assert {"samples_002", "codes_002", "decoder_001"} <= set(read_npz(folder / "snapshots.npz"))
    kept = (folder / "snapshots.npz").read_bytes()
    np.savez(folder / "snapshots.npz", samples_002=np.zeros((64, 28, 28), "uint8"))
    with pytest.raises(CourseError, match=r"snapshots\.npz is not the file its record was written with"):
        Result(folder).snapshots  # noqa: B018
    (folder / "snapshots.npz").write_bytes(kept)
    shutil.rmtree(run / "checkpoints")  # they take much room
    (tmp_path / "p" / "notes").write_text("mine")
    record = publish(run, folder, n=40, seed=1, keep=("samples", "snapshots", "codes"))
    assert len(record.metrics) == 4 and record == Record.read(folder)
    after = contents(folder)
    assert {name for name in after if after[name] == before.get(name)} == {"epochs.json", "history.csv", "samples.npz"}
    kept = set(read_npz(folder / "snapshots.npz"))
    assert {"samples_002", "codes_002"} <= kept and "decoder_001" not in kept  # asked for, and not
    assert set(after) - set(before) == {"notes"} and set(before) - set(after) == {"weights.h5"}
    train(tmp_path / "other", seed=1)
    record = publish(tmp_path / "other", folder)
    assert len(record.metrics) == 2 and record.seed == 1  # nothing of the other run
    assert set(contents(folder)) == {
        "record.json",
        "history.csv",
        "samples.npz",
        "snapshots.npz",
        "weights.h5",
        "notes",
    }


@pytest.mark.parametrize("inside", ["some/record.json", "thesis.txt"])
def test_a_folder_of_something_else_is_not_published_over(tmp_path, inside):
    train(tmp_path / "run")
    path = tmp_path / "p" / inside
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(CourseError, match="something else than a published run"):
        publish(tmp_path / "run", tmp_path / "p")
    assert path.read_text() == "mine"
    with pytest.raises(CourseError, match="something else than a published run"):
        publish(tmp_path / "run", tmp_path)
