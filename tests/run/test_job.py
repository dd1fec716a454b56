"""What a job plans: which trials, on which images, from which seeds."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.data import folds
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.run.job import Job, trial_seed
from cnnlab.seeds import derive
from tests import made_up

SECTIONS = made_up.sections()


@pytest.fixture
def job(small_pool, tmp_path):
    backbone = tmp_path / "backbone.keras"
    backbone.write_bytes(b"weights")  # they are not looked into
    split = folds.make(small_pool.manifest, k=2, repeats=2, seed=1)
    return Job("v", SECTIONS.recipe([]), small_pool, split, 2, 7, "cpu", backbone)


def of(job, *names):
    return replace(job, name="_".join(names), recipe=SECTIONS.recipe(names)).plan()


def test_a_trial_s_seed_is_that_of_its_split_and_member(job):
    plan = job.plan()
    assert len({p.seed for p in plan}) == len(plan) == 2 * 2 * 2
    for p in plan:
        t = p.trial
        assert p.seed == derive(7, "trial", t.repeat, t.fold, t.member) == trial_seed(7, t, 0)
    assert plan[0].seed == 363904385  # streams changed none


@pytest.mark.parametrize("start", [None, *starts()])
def test_a_placebo_has_other_seeds_and_is_all_the_same_besides(job, start):
    names = [start] if start else []
    plain, placebo = of(job, *names), of(job, *names, "placebo")
    assert not {p.seed for p in plain} & {p.seed for p in placebo}
    assert not {p.mark for p in plain} & {p.mark for p in placebo}
    for one, other in zip(plain, placebo, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.held_out, other.held_out)


def test_a_placebo_has_the_same_few_images(job):
    plain, placebo = (of(replace(job, per_class=1), *names) for names in ([], ["placebo"]))
    for one, other in zip(plain, placebo, strict=True):
        assert len(one.train) == 3
        np.testing.assert_array_equal(one.train, other.train)


def test_networks_are_kept_where_only_they_tell_what_an_ensemble_says(job):
    masks = replace(job, pool=replace(job.pool, task="segmentation"))
    assert masks.keeps_networks and not job.keeps_networks
    assert not replace(masks, members=1).keeps_networks
    assert not replace(masks, per_class=2).keeps_networks


def test_no_technique_but_a_placebo_has_other_seeds(job):
    seeds = [p.seed for p in job.plan()]
    for name in TECHNIQUES.names():
        recipe = TECHNIQUES[name].apply(job.recipe, getattr(SECTIONS.techniques, name))
        same = [p.seed for p in replace(job, recipe=recipe).plan()] == seeds
        assert same == (name != "placebo"), name
