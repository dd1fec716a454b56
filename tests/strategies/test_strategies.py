"""Transfer strategies: what each makes of a recipe. (What moves: training/test_phases.py.)"""

from dataclasses import replace

import pytest

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.strategies import STRATEGIES, lengthened, notes, plan
from cnnlab.training.recipe import Phase

# The phases, as each file's docstring says; a new strategy needs a line here.
SAYS = {
    "scratch": (),
    "freeze": (Phase(7, 0.25),),
    "finetune": (Phase(7, 0.25, 1.0, "fixed"),),
    "lp_ft": (Phase(3, 0.5), Phase(7, 0.25, 1.0, "fixed")),
    "gradual": (Phase(3, 0.5), Phase(7, 0.25, 0.5, "fixed"), Phase(7, 0.25, 1.0, "fixed")),
    "discriminative": (Phase(7, 0.25, 1.0, "fixed", lowest=0.1),),
}
OPTIONS = {"epochs": 7, "learning_rate": 0.25, "batchnorm": "fixed", "lowest": 0.1, "steps": 2}
OPTIONS |= {"head_epochs": 3, "head_learning_rate": 0.5}


def options(name, **changes):
    given = {k: v for k, v in OPTIONS.items() if k in STRATEGIES[name].Options.model_fields}
    return STRATEGIES[name].Options(**given | changes)


def test_every_strategy_is_tested():
    assert sorted(SAYS) == STRATEGIES.names()


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_strategy_does_what_it_says_and_no_more(base, name):
    target = base.inserting("conv", "BatchNormalization").penalising("kernel", l2=0.1)
    made = STRATEGIES[name].apply(target, options(name))
    assert made.phases == SAYS[name]
    assert made.epochs == (sum(phase.epochs for phase in SAYS[name]) or 7)
    rest = {"epochs": made.epochs, "learning_rate": 0.25}
    assert replace(made, phases=()) == replace(target, **rest)


@pytest.mark.parametrize("name", STRATEGIES.names())
@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"learning_rate": 0}, {"epochs": True}, {"unknown": 1}]
)
def test_a_strategy_refuses_bad_options(name, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        options(name, **bad)


def test_the_committed_strategies_differ_in_their_recipes(base, committed):
    made = {plan(n, base, o, 0) for n, o in chosen(committed.strategies).items()}
    assert len(made) == len(chosen(committed.strategies))


@pytest.mark.parametrize("name", STRATEGIES.names())
@pytest.mark.parametrize("features", [None, 0, 3])
def test_features_are_stored_where_a_phase_trains_the_head_alone(base, name, features):
    made = plan(name, base, options(name), features)
    alone = any(not phase.learning for phase in made.phases)
    assert made.features == (features if alone else None)


INERT = {
    "augmentation": (lambda r: r.augmenting("shift", fraction=0.1), 0, "shift"),
    "mixing": (lambda r: r.augmenting("mixup", alpha=0.2), 3, "mixup"),
    "dropout of maps": (
        lambda r: r.inserting("block", "SpatialDropout2D", rate=0.1),
        3,
        "SpatialDropout2D",
    ),
}


@pytest.mark.parametrize("what", INERT)
def test_a_technique_that_would_do_nothing_is_refused(base, what):
    change, features, name = INERT[what]
    with pytest.raises(UserError, match=f"{name} would do nothing in strategy freeze"):
        plan("freeze", change(base), options("freeze"), features)
    assert not notes(plan("freeze", change(base), options("freeze"), None))
    assert not notes(plan("finetune", change(base), options("finetune"), features))
    (said,) = notes(plan("lp_ft", change(base), options("lp_ft"), features))
    assert name in said and "not while the head alone learns" in said


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda r: r.penalising("kernel", l2=0.1), "penalties"),
        (lambda r: replace(r, max_norm=2.0), "max_norm"),
        (lambda r: replace(r, decay=0.1), "decay"),
        (lambda r: r.inserting("conv", "BatchNormalization"), "BatchNormalization"),
    ],
)
def test_a_technique_that_does_less_on_a_frozen_backbone_is_named(base, change, part):
    (said,) = notes(plan("freeze", change(base), options("freeze"), 0))
    assert said.startswith(f"{part}: ")
    for name in ("scratch", "finetune", "lp_ft"):
        assert not notes(plan(name, change(base), options(name), 0))
    assert not notes(
        plan("freeze", base.inserting("dense", "Dropout", rate=0.5), options("freeze"), 0)
    )


def test_few_images_are_seen_in_more_epochs(base):
    made = plan("lp_ft", replace(base, batch_size=8, evaluate_every=2), options("lp_ft"), None)
    longer = lengthened(made, images=20, steps=80)  # 3 steps an epoch
    assert [phase.epochs for phase in longer.phases] == [27, 28]
    assert (longer.epochs, longer.evaluate_every) == (55, 12)
    assert lengthened(made, images=20, steps=9) == made
    scratch = plan("scratch", replace(base, batch_size=8), options("scratch"), None)
    assert lengthened(scratch, images=20, steps=80).epochs == 28
