"""From the params of a variant to its recipe.

Whether a technique does anything is decided once all of them have been applied: `composed` gives
the recipe without the parts that have no effect in it, and a technique without which that is the
same recipe is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.options import Backbone, Train
from cnnlab.recipe.recipe import Insert, Recipe
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.tasks import TASKS

CLASSIFICATION = "classification"  # by which backbones learn


@dataclass(frozen=True)
class Sections:
    """The sections of params that recipes are made from."""

    model: Any  # one network and its options
    train: Train
    techniques: Any  # name -> hyperparameters
    backbone: Backbone
    task: str = CLASSIFICATION  # a module of cnnlab.tasks

    def recipe(self, names: Iterable[str]) -> Recipe:
        """The recipe of a variant with these techniques, besides those of `train.techniques`.

        Raises UserError for a technique without hyperparameters, for two that contradict each
        other, for two starts, for a technique of the variant's own that would do nothing, and for
        one that has too few epochs.
        """
        names = set(names)
        every = {*names, *self.train.techniques}
        recipe, lost = self._composed(every)
        for name in sorted(names):
            if self._composed(every - {name})[0].plain == recipe.plain:
                why = "; ".join(lost) or "with these hyperparameters it changes nothing"
                raise UserError(f"technique {name} would do nothing: {why}")
        _refuse_few_cycles(recipe)
        return recipe

    def notes(self, names: Iterable[str]) -> list[str]:
        """Which parts of a variant's techniques have less effect than where all weights learn from
        images, a line each."""
        recipe, lost = self._composed({*names, *self.train.techniques})
        return [*lost, *_partly(recipe)]

    def pretraining(self) -> Recipe:
        """The recipe by which the study's own backbone is trained, which is by classes; those of
        `train.techniques` that do not serve that are left out. Raises UserError as `recipe` does,
        for `backbone.techniques`."""
        base = replace(self._base(self._backbone_model), epochs=self.backbone.epochs)
        alone = self._apply(base, self.backbone.techniques)
        _refuse_others(alone, CLASSIFICATION)
        _, lost = _effective(alone, (), CLASSIFICATION)
        if lost:
            raise UserError(f"would do nothing: {'; '.join(lost)}")
        shared = {name for name in self.train.techniques if serves(name, CLASSIFICATION)}
        every = {*shared, *self.backbone.techniques}
        recipe = _effective(self._apply(base, every), (), CLASSIFICATION)[0]
        _refuse_few_cycles(recipe)
        return recipe

    def everywhere(self) -> Recipe:
        """The recipe of `train.techniques` alone, in the study's network from random weights.
        Raises UserError as `recipe` does."""
        plain = replace(self, train=self.train.model_copy(update={"techniques": []}))
        return plain.recipe(self.train.techniques)

    def alone(self, name: str) -> Recipe:
        """The study's network with one technique and no other: what an augmentation does is asked
        of it."""
        return self._apply(self._base(self.model), {name})

    @property
    def _backbone_model(self) -> Any:
        return self.backbone.model or self.model

    def _base(self, model: Any) -> Recipe:
        ((net, options),) = chosen(model).items()
        values = self.train.model_dump(exclude={"techniques", "members"})
        return Recipe(net=net, net_options=options.model_dump(), **values)

    def _composed(self, names: Iterable[str]) -> tuple[Recipe, list[str]]:
        """The recipe of a set of techniques, and what was left out of it, since it had no
        effect."""
        begins = sorted(set(names) & set(starts()))
        if len(begins) > 1:
            raise UserError(f"{' and '.join(begins)}: a variant has one start at most")
        base = self._base(self._backbone_model if begins else self.model)
        recipe = self._apply(base, names)
        _refuse_others(recipe, self.task)
        if not recipe.phases:
            return _effective(recipe, (), self.task)
        learnt = [i for i in self.pretraining().inserts if i.at != "dense" and not i.random]
        if self.backbone.features is not None and any(p.head_only for p in recipe.phases):
            recipe = replace(recipe, features=self.backbone.features)
        return _effective(recipe, learnt, self.task)

    def _apply(self, recipe: Recipe, names: Iterable[str]) -> Recipe:
        """`recipe` with techniques applied, in the order of their names, so that two ways of
        writing one set are one recipe; those that are `LAST` after all others."""
        hyperparameters = chosen(self.techniques)
        for name in sorted(set(names), key=_turn):
            if name not in hyperparameters:
                allowed = ", ".join(sorted(hyperparameters))
                raise UserError(
                    f"technique {name!r} has no entry in techniques; allowed: {allowed}"
                )
            try:
                changed = TECHNIQUES[name].apply(recipe, hyperparameters[name])
            except UserError as error:
                raise UserError(f"technique {name}: {error}") from None
            if changed != recipe:
                changed = replace(changed, techniques=(*changed.techniques, name))
            recipe = changed
        if recipe.stopping and recipe.snapshots:
            why = "training that ends early lacks the cycles whose networks vote"
            raise UserError(f"early_stopping and snapshot: a variant has one of them: {why}")
        return recipe


def _turn(name: str) -> tuple[bool, str]:
    """What techniques are applied in the order of."""
    return name in TECHNIQUES and getattr(TECHNIQUES[name], "LAST", False), name


def serves(name: str, task: str) -> bool:
    """Whether a technique serves a task; one that is not known is for others to refuse."""
    return name not in TECHNIQUES or task in getattr(TECHNIQUES[name], "SERVES", (task,))


def _refuse_others(recipe: Recipe, task: str) -> None:
    """Raise UserError where a technique of the recipe, or an op of its policy, does not serve the
    task."""
    for name in recipe.techniques:
        if not serves(name, task):
            only = ", ".join(TECHNIQUES[name].SERVES)
            raise UserError(f"technique {name} does not serve task: {task}, only {only}")


def _refuse_few_cycles(recipe: Recipe) -> None:
    """Raise UserError where not each of a snapshot's cycles has an epoch, in every part of
    training: each part has the whole schedule."""
    if not recipe.snapshots:
        return
    parts = _parts(recipe)
    cycles, epochs = recipe.schedule.cycles, min(parts)
    if epochs < cycles:
        where = f" in the shortest of the {len(parts)} parts of training" if len(parts) > 1 else ""
        need = f"its {cycles} cycles need {cycles} epochs or more"
        are = "is" if epochs == 1 else "are"
        raise UserError(f"technique snapshot: {need}, and there {are} {epochs}{where}")


def _parts(recipe: Recipe) -> list[int]:
    """Epochs of each part of training with a schedule of its own: each phase, or the stretches
    that a technique makes of one (`cnnlab.train.resizing`)."""
    phases = [(p.epochs, p.head_only) for p in recipe.phases] or [(recipe.epochs, False)]
    split = [op for op in recipe.ops if hasattr(TECHNIQUES[op[0]], "resolutions")]
    if not split:
        return [epochs for epochs, _ in phases]
    ((name, options),) = split
    parts: list[int] = []
    for epochs, head_only in phases:
        made = TECHNIQUES[name].resolutions(epochs, **options)
        parts += [epochs] if head_only else [stretch for stretch, _ in made]
    return parts


def _effective(recipe: Recipe, learnt: Sequence[Insert], task: str) -> tuple[Recipe, list[str]]:
    """`recipe` without the parts that have no effect, and what those are.

    `learnt`: layers of the backbone that it has learnt with, which stay in it.
    """
    lost: dict[str, str] = {}
    places = TASKS[task].places(NETS[recipe.net].places(recipe.net_options))
    learning = any(not p.head_only and p.batchnorm == "learning" for p in recipe.phases)
    known = {(i.at, i.layer) for i in learnt}
    inserts = []
    for insert in recipe.inserts:
        in_backbone = bool(recipe.phases) and insert.at != "dense"
        if insert.at not in places:
            lost[insert.layer] = (
                f"{recipe.net} has no place {insert.at!r} for it; it has: {', '.join(places)}"
            )
        elif in_backbone and (insert.at, insert.layer) in known:
            lost[insert.layer] = "the backbone has learnt with it already"
        elif in_backbone and insert.random and recipe.frozen and recipe.features is not None:
            lost[insert.layer] = "training reads stored features of the frozen backbone"
        elif in_backbone and not insert.random and recipe.frozen:
            lost[insert.layer] = "the frozen backbone has not learnt with it"
        elif in_backbone and insert.layer == "BatchNormalization" and not learning:
            lost[insert.layer] = "with batchnorm: fixed it keeps the statistics that it begins with"
        else:
            inserts.append(insert)
    ops = []
    for op, options in recipe.ops:
        if recipe.frozen and recipe.features is not None and _unseen(op, recipe.features):
            lost[op] = (
                f"training reads stored features of {recipe.features} augmented draws an image "
                "(backbone.features; null: none are stored)"
            )
        elif recipe.batch_size == 1 and hasattr(TECHNIQUES[op], "mix"):
            lost[op] = "in a batch of one image (train.batch_size = 1) there is no other to mix in"
        else:
            ops.append((op, options))
    made = replace(recipe, inserts=(*learnt, *inserts), ops=tuple(ops))
    return made, [f"{part}: {why}" for part, why in lost.items()]


def _partly(recipe: Recipe) -> list[str]:
    """Parts of a recipe that act for some of its weights or for some of its epochs."""
    notes = []
    if recipe.frozen:
        weights = {"penalties": recipe.penalties, "max_norm": recipe.max_norm}
        weights |= {"decay": recipe.decay}
        acts = "on the head alone, since the backbone's weights do not move"
        notes += [f"{part}: {acts}" for part, used in weights.items() if used]
    elif recipe.features is not None:
        random = [i.layer for i in recipe.inserts if i.random and i.at != "dense"]
        parts = [op for op, _ in recipe.ops if _unseen(op, recipe.features)] + random
        notes += [f"{part}: not while the head alone learns" for part in dict.fromkeys(parts)]
    return notes


def _unseen(op: str, draws: int) -> bool:
    """Whether an augmentation does not reach features that were stored of so many draws."""
    return hasattr(TECHNIQUES[op], "mix") or not draws
