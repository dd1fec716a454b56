"""Trials on real worker processes: resumed, retried, pruned, and the same whoever runs them."""

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import tensorflow as tf

from cnnlab import SHARED, records
from cnnlab.data import folds, pool
from cnnlab.errors import UserError
from cnnlab.records import Trial
from cnnlab.run import device, execute, worker
from cnnlab.run.backends import Work, local
from cnnlab.run.execute import run, run_all
from cnnlab.run.job import NEVER, Job, Part, Planned
from cnnlab.train import fit
from tests import made_up

SECTIONS = made_up.sections()
RECIPE = SECTIONS.recipe([])
DEVICE = device.kind("local", 0)


@pytest.fixture(autouse=True, scope="module")
def own_nursery():
    """Workers are forks of this process's own, whose pids the tests can tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SHARED, raising=False)
        yield


@pytest.fixture(autouse=True)
def workers_of_its_own():
    """Each test begins without workers that another has left to rest."""
    local._end_all()


def workers():
    """Those of this process: forks of its nursery."""
    nurseries = [p for p in psutil.Process().children() if "cnnlab.run.nursery" in p.cmdline()]
    return [worker for nursery in nurseries for worker in nursery.children()]


class Watcher:
    def __init__(self, kill=lambda trial, entry: False):
        self.kill, self.trained, self.kept, self.retried = kill, [], [], []
        self.diverged_ = []

    def epoch(self, trial, entry):
        if self.kill(trial, entry):
            for process in workers():
                process.kill()

    def done(self, record, trained):
        (self.trained if trained else self.kept).append(record.trial.key)

    def again(self, trial):
        self.retried.append(trial.key)

    def diverged(self, diverged):
        self.diverged_.append(diverged.trial.key)


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
    return run(job, job.plan(), folder, watcher, workers=workers), watcher


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
        assert r.outputs.shape == (len(r.image_id), 2)
        np.testing.assert_allclose(r.outputs.sum(1), 1, atol=1e-5)


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


def test_a_worker_that_dies_costs_its_trial_only(job, tmp_path):
    died = []

    def kill(trial, entry):
        if trial.fold == 1 and entry["epoch"] == 1 and not died:
            died.append(trial)
            return True

    long = replace(job, recipe=replace(RECIPE, epochs=60))  # it has not ended when it is killed
    run_it(long, tmp_path / "undisturbed")
    _, watcher = run_it(long, tmp_path / "killed", watcher=Watcher(kill))
    assert watcher.retried == ["r0_f1_m0"]
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


DIED = (
    "r0_f1_m0: its worker died 2 times, perhaps as memory ran out at batches of 8 images of 8x8 "
    "pixels: fewer execution.workers, or train.batch_size: 4, or smaller images"
)


def test_the_second_death_is_reported_and_the_others_finish(job, tmp_path):
    watcher = Watcher(lambda trial, entry: trial.fold == 1 and entry["epoch"] == 1)
    with pytest.raises(UserError, match=DIED):
        run_it(replace(job, recipe=replace(RECIPE, epochs=200)), tmp_path, watcher=watcher)
    assert sorted(watcher.trained) == ["r0_f0_m0", "r0_f2_m0"]


def test_bad_input_met_by_a_worker_is_said(job, tmp_path):
    deep = replace(RECIPE, net_options={**RECIPE.net_options, "filters": [4, 4, 4, 4]})
    with pytest.raises(UserError, match=r"params\.yaml: vgg\.filters"):
        run_it(replace(job, recipe=deep), tmp_path)


def test_a_trial_planned_for_another_device_is_not_trained(job, tmp_path):
    elsewhere = replace(job, device="gpu NVIDIA H100")
    with pytest.raises(UserError, match=r"planned for 'gpu NVIDIA H100'.*`make gpu`.*device: cpu"):
        run_it(elsewhere, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_an_unknown_backend_is_refused(job, tmp_path):
    with pytest.raises(UserError, match=r"'slurm' is not in .*allowed: local, ray"):
        run(job, job.plan(), tmp_path, Watcher(), backend="slurm")


def test_folders_of_fewer_images_stay_where_the_variant_has_such_trials(job, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "v")
    for size in (5, 9):
        records.of_size(tmp_path / "v", size).mkdir()
    run(job, job.plan(), tmp_path / "v", Watcher(), sizes=[5])
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
    assert len(record.image_id) == len(record.labels) == len(record.outputs) == 0
    (again,), watcher = run_it(everything, tmp_path)
    assert watcher.kept == ["r0_f0_m0"] and again.summary() == record.summary()


# Several jobs at once.


class Several(Watcher):
    """Notes the variants too."""

    def done(self, record, trained):
        trial = record.trial
        (self.trained if trained else self.kept).append(f"{trial.variant} {trial.key}")

    def again(self, trial):
        self.retried.append(f"{trial.variant} {trial.key}")


@pytest.fixture(scope="module")
def jobs(job):
    """Two variants."""
    return [job, replace(job, name="placebo", recipe=SECTIONS.recipe(["placebo"]))]


def run_them(jobs, folder, watcher=None, **where):
    watcher = watcher or Several()
    parts = [Part(job, job.plan(), folder / job.name) for job in jobs]
    return run_all(parts, watcher, **{"workers": 1, **where}), watcher


@pytest.fixture
def started(monkeypatch):
    """The logs of worker processes that are started."""
    return note_starts(monkeypatch)


def note_starts(patch):
    logs, really = [], local._Crew._worker

    def start(crew, log, place):
        logs.append(log)
        return really(crew, log, place)

    patch.setattr(local._Crew, "_worker", start)
    return logs


@pytest.fixture(scope="module")
def both(jobs, tmp_path_factory):
    """What the two leave when one worker trains them."""
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        started = note_starts(patch)
        done, watcher = run_them(jobs, folder)
    assert len(started) == 1
    assert watcher.trained == [f"{job.name} {key}" for job in jobs for key in KEYS]  # in order
    for job in jobs:
        assert [(r.trial.variant, r.trial.key) for r in done[job.name]] == [
            (job.name, key) for key in KEYS
        ]
    return folder


KEYS = ("r0_f0_m0", "r0_f1_m0", "r0_f2_m0")


def without_model(files):
    return {name: content for name, content in files.items() if name != records.MODEL}


def test_a_worker_lives_through_all_that_its_stage_asks_for(jobs, both, tmp_path, monkeypatch):
    """Such as further rounds and sizes, unless it would begin otherwise by then."""

    def ask(job):
        _, watcher = run_them([job], tmp_path)
        assert watcher.trained == [f"{job.name} {key}" for key in KEYS]
        assert watcher.retried == []
        assert contents(tmp_path / job.name) == contents(both / job.name)
        shutil.rmtree(tmp_path / job.name)
        ((seat, one),) = local._resting.items()
        assert seat == 0
        return psutil.Process(one._pid)

    v, placebo = jobs
    first = ask(v)
    assert ask(placebo) == first and ask(v) == first
    monkeypatch.setenv("CNNLAB_CORES", "1")
    second = ask(v)
    assert second != first
    first.wait(60)
    second.kill()  # while it rests
    second.wait(60)
    third = ask(placebo)
    assert third != second
    local._end_all()
    third.wait(60)


def test_where_nothing_can_be_forked_a_worker_lives_as_long(job, undisturbed, tmp_path):
    """As on a GPU; and it ends with its stage."""
    script = """
import pickle, sys
from pathlib import Path
from cnnlab.run import nursery
from cnnlab.run.backends import local
from cnnlab.run.execute import run
from tests.run.test_execute import Watcher

def main():
    nursery.POSSIBLE = False
    job, pids = pickle.loads(Path("job").read_bytes()), set()
    for name in "ab":
        run(job, job.plan(), Path(name), Watcher(), workers=1)
        pids |= {worker._pid for worker in local._resting.values()}
    print(*pids)

if __name__ == "__main__":
    main()
"""
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    (tmp_path / "stage.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "stage.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    (pid,) = map(int, done.stdout.split())
    assert not psutil.pid_exists(pid)  # a child of the stage, which waits for it
    for name in "ab":
        assert contents(tmp_path / name) == contents(undisturbed)


def test_what_a_worker_had_before_comes_first():
    """Its networks are compiled."""
    planned = [Planned(Trial(name, 0, 0, 0), 1, "", None, None) for name in ("a", "b", "c", "a")]
    crew = local._Crew(Work({}, planned, None, None, 0))

    def chosen(last, *had):
        taken = crew._next(last, SimpleNamespace(variants=set(had)) if had else None)
        return taken and taken[0].trial.variant

    assert chosen(None, "b") == "b"  # the first worker
    assert chosen(None) == "a"  # the second
    assert chosen("b", "b", "a") == "c"  # as another has "a" now
    assert chosen("a", "a") == "a" and chosen("c", "b", "c") is None


def test_an_error_in_handing_out_trials_ends_the_stage(job, tmp_path, monkeypatch):
    def broken(crew, *given):
        raise ZeroDivisionError

    monkeypatch.setattr(local._Crew, "_next", broken)
    with pytest.raises(ZeroDivisionError):
        run_it(job, tmp_path)


def test_several_jobs_are_as_each_is_alone(jobs, undisturbed, both, tmp_path):
    assert contents(both / "v") == without_model(contents(undisturbed))
    run(jobs[1], jobs[1].plan(), tmp_path, Watcher(), workers=1)
    assert contents(both / "placebo") == without_model(contents(tmp_path)) != contents(tmp_path)


def test_several_jobs_resume_and_each_misses_its_own_trials(jobs, both, tmp_path, started):
    shutil.copytree(both, tmp_path, dirs_exist_ok=True)
    (tmp_path / "placebo/r0_f1_m0.json").unlink()
    (tmp_path / "v/r0_f2_m0.json").unlink()
    done, watcher = run_them(jobs, tmp_path)
    assert watcher.trained == ["v r0_f2_m0", "placebo r0_f1_m0"]
    assert len(watcher.kept) == 4 and len(started) == 1
    for job in jobs:
        assert contents(tmp_path / job.name) == contents(both / job.name)
        assert [r.trial.key for r in done[job.name]] == [*KEYS]
    _, watcher = run_them(jobs, tmp_path)
    assert watcher.trained == [] and len(watcher.kept) == 6  # no network is missed
    assert len(started) == 1


def test_a_worker_that_dies_costs_its_trial_of_one_job_only(jobs, both, tmp_path):
    died = []

    def kill(trial, entry):
        if (trial.variant, trial.fold, entry["epoch"]) == ("placebo", 1, 1) and not died:
            died.append(trial)
            return True

    _, watcher = run_them(jobs, tmp_path, Several(kill))
    assert watcher.retried == ["placebo r0_f1_m0"]
    for job in jobs:
        assert contents(tmp_path / job.name) == contents(both / job.name)


def test_a_job_that_fails_is_named_and_the_others_end(jobs, both, tmp_path):
    deep = replace(RECIPE, net_options={**RECIPE.net_options, "filters": [4, 4, 4, 4]})
    watcher = Several()
    with pytest.raises(UserError, match=r"3 trials failed(?s:.*)deep r0_f0_m0: params\.yaml: vgg"):
        run_them([replace(jobs[0], name="deep", recipe=deep), *jobs], tmp_path, watcher)
    assert len(watcher.trained) == 6
    assert contents(tmp_path / "v") == contents(both / "v")


def test_further_repeats_are_those_of_a_longer_study_and_none_is_removed(jobs, tmp_path):
    """As the stage `decide` asks for them: one more at a time, from the first again."""
    longer = folds.make(jobs[0].pool.manifest, k=3, repeats=3, seed=1)

    def of(repeats):
        chosen = longer[longer["repeat"].isin(repeats)]
        return [replace(job, folds=chosen) for job in jobs[:1]]

    whole = {p.trial: p.mark for p in of([0, 1, 2])[0].plan()}
    done, _ = run_them(of([1, 2]), tmp_path)
    assert [r.trial.key[:2] for r in done["v"]] == ["r1"] * 3 + ["r2"] * 3
    assert {r.trial: r.fingerprint for r in done["v"]}.items() <= whole.items()
    before = contents(tmp_path / "v")
    assert records.MODEL not in before
    for repeats, kept in (([1], 3), ([1, 2], 6)):
        _, watcher = run_them(of(repeats), tmp_path)
        assert watcher.trained == [] and len(watcher.kept) == kept
        assert contents(tmp_path / "v") == before
    assert records.scores(done["v"], "accuracy").shape == (2, 3)
    records.prune(tmp_path / "v", [r.trial.key for r in done["v"]])
    assert contents(tmp_path / "v") == before


def test_members_of_an_ensemble_of_maps_keep_their_networks_and_records_stay_the_same(
    job, tmp_path
):
    """A study that gets a second member trains again what has no network, to the same bytes."""
    images, labels = job.pool.images, job.pool.labels
    truth = ((images[..., 0] > 100) * (1 + labels[:, None, None])).astype(np.uint8)
    about = job.pool.manifest.drop(columns="digest")
    task = "segmentation", ("nothing", "0", "1")
    pool.write(tmp_path / "pool", images, about, truth=truth, task=task)
    recipe = made_up.sections().recipe([])
    recipe = replace(recipe, net_options={**recipe.net_options, "dense": []}, epochs=1)
    alone = replace(job, pool=pool.read(tmp_path / "pool"), recipe=recipe)
    split = job.folds.assign(fold=job.folds["fold"].clip(upper=1))
    alone, folder = replace(alone, folds=split), tmp_path / "v"
    run_it(alone, folder)
    single = contents(folder)
    several = replace(alone, members=2)
    done, watcher = run_it(several, folder)
    keys = [r.trial.key for r in done]
    assert watcher.trained == keys and len(keys) == 4
    after = contents(folder)
    assert {name: after[name] for name in single} == single
    assert {f"{key}.keras" for key in keys} < after.keys()
    assert after["r0_f0_m0.keras"] == after[records.MODEL] != after["r0_f0_m1.keras"]
    (folder / "r0_f1_m1.keras").unlink()
    _, watcher = run_it(several, folder)
    assert watcher.trained == ["r0_f1_m1"] and contents(folder) == after
    _, watcher = run_it(alone, folder)
    assert watcher.trained == [] and contents(folder) == single


def test_each_part_says_whether_its_network_is_kept(jobs, tmp_path):
    one, other = ([p for p in job.plan() if p.trial.fold == 0] for job in jobs)
    parts = [Part(jobs[0], one, tmp_path / "v", True), Part(jobs[1], other, tmp_path / "placebo")]
    run_all(parts, Several(), workers=1)
    assert (tmp_path / "v" / records.MODEL).exists()
    assert not (tmp_path / "placebo" / records.MODEL).exists()
    (tmp_path / "v" / records.MODEL).unlink()
    assert [len(execute._missing(part, Several())) for part in parts] == [1, 0]


def test_jobs_of_one_name_are_refused(job, tmp_path):
    parts = [Part(job, job.plan(), tmp_path / folder) for folder in ("a", "b")]
    with pytest.raises(ValueError, match="one name"):
        run_all(parts, Watcher())
    assert run_all([], Watcher()) == {}


def test_a_placebo_has_other_results_where_nothing_but_seeds_differs(both):
    pairs = zip(*(records.read_all(both / name) for name in ("v", "placebo")), strict=True)
    for plain, placebo in pairs:
        np.testing.assert_array_equal(plain.image_id, placebo.image_id)
        assert plain.n_train == placebo.n_train and len(plain.history) == len(placebo.history)
        assert plain.seed != placebo.seed and plain.fingerprint != placebo.fingerprint
        assert plain.final != placebo.final
        assert np.abs(plain.outputs - placebo.outputs).max() > 1e-3


# Trials that diverge.


@pytest.fixture(scope="module")
def steep(job):
    """A job whose steps are so long that its loss is soon no number, the penalty first."""
    recipe = replace(RECIPE.penalising("kernel", l2=1.0), optimizer="sgd", learning_rate=1e20)
    return replace(job, name="steep", recipe=recipe)


def test_a_trial_that_diverges_ends_there_is_told_and_is_not_tried_again(steep, tmp_path, started):
    done, watcher = run_it(steep, tmp_path)
    assert done == [] and watcher.trained == [] and [*watcher.diverged_] == [*KEYS]
    first = records.diverged(tmp_path)[0]
    assert first.loss in ("nan", "inf") and len(first.history) < 3
    assert "lower the learning rate (1e+20)" in first.cure and "clip_norm" in first.cure
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{key}.json" for key in KEYS]

    again, watcher = run_it(steep, tmp_path)
    assert again == [] and [*watcher.diverged_] == [*KEYS] and len(started) == 1


def test_of_smaller_images_first_both_stretches_are_trained_and_may_diverge(job, steep, tmp_path):
    parts = []
    for each in (job, steep):
        recipe = each.recipe.augmenting("progressive_resizing", share=0.5, scale=0.5)
        resized = replace(each, recipe=recipe)
        parts.append(Part(resized, resized.plan()[:1], tmp_path / each.name))
    (record,) = run_all(parts, Several(), workers=1)["v"]
    assert [entry["phase"] for entry in record.history] == [1, 1, 2]
    (left,) = records.diverged(tmp_path / "steep")
    assert "lower the learning rate (1e+20)" in left.cure


def test_what_diverged_is_trained_where_the_recipe_is_another(job, steep, tmp_path, undisturbed):
    run_it(steep, tmp_path)
    mended = replace(job, name="steep")
    done, watcher = run_it(mended, tmp_path)
    assert watcher.trained == [*KEYS] and records.diverged(tmp_path) == []
    expected, _ = run_it(job, undisturbed)
    for record, other in zip(done, expected, strict=True):
        assert np.array_equal(record.outputs, other.outputs)


def test_a_variant_that_diverges_takes_no_other_with_it(job, steep, tmp_path, both):
    done, watcher = run_them([steep, job], tmp_path)
    assert done["steep"] == [] and watcher.trained == [f"v {key}" for key in KEYS]
    assert contents(tmp_path / "v") == contents(both / "v")


# Memory that runs out.

FULL = [
    MemoryError(),
    tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory"),
    tf.errors.InternalError(
        None, None, "Failed copying input tensor: Dst tensor is not initialized"
    ),
    tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    tf.errors.InternalError(None, None, "cuDNN: CUDNN_STATUS_ALLOC_FAILED"),
    tf.errors.UnknownError(
        None, None, "failed to create cublas handle: the resource allocation failed"
    ),
    RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"),
]


class InProcess:
    """A worker in this process, so that what it calls can be replaced."""

    def __init__(self, job):
        self.job, self.variants, self.began = job, set(), None

    def train(self, planned, folder, with_network, tell, stop):
        materials = partial(worker.Material.of_all, [self.job])
        return worker.train_for(materials, planned, folder, with_network, tell)

    def rest(self): ...

    def end(self): ...


@pytest.fixture
def stubbed(job, undisturbed, monkeypatch):
    """Trains two epochs at most, the second fold's trial never: it saves a checkpoint after one
    and raises an error."""
    real = fit.fit

    def of(error, device="cpu"):
        def stub(recipe, data, seed, checkpoint, on_epoch):
            if 1 not in data.held_out:
                return real(recipe, data, seed, checkpoint=checkpoint, on_epoch=on_epoch)
            checkpoint.save([np.zeros(1)], [{"epoch": 1}])
            raise error

        monkeypatch.setattr(fit, "fit", stub)
        monkeypatch.setattr(fit, "set_up", lambda *how: None)  # of this process it is too late
        monkeypatch.setattr(worker, "_check_device", lambda device: None)
        marked = replace(job, device=device)
        monkeypatch.setattr(local._Crew, "_worker", lambda *given: InProcess(marked))
        return marked

    return of


@pytest.mark.parametrize("error", FULL, ids=range(len(FULL)))
def test_memory_that_runs_out_is_said_and_costs_no_other_trial(stubbed, tmp_path, error):
    job, watcher = stubbed(error), Watcher()
    failing = next(p.trial.key for p in job.plan() if 1 in p.held_out)
    with pytest.raises(UserError) as raised:
        run_it(job, tmp_path, watcher=watcher)
    assert str(raised.value).splitlines() == [
        "1 trials failed",
        "",
        f"v {failing}: memory ran out at batches of 8 images of 8x8 pixels: fewer "
        "execution.workers, or train.batch_size: 4, or smaller images (data.image_size) may fit",
    ]
    assert sorted([failing, *watcher.trained]) == [*KEYS]
    assert (tmp_path / f".{failing}.checkpoint").exists()


def test_on_a_gpu_other_things_may_fit(stubbed, tmp_path):
    job = stubbed(FULL[1], "gpu NVIDIA H100")
    with pytest.raises(
        UserError, match=r"v r0_f._m0: the GPU's memory ran out at batches"
    ) as raised:
        run_it(job, tmp_path)
    assert str(raised.value).endswith(
        "images of 8x8 pixels: execution.per_gpu: 1 where trials share it, or train.batch_size: 4, "
        "or train.precision: mixed_bfloat16, or smaller images (data.image_size) may fit"
    )


def test_an_error_that_is_not_of_memory_stays_what_it_is(stubbed, tmp_path):
    job = stubbed(tf.errors.InternalError(None, None, "something else"))
    with pytest.raises(UserError, match=r"Traceback(?s:.*)something else"):
        run_it(job, tmp_path)
