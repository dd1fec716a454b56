"""How many trainings a design needs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.compare import designs, power
from cnnlab.compare.contrasts import alone, pair
from cnnlab.compare.inference import Parts, Split
from cnnlab.compare.power import TYPICAL, Plan, Variances
from cnnlab.compare.tables import Rules, effect_rows

FIVE = ["augment", "batchnorm", "dropout", "l1", "l2"]


def plan(**changes) -> Plan:
    """What statistics.md asks of five techniques on the digits."""
    asked = {"effect": 0.02, "power": 0.8, "alpha": 0.05, "family": 5}
    return Plan(**{**asked, "images": 300, "folds": 5, "guard": 1.25, **changes})


def main_effects(kind, techniques=FIVE, resolution=5):
    sets = designs.sets_of(kind, techniques, ["scratch"], resolution)
    variants = designs.named(sets, techniques)
    found = designs.effects(variants, sets, techniques, 1)
    return [c for c in found if c.kind == "main"], len(sets)


@pytest.mark.parametrize(
    ("kind", "trainings"), [("star", 360), ("fraction", 320), ("factorial", 640)]
)
def test_trainings_of_designs_for_two_points_on_the_digits(kind, trainings):
    """As measured on those networks: star 360, 2^(5-1) 320, 2^5 640."""
    main, sets = main_effects(kind)
    assert sets * 5 * power.repeats(main, TYPICAL, plan()) == trainings


def test_what_each_adds_alone_needs_seven_times_as_many():
    single = [alone(t, t, "none") for t in FIVE]
    main, _ = main_effects("star")
    ratio = power.repeats(single, TYPICAL, plan()) / power.repeats(main, TYPICAL, plan())
    assert ratio >= 7


@pytest.mark.parametrize("count", [6, 8, 10])
def test_from_six_techniques_on_the_proposed_fraction_needs_fewer_than_a_star(count):
    techniques = [f"t{i}" for i in range(count)]
    needed = {}
    for kind in ("star", designs.proposed(count)[0]):
        main, sets = main_effects(kind, techniques, 4)
        needed[kind] = sets * 5 * power.repeats(main, TYPICAL, plan(family=count))
    assert needed["fraction"] < needed["star"]


NUMBERS = st.floats(0.00001, 0.1)
KNOWN = st.builds(
    Variances,
    **dict.fromkeys(
        ("shared", "own"), st.builds(Parts, images=NUMBERS, interplay=NUMBERS, networks=NUMBERS)
    ),
)


@given(KNOWN, st.integers(50, 5000), st.floats(1.01, 3))
def test_more_images_larger_effects_and_less_doubt_need_fewer(known, images, factor):
    main, _ = main_effects("star", ["a", "b", "c"])

    def needed(**changes):
        asked = plan(**{"images": images, **changes})
        return power.repeats(main, known, asked) or math.inf

    base = needed()
    assert needed(images=math.ceil(images * factor)) <= base
    assert needed(effect=0.02 * factor) <= base
    assert needed(power=0.5) <= base <= needed(power=0.95)
    assert needed(alpha=0.1) <= base <= needed(alpha=0.001)
    assert needed(family=1) <= base <= needed(family=20)
    assert needed(guard=1.0) <= base <= needed(guard=3.0)


NOTHING = Parts(images=0.0, interplay=0.0, networks=0.0)


def test_by_hand():
    """Weights 1 and -1, so twice what is a variant's own; half an alpha of 5 % and 80 % are 2.8016
    errors."""
    shared = Parts(images=0.001, interplay=0.0, networks=0.0)
    own = Parts(images=0.002, interplay=0.04, networks=0.002)
    known = Variances(shared=shared, own=own)
    assert known.of(pair("a", "b")) == Parts(images=0.005, interplay=0.08, networks=0.004)
    asked = plan(effect=0.05, family=1, images=100, folds=4, guard=1.5)
    variances = [1.5 * (0.005 + 0.08 / r) / 100 + 0.004 / (4 * r) for r in range(1, 30)]
    enough = [math.sqrt(v) <= 0.05 / 2.8016 for v in variances]
    assert 1 < 1 + enough.index(True) == power.repeats([pair("a", "b")], known, asked)
    assert power.images([pair("a", "b")], known, asked) == math.ceil(
        1.5 * 0.005 / (0.05 / 2.8016) ** 2
    )


def test_no_number_is_enough_where_images_leave_too_much_open():
    images = Parts(images=0.2, interplay=0.04, networks=0.0)
    known = Variances(shared=images, own=NOTHING)
    assert power.repeats([pair("a", "b")], known, plan()) is None
    least = power.images([pair("a", "b")], known, plan())
    assert least > 300
    assert power.repeats([pair("a", "b")], known, plan(images=least - 1)) is None
    assert power.repeats([pair("a", "b")], known, plan(images=2 * least)) == 1


def test_the_widest_of_several_effects_counts():
    main, _ = main_effects("star")
    single = [alone("l1", "l1", "none")]
    both = power.repeats(main + single, TYPICAL, plan(effect=0.04))
    assert both == power.repeats(single, TYPICAL, plan(effect=0.04))


def test_a_study_has_the_power_that_was_planned():
    """Simulated studies of a star, with the repeats that are said to be enough."""
    own = Parts(images=0.01, interplay=0.04, networks=0.0)
    known, n, k = Variances(shared=NOTHING, own=own), 200, 5
    techniques = ["a", "b", "c"]
    main, _ = main_effects("star", techniques)
    repeats = power.repeats(main, known, plan(effect=0.025, family=1, images=n, guard=1.0))
    assert 1 < repeats < 10
    variants = designs.named(designs.star(techniques), techniques)
    told, studies = 0, 200
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        fold = np.stack([rng.permutation(np.arange(n) % k) for _ in range(repeats)])
        values = {
            name: 0.025 * ("a" in on)
            + math.sqrt(own.images) * rng.normal(size=n)
            + math.sqrt(own.interplay) * rng.normal(size=(repeats, n))
            for name, on in variants.items()
        }
        (row,) = effect_rows(main[:1], values, Split(fold, np.arange(n)), Rules(guard=1.0))
        told += row["clear"]
    assert 0.72 < told / studies < 0.95


# Variances from a table ---------------------------------------------------------------------------

SHARED, OWN = (0.03, 0.05), (0.01, 0.04)  # of images, and of their interplay with networks


def studied(contrasts, repeats=3, estimate="crossed", seed=0):
    """The table of a study in which what techniques do to images is their own, in any company."""
    rng = np.random.default_rng(seed)
    variants = designs.named(designs.star(FIVE), FIVE)
    n = 2000
    fold = np.stack([rng.permutation(np.arange(n) % 5) for _ in range(repeats)])

    def noise(of_images, interplay):
        image = math.sqrt(of_images) * rng.normal(size=n)
        return image + math.sqrt(interplay) * rng.normal(size=(repeats, n))

    does = {t: noise(*SHARED) for t in FIVE}
    values = {name: noise(*OWN) + sum(does[t] for t in on) for name, on in variants.items()}
    return effect_rows(contrasts, values, Split(fold, np.arange(n)), Rules(estimate=estimate))


STAR = main_effects("star")[0]
ALONE = [alone(t, t, "baseline") for t in FIVE]


def test_what_is_shared_and_what_is_a_variant_s_own_is_found_again():
    contrasts = [*STAR, *ALONE, pair("l1", "l2")]
    known = power.variances(studied(contrasts), contrasts)
    assert (known.shared.images, known.shared.interplay) == pytest.approx(SHARED, rel=0.1)
    assert (known.own.images, known.own.interplay) == pytest.approx(OWN, rel=0.1)
    assert known.shared.networks + known.own.networks < 0.0005


def test_of_main_effects_alone_all_is_taken_to_be_shared():
    rows = studied(STAR)
    known = power.variances(rows, STAR)
    assert known.own == NOTHING
    assert known.shared.images == pytest.approx(np.mean([row["h"] for row in rows]))


def test_a_table_of_the_design_gives_its_own_variances_back():
    contrasts = [*STAR, *ALONE]
    rows = studied(contrasts)
    known = power.variances(rows, contrasts)
    for contrast, kind in ((STAR[0], "main"), (ALONE[0], "alone")):
        for part, name in (("images", "h"), ("interplay", "e")):
            mean = np.mean([row[name] for row in rows if row["kind"] == kind])
            assert getattr(known.of(contrast), part) == pytest.approx(mean)


def test_a_table_that_does_not_split_variances_or_has_other_contrasts_tells_none():
    assert power.variances(studied(STAR, repeats=1), STAR) is None
    assert power.variances(studied(STAR, estimate="corrected_t"), STAR) is None
    assert power.variances(studied(ALONE), ALONE) is None
    assert power.variances([], STAR) is None
    other, _ = main_effects("factorial")
    assert power.variances(studied(STAR), other) is None
