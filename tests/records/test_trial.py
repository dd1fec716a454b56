"""Trials, and the plan of a job's."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data import folds
from cnnlab.errors import UserError
from cnnlab.records import Trial
from cnnlab.run.job import NEVER, Job


def test_trials_sort_and_name_their_records():
    trials = [Trial("a", 0, 10, 0), Trial("a", 0, 9, 1), Trial("a", 0, 9, 0)]
    assert [t.key for t in sorted(trials)] == ["r0_f9_m0", "r0_f9_m1", "r0_f10_m0"]


@pytest.fixture
def job(base, small_pool):
    split = folds.make(small_pool.manifest, k=3, repeats=2, seed=1)
    return Job("a", base, small_pool, split, members=2, seed=20, device="cpu some")


def marks(job):
    return [planned.mark for planned in job.plan()]


def test_a_plan_has_every_trial_once_and_in_order(job):
    trials = [planned.trial for planned in job.plan()]
    expected = [("a", r, f, m) for r in range(2) for f in range(3) for m in range(2)]
    assert [(t.variant, t.repeat, t.fold, t.member) for t in trials] == expected


def test_a_plan_trains_on_what_it_does_not_hold_out(job):
    table = job.folds.set_index(["repeat", "image_id"])["fold"]
    for planned in job.plan():
        ids = job.pool.manifest["image_id"]
        assert sorted([*planned.train, *planned.held_out]) == list(range(len(ids)))
        held_out = table.loc[planned.trial.repeat][ids] == planned.trial.fold
        np.testing.assert_array_equal(planned.held_out, np.flatnonzero(held_out))


def test_seeds_differ_between_trials_and_variants_share_them(job):
    seeds = [planned.seed for planned in job.plan()]
    assert len(set(seeds)) == len(seeds)
    variant = replace(job, name="b", recipe=job.recipe.penalising("kernel", l1=0.1))
    assert [planned.seed for planned in variant.plan()] == seeds
    assert not set(marks(variant)) & set(marks(job))
    assert [planned.seed for planned in replace(job, seed=21).plan()] != seeds


def test_equal_recipes_have_equal_marks_whatever_the_variant_is_called(job):
    assert marks(replace(job, name="b")) == marks(job)
    assert len(set(marks(job))) == len(marks(job))


def test_one_image_elsewhere_changes_the_trials_of_that_repeat(job):
    split = job.folds.copy()
    row = split.index[split["repeat"] == 1][0]
    split.loc[row, "fold"] = (split.loc[row, "fold"] + 1) % 3
    changed = [a != b for a, b in zip(marks(job), marks(replace(job, folds=split)), strict=True)]
    # Trials know which images are theirs: the fold that kept both of its sides is as it was.
    assert not any(changed[:6])
    assert sum(changed[6:]) == 4


def test_the_weights_that_a_job_starts_from_count(job, tmp_path):
    backbone = tmp_path / "model.keras"
    backbone.write_bytes(b"some weights")
    begun = replace(job, backbone=backbone)
    before = marks(begun)
    assert not set(before) & set(marks(job))
    backbone.write_bytes(b"other weights")
    assert not set(before) & set(marks(begun))


def test_the_kind_of_device_counts(job):
    assert not set(marks(job)) & set(marks(replace(job, device="cpu other")))


def test_images_that_are_never_held_out_are_always_trained_on(job):
    split = job.folds.copy()
    split.loc[split["fold"] == 2, "fold"] = NEVER
    plan = replace(job, folds=split).plan()
    assert {planned.trial.fold for planned in plan} == {0, 1}
    for planned in plan:
        own = split[(split["repeat"] == planned.trial.repeat) & (split["fold"] == NEVER)]
        rows = np.flatnonzero(job.pool.manifest["image_id"].isin(own["image_id"]))
        assert len(rows) == 4
        assert set(rows) <= set(planned.train)


def test_fewer_images_a_class_are_part_of_more(job):
    job = replace(job, folds=folds.make(job.pool.manifest, k=4, repeats=2, seed=1))
    most = min(np.bincount(job.pool.labels[p.train]).min() for p in job.plan())
    plans = [replace(job, per_class=n).plan() for n in range(1, most)]
    assert most == 3
    for trials in zip(*plans, job.plan(), strict=True):
        *few, everything = trials
        sizes = [set(p.train) for p in few]
        for n, (rows, planned) in enumerate(zip(sizes, few, strict=True), 1):
            assert set(np.bincount(job.pool.labels[planned.train])) == {n}
            assert np.array_equal(planned.held_out, everything.held_out)
            assert rows <= set(everything.train)
        assert all(small < large for small, large in itertools.pairwise(sizes))
        assert len({p.mark for p in few}) == len(few)
    with pytest.raises(UserError, match=r"per_class = 3: that is all"):
        replace(job, per_class=most).plan()
    with pytest.raises(UserError, match=r"per_class = 99: at most \d of class '.*' are left"):
        replace(job, per_class=99).plan()
