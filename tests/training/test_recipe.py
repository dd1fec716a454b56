"""Recipes: what techniques make of them, and when two are one."""

import itertools
import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.training import recipe

PLACES = ["conv", "block", "dense"]
TARGETS = ["kernel", "bias", "activity"]


def test_a_recipe_is_the_params(committed, base):
    assert {base.net: base.net_options} == committed.model.model_dump(exclude_none=True)
    for field, value in committed.train:
        if field not in ("members", "techniques"):  # how many nets; what techniques do is not base
            assert getattr(base, field) == value
    assert base.inserts == base.penalties == base.ops == base.techniques == base.phases == ()


def test_the_order_of_techniques_does_not_matter(committed, base):
    names = list(chosen(committed.techniques))
    made = {recipe.apply(base, order, committed.techniques) for order in cut_permutations(names)}
    assert len(made) == 1
    assert set(names) <= set(made.pop().techniques)


def cut_permutations(names):
    return itertools.islice(itertools.permutations(names), 0, None, 7)


def test_each_technique_makes_another_recipe(committed, base):
    names = list(chosen(committed.techniques))
    made = [recipe.apply(base, on, committed.techniques) for on in ([], *zip(names))]
    assert len(set(made)) == len({r.json() for r in made}) == len(names) + 1


def test_every_variant_has_the_techniques_of_all_beside_its_own(committed, base):
    own, *everywhere = chosen(committed.techniques)
    train = committed.train.model_copy(update={"techniques": everywhere})
    made = recipe.variant(committed.model, train, [own], committed.techniques)
    assert made == recipe.apply(base, [own, *everywhere], committed.techniques)
    assert recipe.base(committed.model, train) == base


def test_a_technique_named_twice_is_applied_once(committed, base):
    name = next(iter(chosen(committed.techniques)))
    once, twice = (recipe.apply(base, [name] * n, committed.techniques) for n in (1, 2))
    assert once == twice


def test_a_technique_of_strength_0_is_no_other_recipe(base):
    none = {"kernel": 0.0, "bias": 0.0, "activity": 0.0}
    strengths = recipe.TECHNIQUES.options("Techniques").model_validate({"l2": none})
    assert recipe.apply(base, ["l2"], strengths) == base


def test_a_recipe_says_whose_code_takes_part(committed, base):
    for name, strength in chosen(committed.techniques).items():
        policy = chosen(strength) if name == "augment" else {}
        made = recipe.apply(base, [name], committed.techniques)
        assert set(made.techniques) == {name, *policy}
        assert {op for op, _ in made.ops} <= set(made.techniques)


@pytest.mark.parametrize("name", ["nope", "conv"])
def test_a_technique_without_a_strength_is_refused(committed, base, name):
    with pytest.raises(UserError) as error:
        recipe.apply(base, [name], committed.techniques)
    assert repr(name) in str(error.value)
    assert ", ".join(sorted(chosen(committed.techniques))) in str(error.value)


def test_equal_recipes_are_one_and_others_are_not(base):
    same = replace(base, net_options=dict(reversed(base.net_options.items())))
    assert same == base
    assert (hash(same), same.json()) == (hash(base), base.json())
    variations = [
        replace(base, epochs=base.epochs + 1),
        replace(base, learning_rate=base.learning_rate * (1 + 1e-15)),
        replace(base, net_options={**base.net_options, "kernel": 1}),
        replace(base, phases=(recipe.Phase(1, 0.1),)),
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


def test_two_techniques_that_set_one_thing_are_refused(base):
    strengths = recipe.TECHNIQUES.options("Techniques").model_validate(
        {"cosine": {"floor": 0.0}, "snapshot": {"members": 3}}
    )
    with pytest.raises(UserError, match=r"technique snapshot: schedule is set already.*cosine"):
        recipe.apply(base, ["snapshot", "cosine"], strengths)


def test_a_technique_without_a_place_in_the_net_is_refused(base):
    strengths = recipe.TECHNIQUES.options("Techniques").model_validate(
        {"stochastic_depth": {"rate": 0.2}}
    )
    with pytest.raises(UserError, match="stochastic_depth would do nothing: vgg has no place"):
        recipe.apply(base, ["stochastic_depth"], strengths)


def test_penalties_on_one_target_add_up(base):
    made = base.penalising("kernel", l1=0.1).penalising("kernel", l1=0.2, l2=0.5)
    assert made.penalty("kernel") == pytest.approx((0.3, 0.5))
    assert made.penalty("bias") == (0, 0)
    assert base.penalising("kernel") == base  # nothing is no penalty


def test_a_recipe_keeps_what_it_was_made_from(base):
    before = base.json()
    base.inserting("conv", "Dropout", rate=0.5).penalising("bias", l2=1).augmenting("flip")
    assert base.json() == before


def test_recipes_do_without_tensorflow(root):
    script = """
import sys
from cnnlab import params
from cnnlab.training import recipe
p = params.read()
for names in p.variants.values():
    recipe.variant(p.model, p.train, names, p.techniques).json()
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
