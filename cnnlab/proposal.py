"""A params.yaml for images that needs no edit: which network, which variants, how large images, how
many folds and epochs, by what images there are and how long it may take.

A `Plan` says what is chosen. It begins as the fullest one that makes sense for the images;
`REDUCED` says in which order it is cut down until it fits the time that there is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cnnlab import design, paths
from cnnlab.compare import designs
from cnnlab.compare.inference import FEWEST_TRAININGS
from cnnlab.data.survey import Survey
from cnnlab.errors import UserError
from cnnlab.recipe.techniques import SCRATCH, starts
from cnnlab.recipe.variants import serves
from cnnlab.tasks import TASKS
from cnnlab.timing import Cost, Machine

BACKBONE = "efficientnet_lite0"
PHOTOGRAPH = 48  # pixels of the median side, from which images in colour count as photographs
# And grey ones: smaller ones are signs rather than things. By a head on the backbone's features 368
# photographs in five classes were told apart nearly as well in grey, 82 %, as in colour, 84 %.
GREY = 96
SMALL = 40  # pixels, up to which images go to a VGG as they are; larger ones to a residual network
NEEDED = 5  # images of a class: 4 to develop on, 1 to test
NEEDED_TRAIN = 4  # where the images come with a test part
TEST_SHARE = 0.2
BATCH = 32
# Where networks answer from maps, an image has many answers: fewer of them make a step, and there
# is a decoder to learn, for which it takes more of those.
OF_MAPS = 16
DECODER = 2  # times as many
SIZES = (224, 192, 160, 128, 96)  # of photographs for the backbone
SIZES_SCRATCH = (96, 64, 48)  # of larger images without one
ENLARGED = 1.2  # times the median side: what a backbone has learnt from was larger, and sharp
GOOD = 192  # pixels, below which a backbone sees less, so that techniques are cut before
LEAST = 160  # pixels, below which it sees so much less that all else is cut first
# The longer side by the shorter, of the images that are longest but a tenth. Up to here, squashed
# photographs were told apart better than those cut to their middle or padded: by 1 to 2 points of
# a head on the frozen backbone's features, 368 photographs of things in five classes, 160 to 224
# pixels.
LONG = 2.2
MANY = 4000  # development images, from which no more folds are needed than for an answer
DRAWS = 4  # augmented draws of each image whose features are kept
STEPS = {"freeze": 400, "finetune": 150, SCRATCH: 800}  # of training, about
FEWEST = {"freeze": 400, "finetune": 40, SCRATCH: 200}  # steps, below which little is learnt
EPOCHS = {"freeze": (10, 60), "finetune": (3, 12), SCRATCH: (8, 40)}  # fewest and most
# Learning rates where all weights learn, of a head and of a decoder, which has more to learn. With
# a head 0.0003 told as many of 196 and 294 development images apart, 88 %, but was surer of its
# mistakes: negative log likelihoods of 0.32 and 0.43, and with 0.0001 of 0.24 and 0.41.
FINETUNE_RATE, FINETUNE_RATE_DECODER = 0.0001, 0.0003
TECHNIQUES = ("augment", "dice_cross_entropy", "dropout", "l2")
ASKED = 3  # of these that serve the task: the first
# Stages besides those of variants take, with the figures that they draw, about as long as so many
# starts of a stage.
OTHER = 30.0
# How often all images go through the final network; they go once through that of each variant that
# is drawn.
FINAL_PASSES = 2
# Of the time there is, what a plan may take by its estimate: machines are seldom quiet.
MARGIN = 0.75


@dataclass(frozen=True)
class Plan:
    """What is chosen. Images are `size` pixels; counts are images by class."""

    task: str
    backbone: bool  # photographs begin at weights of ImageNet
    size: int
    resize: str
    channels: int | None
    flips: bool
    rotations: bool
    dev: Mapping[str, int] = field(hash=False)  # that could be developed on
    test: Mapping[str, int] = field(hash=False)
    own_test: bool
    keeps_scenes: bool  # images that are nearly the same are learnt, held out or tested together
    distinct: int  # development images of the rarest class, the same file counted once
    techniques: tuple[str, ...]
    most: int | None = None  # development images in all; None: no limit
    starts: tuple[str, ...] = (SCRATCH,)
    control: bool = False  # a network from random weights beside the starts
    placebo: bool = True
    curve: bool = True  # scores by the number of training images
    k: int = 5
    repeats: int = 1
    shorter: int = 0  # how often epochs were halved

    @property
    def of_features(self) -> bool:
        """Whether networks answer from features of the whole image, not from maps."""
        return TASKS[self.task].FEATURES

    @property
    def finetune_rate(self) -> float:
        """The learning rate where all weights learn."""
        return FINETUNE_RATE if self.of_features else FINETUNE_RATE_DECODER

    @property
    def batch(self) -> int:
        """Images a step."""
        return BATCH if self.of_features else OF_MAPS

    @property
    def dev_per_class(self) -> int | None:
        """None where all are developed on."""
        if self.most is None or sum(self.dev.values()) <= self.most:
            return None
        return max(NEEDED_TRAIN, min(self.most // len(self.dev), min(self.dev.values())))

    @property
    def test_per_class(self) -> int | None:
        """As many as there are to develop on, where those are limited; None: all, or a share."""
        limit = self.dev_per_class
        return None if limit is None else max(1, min(limit, min(self.test.values())))

    @property
    def images(self) -> int:
        """To develop on."""
        limit = self.dev_per_class
        return limit * len(self.dev) if limit else sum(self.dev.values())

    @property
    def test_images(self) -> int:
        """To test."""
        limit = self.test_per_class
        return limit * len(self.test) if limit else sum(self.test.values())

    @property
    def per_class(self) -> list[int]:
        """Smaller training sets, images per class; with three of them growth may have a floor."""
        rarest = min(self.dev_per_class or self.distinct, self.distinct)
        train = rarest * (self.k - 1) // self.k
        sizes = [train // 8, train // 4, train // 2]
        return [size for size in sizes if size >= 5] if self.curve else []

    def epochs(self, start: str) -> int:
        """Of a start, by the number of training images."""
        steps = math.ceil(self.images * (self.k - 1) / self.k / self.batch)
        few, most = EPOCHS[start]
        times = 1 if self.of_features else DECODER

        def of(wanted: int) -> int:
            return min(max(math.ceil(times * wanted / steps), few), times * most)

        return max(of(FEWEST[start]), of(STEPS[start]) >> self.shorter)

    @property
    def evaluate_every(self) -> int:
        """Epochs; training from the backbone is looked at three times."""
        if "finetune" in self.starts:
            return max(1, self.epochs("finetune") // 3)
        return max(1, self.epochs(self.starts[0]) // 10)

    @property
    def variants(self) -> dict[str, list[str]]:
        """The design's, and the control: name -> techniques."""
        sets = designs.sets_of("factorial", self.techniques, list(self.starts), 5, self.placebo)
        first = [*self.starts, designs.PLACEBO]
        named = designs.named(sets, self.techniques, first)
        return {"baseline": [], **named} if self.control else named

    @property
    def first(self) -> list[str]:
        """The first start by itself and with augmentation, of the variants that there are."""
        start = self.starts[0]
        begins = ["baseline", "augment"] if start == SCRATCH else [start, f"{start}-augment"]
        return [name for name in begins if name in self.variants]

    @property
    def drawn(self) -> list[str]:
        """The variants whose networks are looked into, six at most."""
        every = f"{self.starts[0]}-all"
        wanted = [*self.first, "finetune", "finetune-augment", "baseline", "all", every]
        there = [name for name in dict.fromkeys(wanted) if name in self.variants]
        return [*there[:5], designs.RECOMMENDED]


def plan_for(
    found: Survey, network: str = "auto", flips: bool = True, rotations: bool = True
) -> Plan:
    """The fullest plan for images. `network`: "backbone", "small", or "auto" by what they are.

    Raises UserError for a class of too few images.
    """
    keeps_scenes = True
    try:
        dev, test, distinct, groups = _counts(found, "scene")
    except UserError:  # perhaps as images look so alike that scenes cannot be told
        dev, test, distinct, groups = _counts(found, "group")
        keeps_scenes = False
    median = int(np.median(found.sides))
    photographs = median >= (PHOTOGRAPH if found.colour else GREY)
    backbone = photographs if network == "auto" else network == "backbone"
    n = sum(dev.values())
    pad = float(np.quantile(found.ratios, 0.9)) > LONG
    k = min(5 if n < MANY else FEWEST_TRAININGS, max(2, min(distinct - 1, groups)))
    task = TASKS[found.task]
    plan = Plan(
        task=found.task,
        backbone=backbone,
        size=sizes(backbone, int(np.median(found.sides * (found.ratios if pad else 1))))[0],
        # Squashed, all of an image is seen; very long ones keep their form.
        resize="pad" if pad else "squash",
        channels=3 if backbone and not found.colour else None,
        flips=flips and found.colour,
        rotations=rotations,
        dev=dev,
        test=test,
        own_test=found.own_test,
        keeps_scenes=keeps_scenes,
        distinct=distinct,
        techniques=tuple([name for name in TECHNIQUES if serves(name, found.task)][:ASKED]),
        curve=found.labels_are_all,  # images of a class are counted by their labels
        k=k,
        repeats=max(_fewest_repeats(k), 3 if n < 500 else 2 if n < 1500 else 1),
    )
    if backbone:
        # Where no features are stored, a frozen backbone takes as long as one that learns.
        which = ("freeze", "finetune") if task.FEATURES else ("finetune",)
        plan = replace(plan, starts=which, control=True)
    return plan


def sizes(backbone: bool, median: int) -> list[int]:
    """Sizes that images may have, the largest first: not much larger than they are."""
    if not backbone and median <= SMALL:
        return [max(8, median)]
    known = SIZES if backbone else SIZES_SCRATCH
    enough = [size for size in known if size >= ENLARGED * median]
    return [size for size in known if not enough or size <= enough[-1]]


def _counts(found: Survey, grouping: str) -> tuple[dict[str, int], dict[str, int], int, int]:
    """Images to develop on and to test by class, and of the rarest class those to develop on that
    differ, and their groups, of the column `grouping`."""
    usable = found.usable
    dev_rows, given = usable, usable[usable["split"] == "test"]
    if found.own_test:  # what is in both parts is judged, not learnt
        learnt = (usable["split"] == "train") & ~usable["mark"].isin(given["mark"])
        dev_rows = usable[learnt & ~usable[grouping].isin(given[grouping])]
    counts = dev_rows["label"].value_counts()
    differ = dev_rows.groupby("label")[["mark", grouping]].nunique()
    needed, parts = (NEEDED_TRAIN, 2) if found.own_test else (NEEDED, 3)
    for name in found.classes:
        images, groups = differ.loc[name] if name in differ.index else (0, 0)
        kind = "to train on" if found.own_test else "that can be read and differ"
        way = "add some or take its folder away"
        if not found.labels_are_all:
            kind, way = f"{kind} on which it is the largest", "add some, or count it to another"
        if images < needed:
            raise UserError(
                f"images {found.place!r}: class {name!r} has {images} images {kind}; needed: "
                f"{needed}, so {way}"
            )
        if groups < parts:
            raise UserError(
                f"images {found.place!r}: class {name!r} has images of {groups} groups; needed: "
                f"{parts}, as a group is learnt, held out or tested as a whole, so {way}"
            )
    if found.own_test:
        tests = given["label"].value_counts()
        test = {c: int(tests.get(c, 0)) for c in counts.index}
        return dict(counts), test, int(differ["mark"].min()), int(differ[grouping].min())
    smallest = usable.groupby(["label", grouping]).size().groupby("label").min()
    test = {c: max(int(smallest[c]), round(TEST_SHARE * int(n))) for c, n in counts.items()}
    dev = {c: int(n) - test[c] for c, n in counts.items()}
    distinct = min(differ["mark"][c] - test[c] for c in counts.index)
    groups = min(n - max(1, round(TEST_SHARE * n)) for n in differ[grouping])
    return dev, test, int(distinct), int(groups)


# Less, in the order in which it is cut ------------------------------------------------------------


def _fewer_repeats(plan: Plan) -> Plan:
    return replace(plan, repeats=max(_fewest_repeats(plan.k), plan.repeats - 1))


def _fewest_repeats(k: int) -> int:
    """How many repeats of `k` folds it takes for any effect to be decided."""
    return math.ceil(FEWEST_TRAININGS / k)


def _no_extras(plan: Plan) -> Plan:
    return replace(plan, placebo=False, curve=False)


def _fewer_techniques(plan: Plan) -> Plan:
    return replace(plan, techniques=plan.techniques[: max(1, len(plan.techniques) - 1)])


def _two_techniques(plan: Plan) -> Plan:
    return replace(plan, techniques=plan.techniques[:2])


def _fewer_images(least: int) -> Callable[[Plan], Plan]:
    def fewer(plan: Plan) -> Plan:
        smaller = replace(plan, most=max(least, plan.images // 2))
        # All classes get as many as the rarest has: where that is few, hardly any would be left.
        enough = 2 * smaller.images >= least
        return smaller if enough and smaller.images < plan.images else plan

    return fewer


def _smaller(least: int) -> Callable[[Plan], Plan]:
    def smaller(plan: Plan) -> Plan:
        known = SIZES if plan.backbone else SIZES_SCRATCH
        sizes = [size for size in known if least <= size < plan.size]
        return replace(plan, size=sizes[0]) if sizes else plan

    return smaller


def _shorter(times: int) -> Callable[[Plan], Plan]:
    def shorter(plan: Plan) -> Plan:
        halved = replace(plan, shorter=plan.shorter + 1)
        changed = any(halved.epochs(s) < plan.epochs(s) for s in ("finetune", SCRATCH))
        return halved if changed and halved.shorter <= times else plan

    return shorter


def _no_control(plan: Plan) -> Plan:
    return replace(plan, control=False)


def _frozen_alone(plan: Plan) -> Plan:
    return replace(plan, starts=plan.starts[:1])


def _fewer_folds(plan: Plan) -> Plan:
    return replace(plan, k=min(plan.k, FEWEST_TRAININGS))


REDUCED = (
    _fewer_repeats,
    _fewer_images(4000),
    _two_techniques,
    _no_extras,
    _shorter(1),
    _no_control,
    _smaller(GOOD),
    _shorter(9),
    _fewer_techniques,
    _smaller(LEAST),
    _fewer_images(1000),
    _frozen_alone,
    _smaller(0),
    _fewer_folds,
    _fewer_images(100),
)


def fitted(plan: Plan, seconds: Callable[[Plan], float], budget: float) -> Plan:
    """The plan, cut down until by its estimate it takes no more than `budget` seconds, or nothing
    is left to cut; a later cut may save so much that an earlier one is taken back, but for the
    start that does not serve images as small as those left."""
    cuts = []
    for cut in REDUCED:
        while seconds(plan) > MARGIN * budget and (less := cut(plan)) != plan:
            cuts.append({name: was for name, was in vars(plan).items() if vars(less)[name] != was})
            plan = less
    for before in reversed(cuts):
        more = replace(plan, **before)
        if "starts" not in before and seconds(more) <= MARGIN * budget:
            plan = more
    return plan


# How long it takes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What this machine takes: see `cnnlab.timing`. `costs`: start -> size -> cost."""

    machine: Machine
    costs: Mapping[str, Mapping[int, Cost]]
    decode: float  # seconds an image, to read it and bring it to its size

    def cost(self, start: str, size: int) -> Cost:
        """Of a start at a size, in proportion to pixels between and beyond those measured."""
        known = self.costs[start]
        low, high = min(known), max(known)
        cost = known[low]
        if low == high:
            share = (size / low) ** 2
            return replace(cost, step=cost.step * share, look=cost.look * share)
        at = (size**2 - low**2) / (high**2 - low**2)

        def between(part: str) -> float:
            a, b = getattr(known[low], part), getattr(known[high], part)
            return max(a + at * (b - a), 0.1 * a)

        return replace(cost, step=between("step"), look=between("look"))


def seconds(plan: Plan, measured: Measured) -> float:
    """How long the whole study of a plan takes, about."""
    machine, n = measured.machine, plan.images
    train, held_out = n * (plan.k - 1) / plan.k, n / plan.k
    total = OTHER * machine.stage
    total += (sum(plan.dev.values()) + sum(plan.test.values())) * measured.decode / machine.workers
    seen = set()  # of the backbone's features, which folds and variants share
    longest = 0.0
    for on in plan.variants.values():
        start = _start(on)
        cost, epochs = measured.cost(start, plan.size), plan.epochs(start)
        looks = math.ceil(epochs / plan.evaluate_every)

        def rounds(trials: int) -> int:
            return math.ceil(trials / machine.workers)

        one = cost.seconds(train, epochs, looks, n)
        total += machine.stage + machine.worker + cost.first
        total += rounds(plan.k * plan.repeats) * one
        if start == "freeze" and ("augment" in on) not in seen:
            seen.add("augment" in on)
            total += n * (1 + DRAWS) * measured.cost("finetune", plan.size).look
        if plan.curve and on in ([start], [start, "augment"], [], ["augment"]):
            for few in plan.per_class if start == plan.starts[0] else ():
                images = few * len(plan.dev)
                steps = max(epochs, math.ceil(_STEPS_FEW / math.ceil(images / BATCH)))
                part = cost.seconds(images, steps, looks, images + held_out)
                total += machine.worker + cost.first + rounds(plan.k * plan.repeats) * part
        longest = max(longest, cost.first + cost.seconds(n, epochs, looks, n))
    whole = measured.cost("finetune" if plan.backbone else SCRATCH, plan.size)
    total += (len(plan.drawn) + FINAL_PASSES) * n * whole.look
    if plan.backbone:
        total += machine.worker
    return total + machine.worker + longest


_STEPS_FEW = 200  # sizes.steps


def _start(on: list[str]) -> str:
    return next((name for name in on if name in starts()), SCRATCH)


# The text -----------------------------------------------------------------------------------------

COLUMN = 25  # where comments stand


def written(name: str, plan: Plan, found: Survey, raw: str) -> str:
    """The text of the params.yaml of a study, with what the plan chooses. `raw`: of data.raw."""
    small = not plan.backbone and plan.size <= SMALL
    text = f"""\
# What `make study` chose for these images. All else is as in cnnlab/defaults.yaml, which says what
# each key means and may be; `cnnlab params`, in this folder, prints the whole.

study: {json.dumps(name)}  # name in the report, and the MLflow experiment
code: {paths.TO_CODE}  # the way from here to the clone of cnnlab: where DVC finds the code
task: {plan.task}  # a file of cnnlab/tasks: what networks learn to say of an image
seed: 20  # every other seed is derived from it

data:
  source: {found.source}  # a file of cnnlab/data/sources
  raw: {json.dumps(raw, ensure_ascii=False)}  # where the images are
  image_size: {plan.size}  # pixels, images become square
  resize: {plan.resize}  # squash, crop (to the middle) or pad (with black) what is not square
  channels: {_flow(plan.channels)}  # 1 grey, 3 colour; null: 3 if any image has colour
{_near(plan)}  bad:
    limit: {_limit(found)}  # share of images that cannot be read; more than that stop
  dev_per_class: {_flow(plan.dev_per_class)}  # images, for development; null: all but test images
  test_per_class: {_flow(plan.test_per_class)}  # images; null: all the rest, or as test_share says
  test_share: {TEST_SHARE}  # of each class, where the images have no test part of their own
  pretrain:
    raw: data/raw_pretrain  # where images for a backbone of your own would be

folds:
  k: {plan.k}  # each network learns from all but one of them
  repeats: {plan.repeats}  # each draws other folds and other seeds

model:  # one network, a file of cnnlab/recipe/nets
{_model(plan, small)}
train:
  techniques: [{"batchnorm, " * small}cosine]  # that every variant has, the baseline too
  epochs: {plan.epochs(SCRATCH)}  # of what begins at random weights
  batch_size: {plan.batch}  # images
  learning_rate: 0.001  # `make find-lr` draws which ones hold
  evaluate_every: {plan.evaluate_every}  # epochs, from one point of the learning curves to the next
  fill_mode: {"reflect" if found.colour else "constant"}  # what is beyond the edge of a moved image

techniques:  # hyperparameters; each is a file of cnnlab/recipe/techniques
{_hyperparameters(plan)}
{_backbone(plan)}
design:  # which variants `make design` writes below
  kind: factorial  # every set of the techniques
  techniques: {_flow(plan.techniques)}  # under study
  starts: {_flow(plan.starts)}  # each with all sets of the techniques; scratch: without a start
  placebo: {_flow(plan.placebo)}  # also one under other seeds: what nothing looks like

variants:  # sets of techniques, each trained on every fold
  train:  # those that begin at random weights
  transfer:  # those that begin at the backbone: each has one start

{_sizes(plan)}
execution: {{}}

compare: {{}}

decide:  # more repeats, where an effect is undecided
  max_repeats: null  # in all; null: none are added, so that the time is known

visualize:  # whose networks are looked into, 6 variants at most
  variants: {_flow(plan.drawn)}

final: {{}}
"""
    aligned = re.sub(r"(?m)^(.*\S)  # ", lambda line: f"{line[1]:<{COLUMN - 2}}  # ", text)
    groups: dict[str, dict] = {"train": {}, "transfer": {}}
    for variant, on in plan.variants.items():
        groups["train" if _start(on) == SCRATCH else "transfer"][variant] = on
    return design.replaced(aligned, groups)


def _near(plan: Plan) -> str:
    """Of `data`, where the default does not serve."""
    return "" if plan.keeps_scenes else "  near_duplicates: null  # too many look nearly the same\n"


def _flow(value: Any) -> str:
    """A value as YAML: a number, null, or names, which need no quotes."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value).lower()


def _model(plan: Plan, small: bool) -> str:
    if not small:
        return "  resnet: {}  # a small residual network\n"
    filters = [16, 32, 64] if plan.size >= 24 else [16, 32]
    return f"""\
  vgg:
    filters: {_flow(filters)}  # of each block's convs; each block halves the image
    dense: {"[64]" if plan.of_features else "[]"}  # units of the hidden layers
"""


def _hyperparameters(plan: Plan) -> str:
    flip = "    flip: {horizontal: true, vertical: false}  # where left and right are alike\n"
    rotation = "    rotation: {degrees: 10}  # either way\n"
    known = {
        "augment": "  augment:  # a policy of several ops, drawn afresh for each image and epoch\n"
        "    shift: {fraction: 0.08}  # of width and height, either way\n"
        "    zoom: {fraction: 0.15}  # size drawn from 1/(1 + it) to 1 + it\n"
        f"{flip if plan.flips else ''}{rotation if plan.rotations else ''}",
        "dice_cross_entropy": "  dice_cross_entropy: {weight: 1.0}  # of the Dice loss\n",
        "dropout": "  dropout: {rate: 0.3}  # share of hidden units\n",
        "l2": "  l2: {kernel: 0.0005}  # coefficient in the loss\n",
        "freeze": "  freeze:  # a start: the backbone stays as it is, the head learns\n"
        f"    epochs: {plan.epochs('freeze')}\n    learning_rate: 0.001\n",
        "finetune": "  finetune:  # a start: all weights learn from the backbone's on\n"
        f"    epochs: {plan.epochs('finetune')}\n    learning_rate: {plan.finetune_rate}\n",
    }
    used = {*plan.techniques, *plan.starts}
    return "".join(text for name, text in known.items() if name in used)


def _backbone(plan: Plan) -> str:
    if not plan.backbone:
        return "backbone: {}\n"
    draws = f"  features: {DRAWS}  # augmented draws of each image, from which the head learns\n"
    return f"""\
backbone:  # the weights that starts begin from
  model:
    {BACKBONE}:
      size: {plan.size}  # pixels
  weights: package  # of ImageNet, installed with cnnlab
{draws if plan.of_features else ""}"""


def _sizes(plan: Plan) -> str:
    if not plan.per_class:
        return "sizes: {}\n"
    return f"""\
sizes:  # how scores change with the size of the training set
  per_class: {_flow(plan.per_class)}  # training images per class, besides all
  variants: {_flow(plan.first)}  # the first is what the other is compared with
  steps: {_STEPS_FEW}  # of training, at least: few images are seen in more epochs
"""


def _limit(found: Survey) -> float:
    """The share of images that may be left out: more than is known to be, in steps of 5 %."""
    bad = len(found.table) - len(found.usable)
    return round(math.ceil(bad / len(found.table) * 20 + 1) / 20, 2)


def lines(plan: Plan) -> list[str]:
    """What was chosen and why, a line each."""
    names = ", ".join(plan.techniques)
    network = f"{BACKBONE} with weights of ImageNet, {' and '.join(plan.starts)}"
    if not plan.backbone:
        network = f"a small {'VGG' if plan.size <= SMALL else 'residual network'} from scratch"
    network += "" if plan.of_features else ", with a decoder"
    test = "its own test part" if plan.own_test else f"{plan.test_images} images, drawn"
    ops = ["shift", "zoom", *["flip"] * plan.flips, *["rotation"] * plan.rotations]
    alike = "images look so alike that none are kept together for being nearly the same"
    limit = plan.dev_per_class
    bounded = f", at most {limit} a class so that it ends in time" if limit else ""
    return [
        f"network: {network}; images become {plan.size}x{plan.size} pixels ({plan.resize})",
        f"images: {plan.images} to develop on{bounded}; test: {test}",
        f"variants: {len(plan.variants)}, for the effects of {names}"
        + (f" with each of {', '.join(plan.starts)}" if len(plan.starts) > 1 else ""),
        f"augmentation: {', '.join(ops)}",
        *([] if plan.keeps_scenes else [alike]),
    ]


def duration(seconds: float) -> str:
    """As people say it."""
    minutes = max(1, round(seconds / 60))
    if minutes < 100:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{seconds / 3600:.1f} hours"
