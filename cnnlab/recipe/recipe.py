"""A recipe: all that says how one network is built and trained, as plain data.

A technique turns a recipe into a recipe. Recipes compare and serialise, so that a trial's
fingerprint can cover them whole. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cnnlab.errors import UserError

Place = Literal["conv", "block", "branch", "dense", "pool"]
Target = Literal["kernel", "bias", "activity"]


@dataclass(frozen=True)
class Insert:
    """A Keras layer put into the network: after each `conv` (before its activation), after each
    conv `block`, at the end of each residual `branch` (before it is added), after each hidden
    `dense` layer's activation, or in the place of each `pool`. A network's module says which of
    these places it has."""

    at: Place
    layer: str  # class name in keras.layers, or a technique whose file defines `layers`
    config: Mapping[str, Any]

    @property
    def random(self) -> bool:
        """Whether the layer only adds noise while training: it has no weights."""
        return bool({"rate", "stddev"} & set(self.config))


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
    all times `peak`; `cycles` times over (more than one: without warm-up)."""

    floor: float
    warmup: float = 0.0
    start: float = 1.0
    cycles: int = 1
    peak: float = 1.0


@dataclass(frozen=True)
class Stopping:
    """Early stopping: a `share` of the training images, by groups and stratified, is held back;
    training ends when their negative log likelihood has not fallen for `patience` epochs, with the
    weights that had the lowest."""

    share: float
    patience: int


@dataclass(frozen=True)
class Phase:
    """A stretch of the training of a network that starts from a backbone: what moves, how fast, and
    for how long.

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

    @property
    def head_only(self) -> bool:
        """Whether nothing of the backbone moves."""
        return self.learning == 0


@dataclass(frozen=True)
class Recipe:
    """How one network is built and trained."""

    net: str  # a module of cnnlab.recipe.nets
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
    momentum: float | None = None  # of SGD, Nesterov's; None: the optimizer's own
    max_norm: float | None = None  # of the weights into a unit or filter
    clip_norm: float | None = None  # of the gradient of all weights together, at each step
    label_smoothing: float = 0.0  # share of the target spread over all classes
    loss: tuple[str, Mapping[str, Any]] | None = None  # (technique whose file defines it, options)
    gradients: tuple[str, Mapping[str, Any]] | None = None  # likewise; None: those of the loss
    schedule: Schedule | None = None  # None: the learning rate stays
    stopping: Stopping | None = None  # None: all epochs are trained
    ema: float | None = None  # momentum of the average of the weights over steps that is evaluated
    mean_from: float | None = None  # share of the steps after which the mean of the weights over
    # steps begins that is evaluated
    snapshots: bool = False  # evaluated by the mean probabilities at the ends of the cycles
    techniques: tuple[str, ...] = ()  # whose code takes part, for the fingerprint
    phases: tuple[Phase, ...] = ()  # from a backbone's weights; (): from random weights
    features: int | None = None  # phases of the head alone learn from stored features of the clean
    # image and of so many augmented draws of it; None: every image passes the backbone each time
    deterministic: bool = True  # the same again gives the same bits, on one kind of device
    stream: int = 0  # of seeds: trials of one stream share them, those of another have other ones

    @property
    def frozen(self) -> bool:
        """Whether the whole backbone stays as it is through all of training."""
        return bool(self.phases) and all(phase.head_only for phase in self.phases)

    @property
    def size(self) -> int | None:
        """Pixels of the sides that the network resizes images to; None: it takes them as they
        are."""
        return self.net_options.get("size")

    @property
    def averages(self) -> bool:
        """Whether an average of the weights over steps is evaluated, not those of the last step."""
        return self.ema is not None or self.mean_from is not None

    @property
    def plain(self) -> Recipe:
        """The recipe without the names of its techniques: what training depends on."""
        return replace(self, techniques=())

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

    def phased(self, *phases: Phase) -> Recipe:
        """This recipe from a backbone's weights, trained in phases. Raises UserError as
        `setting` does."""
        made = self.setting(phases=phases)
        epochs = sum(phase.epochs for phase in phases)
        return replace(made, epochs=epochs, learning_rate=phases[-1].learning_rate)

    def lengthened(self, images: int, steps: int) -> Recipe:
        """This recipe with as many times the epochs, in each phase, as it takes to make `steps`
        steps on so few images; evaluated as many times less often."""
        per_epoch = math.ceil(images / self.batch_size)

        def enough(epochs: int) -> int:
            return epochs * max(1, math.ceil(steps / (per_epoch * epochs)))

        phases = tuple(replace(phase, epochs=enough(phase.epochs)) for phase in self.phases)
        epochs = sum(phase.epochs for phase in phases) or enough(self.epochs)
        every = self.evaluate_every * math.ceil(epochs / self.epochs)
        return replace(self, epochs=epochs, evaluate_every=every, phases=phases)

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
