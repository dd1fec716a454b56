"""Trials on real worker processes: resumed, retried, pruned, and the same whoever runs them."""

import multiprocessing
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cnnlab import records
from cnnlab.data import folds, pool
from cnnlab.errors import UserError
from cnnlab.run import device
from cnnlab.run.execute import run
from cnnlab.run.job import NEVER, Job
from tests import made_up

SECTIONS = made_up.sections()
RECIPE = SECTIONS.recipe([])
DEVICE = device.kind("local", 0)


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
    return Job("v", RECIPE, pool.read(folder), made, members=1, seed=1, device=DEVICE)


def run_it(job, folder, workers=1, watcher=None):
    watcher = watcher or Watcher()
    return run(job, job.plan(), folder, watcher, os.fspath, workers=workers), watcher


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    done, watcher = run_it(job, folder)
    assert [r.trial.key for r in done] == ["r0_f0_m0", "r0_f1_m0", "r0_f2_m0"]
    assert watcher.trained == [r.trial.key for r in done]
    return folder


def test_each_dev_image_is_held_out_once(job, undisturbed):
    done, _ = run_it(job, undisturbed)
    held_out = np.concatenate([r.image_id for r in done])
    assert sorted(held_out) == sorted(job.pool.manifest["image_id"])
    for r in done:
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
    deep = replace(RECIPE, net_options={**RECIPE.net_options, "filters": [4, 4, 4, 4]})
    with pytest.raises(UserError, match=r"params\.yaml: vgg\.filters"):
        run_it(replace(job, recipe=deep), tmp_path)


def test_a_trial_planned_for_another_device_is_not_trained(job, tmp_path):
    elsewhere = replace(job, device="gpu NVIDIA H100")
    with pytest.raises(UserError, match=r"planned for 'gpu NVIDIA H100'.*CUDA_VISIBLE_DEVICES=-1"):
        run_it(elsewhere, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_an_unknown_backend_is_refused(job, tmp_path):
    with pytest.raises(UserError, match=r"'slurm' is not in .*allowed: local, ray"):
        run(job, job.plan(), tmp_path, Watcher(), os.fspath, backend="slurm")


def test_folders_of_fewer_images_stay_where_the_variant_has_such_trials(job, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "v")
    for size in (5, 9):
        records.of_size(tmp_path / "v", size).mkdir()
    run(job, job.plan(), tmp_path / "v", Watcher(), os.fspath, sizes=[5])
    assert {p.name for p in (tmp_path / "v").iterdir() if p.is_dir()} == {"5_per_class"}


def test_an_image_without_a_fold_is_named(job):
    with pytest.raises(UserError, match="image 107 has no fold"):
        replace(job, folds=job.folds[job.folds["image_id"] != 107]).plan()


def test_never_held_out(job):
    split = job.folds.assign(fold=job.folds["fold"].where(job.folds["fold"] == 0, NEVER))
    (only,) = replace(job, folds=split).plan()
    assert len(only.held_out) == 8 and len(only.train) == 16


def test_without_held_out_images_it_learns_from_all_and_claims_nothing(job, tmp_path):
    """As the stage `final` trains one."""
    whole = job.folds[["image_id"]].assign(repeat=0, fold=NEVER)
    everything = replace(job, folds=whole)
    ((planned,),) = [everything.plan()]
    assert len(planned.train) == len(job.pool.manifest) and not len(planned.held_out)
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
