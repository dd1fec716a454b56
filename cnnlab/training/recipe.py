"""A recipe: all that says how one net is built and trained, as plain data.

A technique turns a recipe into a recipe. Recipes compare and serialise, so that a trial's
fingerprint can cover them whole. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cnnlab.errors import UserError
from cnnlab.plugins import Registry, chosen

MODELS = Registry("cnnlab.models")
TECHNIQUES = Registry("cnnlab.techniques")

Place = Literal["conv", "block", "branch", "dense"]
Target = Literal["kernel", "bias", "activity"]


@dataclass(frozen=True)
class Insert:
    """A Keras layer put into the net: after each `conv` (before its activation), after each conv
    `block`, at the end of each residual `branch` (before it is added), or after each hidden `dense`
    layer's activation. A net's module says which of these places it has."""

    at: Place
    layer: str  # class name in keras.layers
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Penalty:
    """A loss term on a layer's kernel, bias or activity: l1 * sum|v| + l2 * sum v**2."""

    target: Target
    l1: float
    l2: float


@dataclass(frozen=True)
class Schedule:
    """The learning rate over training, as a factor of the recipe's: it rises in a straight line
    from `start` to 1 in the share `warmup` of the steps, then falls along half a cosine to `floor`;
    `cycles` times over (more than one: without warm-up)."""

    floor: float
    warmup: float = 0.0
    start: float = 1.0
    cycles: int = 1


@dataclass(frozen=True)
class Stopping:
    """Early stopping: a `share` of the training images, by groups and stratified, is held back;
    training ends when their negative log likelihood has not fallen for `patience` epochs, with the
    weights that had the lowest."""

    share: float
    patience: int


@dataclass(frozen=True)
class Phase:
    """A stretch of a transferred net's training: what moves in it, how fast, and for how long.

    The head always learns; of the backbone the upper share `learning` does (0: none of it, 1: all),
    counted in convs from the top. What does not learn stays as it is to the bit, batch-norm
    statistics included. `batchnorm`: whether the batch-norm layers of the part that learns take
    part in it or keep scale, shift and statistics.
    """

    epochs: int
    learning_rate: float  # of the head, and of the backbone's top
    learning: float = 0.0  # share of the backbone
    batchnorm: Literal["fixed", "learning"] = "fixed"
    lowest: float = 1.0  # learning rate at the backbone's bottom / at its top; geometric between


@dataclass(frozen=True)
class Recipe:
    """How one net is built and trained."""

    net: str  # a module of cnnlab.models
    net_options: Mapping[str, Any]
    epochs: int
    batch_size: int
    optimizer: str  # a name that keras.optimizers.get knows
    learning_rate: float
    fill_mode: str  # what augmentation draws where an image was moved away
    evaluate_every: int  # epochs
    threads: int  # TensorFlow's; they round differently
    precision: str  # a name that keras.dtype_policies.get knows
    balanced: bool  # losses of a class weighted by 1 / its share of the training images
    inserts: tuple[Insert, ...] = ()
    penalties: tuple[Penalty, ...] = ()
    ops: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # augmentation: (technique, strength)
    decay: float = 0.0  # decoupled weight decay, times the learning rate, each step
    max_norm: float | None = None  # of the weights into a unit or filter
    label_smoothing: float = 0.0  # share of the target spread over all classes
    schedule: Schedule | None = None  # None: the learning rate stays
    stopping: Stopping | None = None  # None: all epochs are trained
    ema: float | None = None  # momentum of the average of the weights over steps that is judged
    snapshots: bool = False  # judged by the mean probabilities of the nets at the cycles' ends
    techniques: tuple[str, ...] = ()  # whose code took part, for the fingerprint
    phases: tuple[Phase, ...] = ()  # of transfer, from a backbone's weights; (): none, from random
    features: int | None = None  # phases of the head alone learn from stored features of the clean
    # image and of so many augmented draws of it; None: every image passes the backbone each time

    def inserting(self, at: Place, layer: str, **config: Any) -> Recipe:
        """This recipe with one more layer at each place of the kind."""
        return replace(self, inserts=(*self.inserts, Insert(at, layer, config)))

    def penalising(self, target: Target, l1: float = 0.0, l2: float = 0.0) -> Recipe:
        """This recipe with one more loss term; terms on one target add up."""
        if l1 == l2 == 0:
            return self
        return replace(self, penalties=(*self.penalties, Penalty(target, l1, l2)))

    def augmenting(self, op: str, **strength: Any) -> Recipe:
        """This recipe with one more augmentation op, defined by the technique file `op`."""
        return replace(self, ops=(*self.ops, (op, strength)))

    def setting(self, **values: Any) -> Recipe:
        """This recipe with fields set that only one technique may set. Raises UserError where they
        are set already."""
        for name in values:
            if getattr(self, name) != getattr(type(self), name):
                raise UserError(f"{name} is set already, by one of {', '.join(self.techniques)}")
        return replace(self, **values)

    def penalty(self, target: Target) -> tuple[float, float]:
        """Total (l1, l2) on a target."""
        terms = [p for p in self.penalties if p.target == target]
        return sum(p.l1 for p in terms), sum(p.l2 for p in terms)

    def json(self) -> str:
        """Canonical text: equal recipes give equal text. Fields at their defaults are left out, so
        that a field more changes no recipe that does not use it."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        parts = dataclasses.asdict(self).items()
        return json.dumps({k: v for k, v in parts if v != defaults[k]}, sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.json())


def base(model: Any, train: Any) -> Recipe:
    """The recipe without techniques, from the params sections `model` and `train`."""
    ((net, options),) = chosen(model).items()
    return Recipe(
        net=net,
        net_options=options.model_dump(),
        epochs=train.epochs,
        batch_size=train.batch_size,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        fill_mode=train.fill_mode,
        evaluate_every=train.evaluate_every,
        threads=train.threads,
        precision=train.precision,
        balanced=train.balanced,
    )


def variant(model: Any, train: Any, names: Iterable[str], techniques: Any) -> Recipe:
    """The recipe of a variant, from the params sections: `base` with the variant's own techniques
    and those of `train.techniques`, which all variants have. Raises UserError as `apply` does."""
    return apply(base(model, train), [*train.techniques, *names], techniques)


def apply(recipe: Recipe, names: Iterable[str], techniques: Any) -> Recipe:
    """`recipe` with the named techniques applied, in the order of their names.

    The order given does not matter, so that two ways of writing one set are one recipe.
    `techniques`: the params section that holds their strengths. Raises UserError for a name that
    has no strength there, for one that would do nothing in this net, and for two that contradict
    each other.
    """
    strengths = chosen(techniques)
    places = MODELS[recipe.net].places(recipe.net_options)
    for name in sorted(set(names)):
        if name not in strengths:
            allowed = ", ".join(sorted(strengths))
            raise UserError(f"technique {name!r} has no entry in techniques; allowed: {allowed}")
        try:
            changed = TECHNIQUES[name].apply(recipe, strengths[name])
        except UserError as error:
            raise UserError(f"technique {name}: {error}") from None
        for insert in changed.inserts[len(recipe.inserts) :]:
            if insert.at not in places:
                raise UserError(
                    f"technique {name} would do nothing: {recipe.net} has no place {insert.at!r} "
                    f"for it; it has: {', '.join(places)}"
                )
        if changed != recipe:  # a coefficient of 0 leaves it what it is: one recipe, one result
            recipe = replace(changed, techniques=(*changed.techniques, name))
    return recipe
