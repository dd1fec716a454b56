"""Trials on real worker processes: resumed, retried, pruned, and the same whoever runs them."""

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cnnlab import params
from cnnlab.data import folds, pool
from cnnlab.errors import UserError
from cnnlab.training import recipe as recipes
from cnnlab.training.execute import run
from cnnlab.training.job import NEVER, Job

P = params.read()
SMALL = {**recipes.base(P.model, P.train).net_options, "filters": [4], "dense": [8]}
RECIPE = replace(recipes.base(P.model, P.train), net_options=SMALL, epochs=3, batch_size=8)


class Watcher:
    def __init__(self, kill=lambda trial, entry: False):
        self.kill, self.trained, self.kept, self.retried = kill, [], [], []

    def epoch(self, trial, entry):
        if self.kill(trial, entry):
            for process in multiprocessing.active_children():
                process.kill()

    def done(self, record, trained):
        (self.trained if trained else self.kept).append(record.trial.key)

    def again(self, trial):
        self.retried.append(trial.key)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (rng.integers(0, 90, (24, 8, 8, 1)) + labels[:, None, None, None] * 90).astype(
        np.uint8
    )
    manifest = pd.DataFrame({"image_id": np.arange(100, 124), "label": labels.astype(str)})
    manifest = manifest.assign(source=manifest["image_id"].astype(str), split="dev")
    manifest = manifest.assign(group=manifest["source"], digest=[pool.digest(i) for i in images])
    pool.write(folder, images, manifest)
    made = folds.make(manifest, k=3, repeats=1, seed=1)
    return Job("v", RECIPE, pool.read(folder), made, members=1, seed=1)


def run_it(job, folder, workers=1, watcher=None):
    watcher = watcher or Watcher()
    execution = params.Execution(backend="local", workers=workers, gpus=0)
    return run(job, job.plan(), folder, execution, watcher, os.fspath), watcher


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    records, watcher = run_it(job, folder)
    assert [r.trial.key for r in records] == ["r0_f0_m0", "r0_f1_m0", "r0_f2_m0"]
    assert watcher.trained == [r.trial.key for r in records]
    return folder


def test_each_dev_image_is_judged_once(job, undisturbed):
    records, _ = run_it(job, undisturbed)
    judged = np.concatenate([r.image_id for r in records])
    assert sorted(judged) == sorted(job.pool.manifest["image_id"])
    for r in records:
        assert r.probabilities.shape == (len(r.image_id), 2)
        np.testing.assert_allclose(r.probabilities.sum(1), 1, atol=1e-5)


def test_two_workers_leave_the_same_bytes_as_one(job, undisturbed, tmp_path):
    run_it(job, tmp_path, workers=2)
    assert contents(tmp_path) == contents(undisturbed)


def test_finished_trials_are_kept_and_strangers_removed(job, undisturbed):
    before = contents(undisturbed)
    (undisturbed / "r7_f0_m0.json").write_text("{}")
    (undisturbed / ".123.model.keras").write_text("half")
    _, watcher = run_it(job, undisturbed)
    assert watcher.trained == [] and len(watcher.kept) == 3
    assert contents(undisturbed) == before


def test_a_missing_record_and_a_changed_recipe_train_only_what_they_must(
    job, undisturbed, tmp_path
):
    for path in undisturbed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "r0_f1_m0.json").unlink()
    _, watcher = run_it(job, tmp_path)
    assert watcher.trained == ["r0_f1_m0"]
    assert contents(tmp_path) == contents(undisturbed)
    _, watcher = run_it(replace(job, recipe=replace(RECIPE, epochs=2)), tmp_path, workers=2)
    assert len(watcher.trained) == 3


def test_one_more_repeat_trains_only_its_own_trials(job, undisturbed, tmp_path):
    for path in undisturbed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    more = folds.make(job.pool.manifest, k=3, repeats=2, seed=1)
    _, watcher = run_it(replace(job, folds=more), tmp_path, workers=2)
    assert sorted(watcher.trained) == ["r1_f0_m0", "r1_f1_m0", "r1_f2_m0"]


def test_the_same_recipe_under_another_name_is_trained_once(job, undisturbed, tmp_path):
    twin, own = replace(job, name="twin"), tmp_path / "twin"
    other = tmp_path / "other"
    run_it(replace(job, recipe=replace(RECIPE, epochs=1)), other)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/r0_f0_m0.json").write_text("{")
    watcher, execution = Watcher(), params.Execution(backend="local", workers=1, gpus=0)
    others = [tmp_path / "damaged", other, own, undisturbed]
    done = run(twin, twin.plan(), own, execution, watcher, os.fspath, others)
    assert watcher.trained == [] and len(watcher.kept) == 3
    assert {record.trial.variant for record in done} == {"twin"}
    for name, content in contents(undisturbed).items():
        if not name.endswith(".json"):
            assert contents(own)[name] == content
    (own / "r0_f1_m0.json").unlink()
    (tmp_path / "part").mkdir()
    for name in ("r0_f0_m0", "r0_f2_m0"):
        for end in ("json", "npz"):
            content = (undisturbed / f"{name}.{end}").read_bytes()
            (tmp_path / f"part/{name}.{end}").write_bytes(content)
    watcher = Watcher()
    run(twin, twin.plan(), own, execution, watcher, os.fspath, [tmp_path / "part"])
    assert watcher.trained == ["r0_f1_m0"]  # which the other does not have either


def test_a_worker_that_dies_costs_its_trial_only(job, undisturbed, tmp_path):
    died = []

    def kill(trial, entry):
        if trial.fold == 1 and entry["epoch"] == 1 and not died:
            died.append(trial)
            return True

    _, watcher = run_it(job, tmp_path, watcher=Watcher(kill))
    assert watcher.retried == ["r0_f1_m0"]
    assert contents(tmp_path) == contents(undisturbed)


def test_the_second_death_is_reported_and_the_others_finish(job, tmp_path):
    watcher = Watcher(lambda trial, entry: trial.fold == 1 and entry["epoch"] == 1)
    with pytest.raises(UserError, match="r0_f1_m0: its worker died 2 times"):
        run_it(replace(job, recipe=replace(RECIPE, epochs=200)), tmp_path, watcher=watcher)
    assert sorted(watcher.trained) == ["r0_f0_m0", "r0_f2_m0"]


def test_bad_input_met_by_a_worker_is_said(job, tmp_path):
    deep = replace(RECIPE, net_options={**SMALL, "filters": [4, 4, 4, 4]})
    with pytest.raises(UserError, match=r"model\.vgg\.filters"):
        run_it(replace(job, recipe=deep), tmp_path)


def test_an_image_without_a_fold_is_named(job):
    with pytest.raises(UserError, match="image 107 has no fold"):
        replace(job, folds=job.folds[job.folds["image_id"] != 107]).plan()


def test_never_judged(job):
    split = job.folds.assign(fold=job.folds["fold"].where(job.folds["fold"] == 0, NEVER))
    (only,) = replace(job, folds=split).plan()
    assert len(only.judged) == 8 and len(only.train) == 16


def test_a_net_that_no_image_judges_learns_from_all_and_claims_nothing(job, tmp_path):
    """As the stage `final` trains one; and it is the net that a judged trial on them would be."""
    whole = job.folds[["image_id"]].assign(repeat=0, fold=NEVER)
    everything = replace(job, folds=whole)
    ((planned,),) = [everything.plan()]
    assert len(planned.train) == len(job.pool.manifest) and not len(planned.judged)
    told = []

    class Listening(Watcher):
        def epoch(self, trial, entry):
            told.append(entry)

    (record,), _ = run_it(everything, tmp_path, watcher=Listening())
    for entry in [*told, *record.history, record.final]:
        assert not {"accuracy", "nll", "gap"} & set(entry)
    assert record.n_train == 24 and "train_accuracy" in record.final
    assert len(record.image_id) == len(record.labels) == len(record.probabilities) == 0
    (again,), watcher = run_it(everything, tmp_path)
    assert watcher.kept == ["r0_f0_m0"] and again.summary() == record.summary()
