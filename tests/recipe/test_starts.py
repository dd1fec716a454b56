"""Variants put together: starts beside techniques, and what would do nothing in them."""

from dataclasses import replace

import pytest

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import SCRATCH, TECHNIQUES, starts
from cnnlab.recipe.variants import Sections
from tests import made_up

QUICK = {"epochs": 7, "learning_rate": 0.25, "batchnorm": "fixed", "lowest": 0.1, "steps": 2}
QUICK |= {"head_epochs": 3, "head_learning_rate": 0.5}
RESNET = made_up.model("resnet")


def sections(features=0, train=None, backbone=(), model=None, norm="fixed", **hyperparameters):
    """Small sections; `model`: the backbone's, where it has another than the study's."""
    changes = {"features": features, "techniques": list(backbone), "model": model}
    made = made_up.sections(backbone=changes, techniques=train or [])
    made = replace(made, techniques=made_up.techniques(**QUICK | {"batchnorm": norm}))
    return made_up.using(made, **hyperparameters)


@pytest.mark.parametrize("name", starts())
@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"learning_rate": 0}, {"epochs": True}, {"unknown": 1}]
)
def test_a_start_refuses_bad_hyperparameters(name, bad):
    kind = TECHNIQUES[name].Options
    with pytest.raises(ValueError, match=next(iter(bad))):
        kind.model_validate(made_up.options(kind).model_dump() | bad)


def test_none_of_the_starts_is_no_start():
    assert SCRATCH not in TECHNIQUES.names()
    assert starts() and all(callable(TECHNIQUES[name].apply) for name in starts())


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("freeze", [Phase(7, 0.25)]),
        ("finetune", [Phase(7, 0.25, 1.0, "fixed")]),
        ("lp_ft", [Phase(3, 0.5), Phase(7, 0.25, 1.0, "fixed")]),
        ("gradual", [Phase(3, 0.5), Phase(7, 0.25, 0.5, "fixed"), Phase(7, 0.25, 1.0, "fixed")]),
        ("discriminative", [Phase(7, 0.25, 1.0, "fixed", lowest=0.1)]),
    ],
)
def test_the_starts_from_the_literature_have_their_phases(name, phases):
    assert sections().recipe([name]).phases == tuple(phases)


@pytest.mark.parametrize("name", starts())
def test_a_start_says_how_long_and_what_it_learns_from(name):
    """Epochs are those of its phases, features are stored where a phase trains the head alone, and
    a backbone's network is that of the variants that start from it."""
    plain = sections().recipe([])
    for features in (None, 0, 3):
        made = sections(features, model=RESNET).recipe([name])
        assert made.net == "resnet" and made.net_options == RESNET.resnet.model_dump()
        assert made.epochs == (sum(phase.epochs for phase in made.phases) or QUICK["epochs"])
        if made.phases:
            assert made.learning_rate == made.phases[-1].learning_rate
        alone = any(phase.head_only for phase in made.phases)
        assert made.features == (features if alone else None)
    same = ("net", "net_options", "epochs", "learning_rate", "phases", "features", "techniques")
    for field in set(vars(plain)) - set(same):
        assert getattr(made, field) == getattr(plain, field)


def test_every_start_makes_another_recipe():
    given = sections(model=RESNET)
    assert len({given.recipe(names) for names in ([], *zip(starts()))}) == 1 + len(starts())


@pytest.mark.parametrize("names", [["freeze", "finetune"], ["untrained", "dropout", "lp_ft"]])
def test_a_variant_has_one_start_at_most(names):
    both = sorted(set(names) & set(starts()))
    with pytest.raises(UserError, match=f"{both[0]} and {both[1]}: a variant has one start"):
        sections(model=RESNET).recipe(names)


FROM_FEATURES = "stored features"
NOTHING = {  # techniques, how the sections are, which of them would do nothing, and why
    "augmentation of stored clean features": (["freeze", "augment"], {}, "augment", FROM_FEATURES),
    "one op of them": (["freeze", "shift"], {}, "shift", FROM_FEATURES),
    "mixing of stored features": (["freeze", "mixup"], {"features": 3}, "mixup", FROM_FEATURES),
    "dropout of maps below stored features": (
        ["freeze", "spatial_dropout"],
        {"features": 3},
        "spatial_dropout",
        FROM_FEATURES,
    ),
    "normalisation of a frozen backbone": (
        ["freeze", "batchnorm"],
        {"features": None},
        "batchnorm",
        "has not learnt with it",
    ),
    "batch norm that stays at its first statistics": (
        ["finetune", "batchnorm"],
        {},
        "batchnorm",
        "batchnorm: fixed",
    ),
    "what the backbone has": (
        ["finetune", "batchnorm"],
        {"backbone": ["batchnorm"], "norm": "learning"},
        "batchnorm",
        "has learnt with it already",
    ),
    "no such place": (["stochastic_depth"], {}, "stochastic_depth", "vgg has no place 'branch'"),
    "no such place after a start": (
        ["finetune", "stochastic_depth"],
        {},
        "stochastic_depth",
        "vgg has no place 'branch'",
    ),
    "coefficients of 0": (
        ["l2"],
        {"l2": {"kernel": 0.0, "bias": 0.0, "activity": 0.0}},
        "l2",
        "changes nothing",
    ),
    "no op in a policy": (["augment"], {"augment": {}}, "augment", "changes nothing"),
    "the network of the study": (
        ["untrained"],
        {"untrained": {"epochs": 3, "learning_rate": 0.001}},
        "untrained",
        "changes nothing",
    ),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_technique_that_would_do_nothing_is_refused_in_any_order(case):
    names, changes, inert, why = NOTHING[case]
    for order in (names, names[::-1], [*names, "dropout"], ["l1", *names]):
        with pytest.raises(UserError, match=f"technique {inert} would do nothing: .*{why}"):
            sections(**changes).recipe(order)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_of_one_image_has_no_other_to_mix_in(name):
    with pytest.raises(UserError, match=f"{name} would do nothing: .*train.batch_size = 1"):
        made_up.sections(batch_size=1).recipe([name])
    assert made_up.sections(batch_size=2).recipe([name]).ops[0][0] == name


WORKS = {
    "augmentation of every image": (["freeze", "augment"], {"features": None}),
    "augmentation of stored draws": (["freeze", "augment"], {"features": 3}),
    "mixing of images": (["freeze", "mixup"], {"features": None}),
    "dropout of maps": (["freeze", "spatial_dropout"], {"features": None}),
    "dropout of the head": (["freeze", "dropout"], {}),
    "augmentation while all learns": (["finetune", "augment"], {}),
    "augmentation in a later phase": (["lp_ft", "augment", "mixup"], {}),
    "batch norm that learns": (["finetune", "batchnorm"], {"norm": "learning"}),
    "group norm has no statistics": (["finetune", "groupnorm"], {}),
    "a branch": (["finetune", "stochastic_depth"], {"model": RESNET}),
    "another network": (["untrained"], {"model": RESNET}),
    "another length": (["untrained"], {}),
    "from random weights as ever": (["untrained", "batchnorm", "augment"], {"model": RESNET}),
}


@pytest.mark.parametrize("case", WORKS)
def test_what_does_something_is_allowed(case):
    names, changes = WORKS[case]
    recipe = sections(**changes).recipe(names)
    assert set(names) <= set(recipe.techniques)
    assert len(recipe.inserts) + len(recipe.ops) + (names[0] == "untrained") > 0


def test_of_techniques_that_all_variants_have_none_needs_to_act_in_each():
    """Augmentation does nothing for stored features; the variant is possible, and it is said."""
    given = sections(train=["augment", "dropout"])
    frozen = given.recipe(["freeze"])
    assert frozen.ops == () and [i.layer for i in frozen.inserts] == ["Dropout"]
    assert any("shift" in line and FROM_FEATURES in line for line in given.notes(["freeze"]))
    assert given.notes([]) == []
    assert [name for name, _ in given.recipe([]).ops] == ["rotation", "shift"]


def test_what_all_variants_have_must_act_somewhere():
    given = sections(train=["stochastic_depth"])
    with pytest.raises(UserError, match="stochastic_depth would do nothing"):
        given.everywhere()
    assert given.pretraining().inserts == ()  # a backbone may do without what all variants have


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("l2", "penalties"),
        ("l1", "penalties"),
        ("max_norm", "max_norm"),
        ("decoupled_decay", "decay"),
    ],
)
def test_what_keeps_weights_small_acts_on_the_head_alone_where_the_backbone_is_frozen(name, part):
    given = sections()
    given.recipe(["freeze", name])  # which is allowed
    (note,) = given.notes(["freeze", name])
    assert note.startswith(f"{part}: on the head alone")
    for other in ([name], ["finetune", name], ["lp_ft", name]):
        assert given.notes(other) == []
    assert given.notes(["freeze", "dropout"]) == []


@pytest.mark.parametrize(("name", "part"), [("augment", "shift"), ("spatial_dropout", "Spatial")])
def test_what_acts_in_some_phases_is_noted(name, part):
    notes = sections().notes(["lp_ft", name])
    assert any(n.startswith(part) and n.endswith("not while the head alone learns") for n in notes)
    assert sections(features=None).notes(["lp_ft", name]) == []
    assert sections().notes(["finetune", name]) == []


def test_layers_that_the_backbone_learnt_with_stay_in_variants_that_start_from_it():
    given = sections(backbone=["batchnorm", "dropout", "spatial_dropout"])
    learnt = [i for i in given.pretraining().inserts if i.layer == "BatchNormalization"]
    assert len(learnt) == 1
    for name in starts():
        recipe = given.recipe([name])
        assert recipe.inserts == (tuple(learnt) if recipe.phases else ())
        assert "dropout" not in recipe.techniques  # of the backbone's own training
    assert given.recipe([]).inserts == ()


@pytest.mark.parametrize("backbone", [[], ["batchnorm"], ["groupnorm", "dropout"]])
def test_the_backbone_is_trained_with_its_own_techniques_and_those_of_all(backbone):
    given = sections(backbone=backbone, train=["l2"], model=RESNET)
    recipe = given.pretraining()
    assert set(recipe.techniques) == {"l2", *backbone}
    assert (recipe.net, recipe.epochs) == ("resnet", given.backbone.epochs)
    assert recipe.phases == () and recipe.features is None


def test_a_backbone_s_technique_without_effect_is_refused():
    with pytest.raises(UserError, match="vgg has no place 'branch'"):
        sections(backbone=["stochastic_depth"]).pretraining()


def test_few_images_are_seen_in_more_epochs():
    given = made_up.sections(batch_size=8, evaluate_every=2, epochs=7)
    given = replace(given, techniques=made_up.techniques(**QUICK))
    made = given.recipe(["lp_ft"])
    longer = made.lengthened(images=20, steps=80)  # 3 steps an epoch
    assert [phase.epochs for phase in longer.phases] == [27, 28]
    assert (longer.epochs, longer.evaluate_every) == (55, 12)
    assert made.lengthened(images=20, steps=9) == made
    assert given.recipe([]).lengthened(images=20, steps=80).epochs == 28


def test_hyperparameters_of_one_section_come_from_its_params(frozen):
    sections = frozen.sections
    assert isinstance(sections, Sections)
    for name in set(starts()) & set(chosen(frozen.techniques)):
        assert sections.recipe([name]).epochs == getattr(frozen.techniques, name).epochs
