"""Records and models on disk."""

import datetime
import errno
import itertools
import json
import os
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.records import Checkpoint, store


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path, record):
    made = record(repeat=1, fold=2, member=3)
    records.write(tmp_path, made)
    assert set(files(tmp_path)) == {"r1_f2_m3.json", "r1_f2_m3.npz"}
    read = records.read(tmp_path, "r1_f2_m3")
    for name, value in vars(made).items():
        if name == "preactivations":
            np.testing.assert_equal(read.preactivations, value)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(read, name), value)
            assert getattr(read, name).dtype == value.dtype
        else:
            assert getattr(read, name) == value
    assert read.final == made.final


def test_final_is_the_last_epoch_with_the_clean_gap(record):
    final = record(accuracy=0.75).final
    assert set(final) == {"accuracy", "nll", "train_accuracy", "train_nll", "gap"}
    assert final["accuracy"] == 0.75
    assert final["gap"] == pytest.approx(0.15)


def test_equal_records_are_equal_files_whenever_they_are_written(tmp_path, record, monkeypatch):
    written = []
    for name, seconds in (("one", 1.6e9), ("two", 1.7e9)):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        (tmp_path / name).mkdir()
        records.write(tmp_path / name, record())
        written.append(files(tmp_path / name))
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("json", lambda path: path.write_bytes(path.read_bytes()[:-40])),
        ("json", lambda path: path.write_bytes(b"")),
        ("json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("json", lambda path: path.write_text("[1, 2]")),
        ("json", lambda path: path.write_text("null")),
        ("json", lambda path: path.write_text('{"variant": "x"}')),
        ("npz", lambda path: path.write_bytes(path.read_bytes()[:-40])),
        ("npz", lambda path: path.write_bytes(path.read_bytes()[:40])),
        ("npz", lambda path: path.write_bytes(b"")),
        ("npz", lambda path: path.write_bytes(b"noise" * 50)),
        ("npz", lambda path: np.savez(path, image_id=[1], labels=[1])),
        ("npz", lambda path: np.savez(path, image_id=[1], labels=np.array([{}]), probabilities=1)),
        ("npz", lambda path: path.unlink()),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, record, file, damage):
    records.write(tmp_path, record())
    damage(tmp_path / f"r0_f0_m0.{file}")
    with pytest.raises(UserError, match=r"r0_f0_m0\.json: not a trial's record.*delete it"):
        records.read(tmp_path, "r0_f0_m0")
    with pytest.raises(UserError):
        records.read_all(tmp_path)


@pytest.mark.parametrize("failing", ["npz", "json"])
@pytest.mark.parametrize("before", [None, 0.5])
def test_a_writer_that_is_killed_leaves_no_record(tmp_path, record, monkeypatch, failing, before):
    """Neither half of one, nor one made of the halves of two."""
    if before is not None:
        records.write(tmp_path, record(accuracy=before, mark="old"))
    new = replace(record(), outputs=np.ones((4, 3), np.float32) / 3)
    really = store.write_bytes

    def write(path, content):
        if path.suffix == f".{failing}":
            path.with_name(f".1.{path.name}").write_bytes(content[:10])
            raise KeyboardInterrupt
        really(path, content)

    monkeypatch.setattr(store, "write_bytes", write)
    with pytest.raises(KeyboardInterrupt):
        records.write(tmp_path, new)
    if (tmp_path / "r0_f0_m0.json").exists():  # then it is the old one, whole
        old = records.read(tmp_path, "r0_f0_m0")
        assert old.fingerprint == "old"
        np.testing.assert_array_equal(old.outputs, record().outputs)
    records.prune(tmp_path, {"r0_f0_m0"})
    assert not [name for name in files(tmp_path) if name.startswith(".")]


def test_a_record_without_an_archive_s_end_is_told_as_damaged_not_as_unsafe(tmp_path, record):
    records.write(tmp_path, record())
    (tmp_path / "r0_f0_m0.npz").write_bytes(bytes(3000))
    with pytest.raises(UserError, match=r"r0_f0_m0\.npz is damaged.*delete it"):
        records.read(tmp_path, "r0_f0_m0")


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    path.write_text("before")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_bytes(path, b"after")
    assert files(tmp_path) == {"record.json": b"before"}


def test_a_damaged_network_is_told_with_what_to_do(tmp_path):
    path = tmp_path / records.MODEL
    path.write_bytes(b"PK" * 50)
    with pytest.raises(UserError, match=r"model\.keras: not a saved network.*delete it to train"):
        records.count_weights(path)


def test_read_all_is_in_the_order_of_trials(tmp_path, record):
    trials = [(1, 0, 0), (0, 10, 0), (0, 9, 1), (0, 9, 0), (0, 2, 0)]
    for repeat, fold, member in trials:
        records.write(tmp_path, record("v", repeat, fold, member))
    found = [(r.trial.repeat, r.trial.fold, r.trial.member) for r in records.read_all(tmp_path)]
    assert found == sorted(trials)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no trial records.*dvc repro"):
        records.read_all(tmp_path)


def test_prune_removes_strangers_and_nothing_else(tmp_path, record):
    for fold in range(3):
        records.write(tmp_path, record(fold=fold))
    own = {"r0_f0_m0.json", "r0_f0_m0.npz", "r0_f2_m0.json", "r0_f2_m0.npz", records.MODEL}
    for name in (records.MODEL, ".77.r0_f0_m0.npz", ".77.model.keras", "r0_f0_m0.txt", "notes"):
        (tmp_path / name).write_text("x")
    records.prune(tmp_path, {"r0_f0_m0", "r0_f2_m0", "r9_f9_m9"})
    assert set(files(tmp_path)) == own


def test_a_network_of_each_trial_is_kept_where_it_is_asked_for_and_belongs_to_its_record(
    tmp_path, record
):
    one, other = record(member=0), record(member=1)
    records.write(tmp_path, one, b"one")
    records.write(tmp_path, other, b"other")
    kept = records.network_of(tmp_path, "r0_f0_m1")
    assert kept.read_bytes() == b"other"
    records.write(tmp_path, one)  # which another network made
    assert set(files(tmp_path)) == {"r0_f0_m1.keras"} | {
        f"r0_f0_m{member}.{ending}" for member in (0, 1) for ending in ("json", "npz")
    }
    records.prune(tmp_path, ["r0_f0_m0", "r0_f0_m1"], networks=True)
    assert kept.exists()
    before = files(tmp_path)
    records.prune(tmp_path, ["r0_f0_m0", "r0_f0_m1"])
    assert before.keys() - files(tmp_path).keys() == {kept.name}
    records.write(tmp_path, other, b"other")
    records.write_diverged(tmp_path, diverged(record, member=1))
    assert not kept.exists()


def test_scores_are_a_matrix_of_repeats_and_folds_averaged_over_members(record):
    trials = itertools.product((0, 1), range(3), (0, 2))
    made = [record("v", r, f, m, accuracy=r / 2 + f / 10 + m / 100) for r, f, m in trials]
    expected = [[r / 2 + f / 10 + 0.01 for f in range(3)] for r in (0, 1)]
    for order in (made, made[::-1]):
        found = records.scores(order, "accuracy")
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    gaps = records.scores(made, "gap")
    np.testing.assert_allclose(gaps, 0.9 - np.array(expected), rtol=1e-9)


@pytest.mark.parametrize("lost", [(0, 1, 0), (1, 2, 1)])
def test_scores_name_the_trial_that_is_missing(record, lost):
    trials = [(r, f, m) for r in (0, 1) for f in range(3) for m in (0, 1)]
    made = [record("some", *trial) for trial in trials if trial != lost]
    with pytest.raises(UserError, match=f"some: repeat {lost[0]}, fold {lost[1]} has 1 of 2"):
        records.scores(made, "accuracy")


@pytest.fixture
def net(base):
    options = {"filters": [2], "convs": 1, "kernel": 3, "dense": [3]}
    small = replace(base, net="vgg", net_options=options)
    small = small.penalising("kernel", l1=0.1).inserting("conv", "BatchNormalization")
    small = small.inserting("dense", "Dropout", rate=0.5)
    return lambda: initial(small, 1, (4, 4, 1), 2).model


def test_equal_models_are_equal_files_whenever_they_are_saved(tmp_path, net, monkeypatch):
    from keras.src.saving import saving_lib

    values = [v.numpy() for v in net().variables]
    for name, year in (("one", 2020), ("two", 2024)):
        moment = datetime.datetime(year, 1, 2)

        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None, moment=moment):
                return moment

        monkeypatch.setattr(saving_lib.datetime, "datetime", Clock)
        monkeypatch.setattr(time, "time", moment.timestamp)
        model = net()  # another object, with what Keras names by itself counted on
        model.compile("adam", "mse")
        if name == "two":
            model.optimizer.build(model.trainable_variables)
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)
        model.save(tmp_path / f"{name}_as_keras_does.keras")
        records.save_model(model, tmp_path / f"{name}.keras")
    saved = files(tmp_path)
    assert saved["one.keras"] == saved["two.keras"]
    assert saved["one_as_keras_does.keras"] != saved["two_as_keras_does.keras"]
    assert len(saved) == 4  # nothing half-written is left
    weights = sum(v.numpy().size for v in net().variables if v.dtype == "float32")
    assert records.count_weights(tmp_path / "one.keras") == weights
    assert records.count_weights(tmp_path / "one.keras", tmp_path / "two.keras") == 0


def test_weights_that_did_not_learn_are_not_counted(tmp_path, net):
    before, after = net(), net()
    *body, head = after.trainable_variables
    after.set_weights(before.get_weights())
    head.assign_add(np.full(head.shape, 0.3))
    records.save_model(before, tmp_path / "before.keras")
    records.save_model(after, tmp_path / "after.keras")
    known = tmp_path / "before.keras"
    assert body and records.count_weights(tmp_path / "after.keras", known) == head.numpy().size


def test_a_saved_model_comes_back(tmp_path, net):
    model = net()
    images = np.random.default_rng(0).uniform(0, 255, (3, 4, 4, 1)).astype(np.float32)
    records.save_model(model, tmp_path / "model.keras")
    loaded = records.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images, training=False), model(images, training=False))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert getattr(loaded, "optimizer", None) is None


def test_code_hidden_in_a_model_is_refused(tmp_path):
    import keras

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(path)
    with pytest.raises(UserError, match=r"[Ll]ambda"):
        records.load_model(path)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_model_of_which_a_part_is_missing_is_damaged(tmp_path, net, share):
    path = tmp_path / "model.keras"
    records.save_model(net(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"model\.keras: is damaged"):
        records.load_model(path)


def test_a_checkpoint_comes_back_to_its_own_trial_only(tmp_path, record):
    trial, arrays = record().trial, [np.arange(3.0), np.array(7), np.zeros((2, 0))]
    history = [{"epoch": 1, "nll": 0.1 + 0.2}]
    assert Checkpoint(tmp_path, trial, "mark").load() is None
    Checkpoint(tmp_path, trial, "mark").save(arrays, history)
    saved = Checkpoint(tmp_path, trial, "mark").load()
    assert saved.history == history
    for mine, was in zip(saved.arrays, arrays, strict=True):
        np.testing.assert_array_equal(mine, was)
        assert mine.dtype == was.dtype
    assert Checkpoint(tmp_path, trial, "other").load() is None
    assert Checkpoint(tmp_path, replace(trial, fold=1), "mark").load() is None
    records.prune(tmp_path, {trial.key})
    assert len(files(tmp_path)) == 1
    Checkpoint(tmp_path, trial, "mark").remove()
    assert files(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"noise" * 9, None], ids=["empty", "noise", "cut"])
def test_a_damaged_checkpoint_is_none(tmp_path, record, content):
    checkpoint = Checkpoint(tmp_path, record().trial, "mark")
    checkpoint.save([np.arange(100)], [])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    assert checkpoint.load() is None


def test_a_record_says_what_its_docstring_says(tmp_path, record):
    records.write(tmp_path, record())
    summary = json.loads((tmp_path / "r0_f0_m0.json").read_text())
    assert summary["metrics"] == record().final
    assert {k: summary[k] for k in ("variant", "repeat", "fold", "member")} == vars(record().trial)
    with zipfile.ZipFile(tmp_path / "r0_f0_m0.npz") as arrays:
        names = {name.removesuffix(".npy") for name in arrays.namelist()}
    assert names == {"image_id", "labels", "probabilities", "preactivations/conv1"}


def told(record, member, repeat, fold, **values):
    """A record whose accuracy was `values` at epochs, as e3=0.5, and else not measured."""
    history = [
        {"epoch": e, "objective": 1.0}
        | ({"accuracy": values[f"e{e}"]} if f"e{e}" in values else {})
        for e in range(1, 1 + max(int(name[1:]) for name in values))
    ]
    return replace(record(repeat=repeat, fold=fold, member=member), history=history)


def test_a_curve_has_a_row_a_split_and_averages_members(record):
    done = [
        told(record, 0, 0, 1, e2=0.2, e4=0.4),
        told(record, 0, 0, 0, e2=0.1, e4=0.3),
        told(record, 1, 0, 0, e2=0.3, e4=0.5),
    ]
    epochs, values = records.curve([done[0], done[1]], "accuracy")
    assert epochs.tolist() == [2, 4]
    np.testing.assert_allclose(values, [[0.1, 0.3], [0.2, 0.4]])
    _, values = records.curve(done, "accuracy")
    np.testing.assert_allclose(values, [[0.2, 0.4], [0.2, 0.4]])


def test_a_trial_that_stopped_early_keeps_its_last_value(record):
    done = [
        told(record, 0, 0, 0, e2=0.1, e4=0.2, e6=0.3),
        told(record, 0, 0, 1, e2=0.4, e3=0.5),
        told(record, 0, 0, 2, e3=0.9),  # never measured before its end
    ]
    epochs, values = records.curve(done, "accuracy")
    assert epochs.tolist() == [3, 4, 6]
    np.testing.assert_allclose(values, [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]])


def test_the_cost_is_weights_times_images_times_epochs(tmp_path, record, net):
    model = net()
    records.save_model(model, tmp_path / records.MODEL)
    weights = sum(v.numpy().size for v in model.variables if v.dtype == "float32")
    made = [record(fold=fold) for fold in range(2)]  # 8 images, 2 epochs
    made[1] = replace(made[1], history=made[1].history[:1])  # stopped early
    assert records.cost(made, tmp_path, None) == weights * 8 * 1.5


def test_trials_on_fewer_images_lie_below_and_stay_where_they_are_wanted(tmp_path, record):
    assert records.of_size(tmp_path, None) == tmp_path
    for size in (5, 20):
        folder = records.of_size(tmp_path, size)
        folder.mkdir()
        records.write(folder, record())
    records.write(tmp_path, record())
    records.prune(tmp_path, ["r0_f0_m0"], sizes=[20])
    assert not records.of_size(tmp_path, 5).exists()
    assert len(records.read_all(records.of_size(tmp_path, 20))) == 1
    assert len(records.read_all(tmp_path)) == 1


def diverged(record, **trial):
    made = record(**trial)
    return records.Diverged(made.trial, "mark", "nan", "lower the rate", made.history[:1])


def test_what_diverged_is_written_in_the_place_of_a_record_and_the_reverse(tmp_path, record):
    records.write(tmp_path, record())
    one = diverged(record)
    records.write_diverged(tmp_path, one)
    assert set(files(tmp_path)) == {f"{one.trial.key}.json"} and records.diverged(tmp_path) == [one]
    with pytest.raises(UserError, match="not a trial's record"):
        records.read(tmp_path, one.trial.key)
    records.write(tmp_path, record())
    assert records.diverged(tmp_path) == [] and len(records.read_all(tmp_path)) == 1


def test_a_variant_of_which_a_trial_diverged_is_left_out(tmp_path, record):
    runs, more = tmp_path / "runs", tmp_path / "more"
    for folder in (runs / "a", runs / "b", more / "b"):
        folder.mkdir(parents=True)
    for name in "ab":
        records.write(runs / name, record(variant=name))
    records.write_diverged(more / "b", diverged(record, variant="b", repeat=1))
    assert records.without_diverged({"a": 1, "b": 2}, runs) == {"a": 1, "b": 2}
    assert records.without_diverged({"a": 1, "b": 2}, runs, more) == {"a": 1}
    with pytest.raises(UserError, match=r"all variants diverged; b: the loss was nan in epoch 2"):
        records.without_diverged({"b": 2}, runs, more)
