"""Recipes: what techniques make of them, and when two are one."""

import itertools
import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import TECHNIQUES, starts
from tests import made_up

PLACES = ["conv", "block", "branch", "dense"]
TARGETS = ["kernel", "bias", "activity"]
SECTIONS = made_up.FROZEN.sections
NAMES = [name for name in chosen(SECTIONS.techniques) if name not in starts()]


def test_a_recipe_is_the_params(frozen, base):
    assert {base.net: base.net_options} == frozen.model.model_dump(exclude_none=True)
    for field, value in frozen.train:
        if field not in ("members", "techniques"):  # how many networks; what techniques do
            assert getattr(base, field) == value
    assert base.inserts == base.penalties == base.ops == base.techniques == base.phases == ()


def test_the_order_of_techniques_does_not_matter():
    orders = itertools.islice(itertools.permutations([*NAMES, "finetune"]), 0, None, 97)
    without = using(norm="learning")
    made = {without.recipe(order) for order in orders}
    assert len(made) == 1
    assert {*NAMES, "finetune"} <= set(made.pop().techniques)


def using(norm):
    """The params' sections with fine-tuning at `batchnorm: norm`."""
    return made_up.using(
        SECTIONS, finetune=SECTIONS.techniques.finetune.model_dump() | {"batchnorm": norm}
    )


def test_each_technique_makes_another_recipe():
    made = [SECTIONS.recipe(on) for on in ([], *zip(chosen(SECTIONS.techniques)))]
    assert len(set(made)) == len({r.json() for r in made}) == len(chosen(SECTIONS.techniques)) + 1


def test_every_variant_has_the_techniques_of_all_beside_its_own():
    own, *everywhere = NAMES
    train = SECTIONS.train.model_copy(update={"techniques": everywhere})
    sections = replace(SECTIONS, train=train)
    assert sections.recipe([own]) == SECTIONS.recipe(NAMES)
    assert sections.recipe([]) == sections.everywhere() == SECTIONS.recipe(everywhere)
    assert set(everywhere) <= set(sections.pretraining().techniques)


def test_a_technique_named_twice_is_applied_once():
    assert SECTIONS.recipe(NAMES[:1]) == SECTIONS.recipe(NAMES[:1] * 2)


def test_a_recipe_says_whose_code_takes_part():
    for name, hyperparameters in chosen(SECTIONS.techniques).items():
        policy = chosen(hyperparameters) if name == "augment" else {}
        made = SECTIONS.recipe([name])
        assert set(made.techniques) == {name, *policy}
        assert {op for op, _ in made.ops} <= set(made.techniques)


@pytest.mark.parametrize("name", ["nope", "conv"])
def test_a_technique_without_hyperparameters_is_refused(name):
    with pytest.raises(UserError) as error:
        SECTIONS.recipe([name])
    assert repr(name) in str(error.value)
    assert ", ".join(sorted(chosen(SECTIONS.techniques))) in str(error.value)


def test_equal_recipes_are_one_and_others_are_not(base):
    same = replace(base, net_options=dict(reversed(base.net_options.items())))
    assert same == base
    assert (hash(same), same.json()) == (hash(base), base.json())
    variations = [
        replace(base, epochs=base.epochs + 1),
        replace(base, learning_rate=base.learning_rate * (1 + 1e-15)),
        replace(base, net_options={**base.net_options, "kernel": 1}),
        replace(base, phases=(Phase(1, 0.1),)),
        *(base.inserting(place, "Dropout", rate=0.5) for place in PLACES),
        base.inserting("dense", "Dropout", rate=0.4),
        *(base.penalising(target, l1=0.1) for target in TARGETS),
        base.penalising("kernel", l2=0.1),
        base.augmenting("shift", fraction=0.1),
        base.augmenting("shift", fraction=0.2),
    ]
    assert len({base, *variations}) == len(variations) + 1
    assert len({r.json() for r in (base, *variations)}) == len(variations) + 1


def test_the_text_is_canonical_json_of_the_fields_that_are_not_at_their_defaults(base):
    for made in (base, replace(base, ema=0.9), base.inserting("conv", "Dropout", rate=0.5)):
        text = made.json()
        content = json.loads(text)
        assert list(content) == sorted(content)
        defaults = {f.name: f.default for f in fields(made)}
        assert set(content) == {k for k, v in vars(made).items() if v != defaults[k]}
        assert json.dumps(content, sort_keys=True) == text
    assert "net" in content and "ema" not in content


def test_two_techniques_that_set_one_thing_are_refused():
    sections = made_up.sections()
    with pytest.raises(UserError, match=r"technique snapshot: schedule is set already.*cosine"):
        sections.recipe(["snapshot", "cosine"])


@pytest.mark.parametrize("names", [["early_stopping", "snapshot"], ["snapshot", "early_stopping"]])
def test_early_stopping_and_snapshot_are_refused_wherever_they_meet(names):
    one, other = names
    for made in (
        lambda: made_up.sections().recipe(names),
        lambda: made_up.sections(techniques=[one]).recipe([other]),
        lambda: made_up.sections(backbone={"techniques": names}).pretraining(),
    ):
        with pytest.raises(UserError, match="early_stopping and snapshot: a variant has one"):
            made()


@pytest.mark.parametrize(
    ("names", "epochs", "said"),
    [
        (["snapshot"], 3, "there are 3$"),
        (["snapshot"], 1, "there is 1$"),
        (["snapshot", "lp_ft"], 4, "there are 3 in the shortest of the 2 parts of training"),
        (["snapshot", "finetune"], 4, "there are 3$"),
        (["snapshot", "progressive_resizing"], 7, "there are 3 in the shortest of the 2 parts"),
    ],
)
def test_each_cycle_of_a_snapshot_has_an_epoch(names, epochs, said):
    def made(epochs, phase):
        given = made_up.sections(epochs=epochs)
        phases = {"head_epochs": phase, "epochs": 5}
        if "finetune" in names:
            phases = {"epochs": phase}
        given = replace(given, techniques=made_up.techniques(**phases, share=0.5))
        return made_up.using(given, snapshot={"members": 4}).recipe(names)

    with pytest.raises(UserError, match=f"snapshot: its 4 cycles need 4 epochs or more.*{said}"):
        made(epochs, 3)
    assert made(8, 4).schedule.cycles == 4


def test_a_placebo_differs_in_its_stream_of_seeds_alone():
    for others in ([], ["dropout", "l2"], ["finetune"]):
        plain = made_up.sections().recipe(others)
        made = made_up.sections().recipe([*others, "placebo"])
        assert "stream" not in json.loads(plain.json())
        assert json.loads(made.json())["stream"] == 1
        assert replace(made, stream=0).plain == plain.plain != made.plain


def test_penalties_on_one_target_add_up(base):
    made = base.penalising("kernel", l1=0.1).penalising("kernel", l1=0.2, l2=0.5)
    assert made.penalty("kernel") == pytest.approx((0.3, 0.5))
    assert made.penalty("bias") == (0, 0)
    assert base.penalising("kernel") == base  # nothing is no penalty


def test_a_recipe_keeps_what_it_was_made_from(base):
    before = base.json()
    base.inserting("conv", "Dropout", rate=0.5).penalising("bias", l2=1).augmenting("flip")
    base.phased(Phase(3, 0.1)).lengthened(8, 10_000)
    assert base.json() == before


@pytest.mark.parametrize("name", TECHNIQUES.names())
def test_a_technique_changes_nothing_but_what_it_sets(name):
    """Applied to a recipe that has much already, it takes nothing of that away."""
    full = made_up.sections("resnet").alone("l2").inserting("conv", "Dropout", rate=0.25)
    full = full.augmenting("shift", fraction=0.1)
    made = TECHNIQUES[name].apply(full, getattr(made_up.techniques(), name))
    for field in ("inserts", "penalties", "ops"):
        before = getattr(full, field)
        assert getattr(made, field)[: len(before)] == before
    assert (made.net, made.net_options, made.batch_size) == (
        full.net,
        full.net_options,
        full.batch_size,
    )


def test_recipes_do_without_tensorflow(root):
    script = """
import sys
from pathlib import Path
from cnnlab import params
p = params.read(Path("tests/params.yaml"))
for names in p.variants.every.values():
    p.sections.recipe(names).json()
p.sections.pretraining()
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
