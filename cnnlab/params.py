"""params.yaml, read strictly: the only module, besides the stages, that knows the file.

It puts together the sections that their owners define; what they say of each other is checked by
`cnnlab.consistency`. What a study does not write is taken from defaults.yaml, below the sections
that it writes: DVC reads those itself, and knows no defaults.
`load("seed", "train", "variants.train")` checks the whole file and hands out what was asked for;
what a stage asks for is what dvc.yaml must list for it.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from cnnlab import consistency, edited
from cnnlab.compare.designs import RECOMMENDED
from cnnlab.compare.options import Compare, Decide, Design, Final
from cnnlab.data.options import KINDS, Data, Folds
from cnnlab.errors import UserError, run_command
from cnnlab.plugins import Options, one_of
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.options import Backbone, Sizes, Train
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.recipe.variants import Sections
from cnnlab.run.options import Execution
from cnnlab.tasks import TASKS

FILE = Path("params.yaml")
DEFAULTS = Path(__file__).with_name("defaults.yaml")
# Groups in which only what a study names is there -> which group holds the defaults of that.
NAMED = {"model": "networks", "backbone.model": "networks", "techniques.augment": "techniques"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


class Variants(Options):
    """Variants by where their weights come from, which their techniques say: one group is a foreach
    stage of dvc.yaml each."""

    train: dict[Name, list[str]]  # from random weights
    transfer: dict[Name, list[str]]  # from the backbone

    @property
    def techniques(self) -> set[str]:
        """Those that some variant has."""
        return {technique for on in self.every.values() for technique in on}

    @property
    def every(self) -> dict[str, list[str]]:
        """All variants: name -> techniques."""
        return {**self.train, **self.transfer}


class Visualize(Options):
    variants: list[str] = Field(min_length=1, max_length=6)
    images: int = Field(ge=1, le=8)

    def among(self, names: Iterable[str], recommended: str) -> list[str]:
        """Those of the variants that are among these, each once; the first of these where none is.
        `recommended`: the name of the one that is meant by that."""
        names = list(names)
        meant = {recommended if name == RECOMMENDED else name: None for name in self.variants}
        return [name for name in meant if name in names] or names[:1]


class Params(Options):
    """The whole file."""

    study: Name
    code: str  # that DVC reads
    task: one_of("task", TASKS.names())
    seed: int = Field(ge=0, lt=2**31)
    data: Data
    folds: Folds
    model: NETS.options("Model")
    train: Train
    techniques: TECHNIQUES.options("Techniques")
    backbone: Backbone
    design: Design
    variants: Variants
    sizes: Sizes
    execution: Execution
    compare: Compare
    decide: Decide
    visualize: Visualize
    final: Final

    @property
    def sections(self) -> Sections:
        """Those that recipes are made from."""
        return Sections(self.model, self.train, self.techniques, self.backbone, self.task)


def variant(name: str, path: Path = FILE) -> list[str]:
    """The techniques of a variant, from the group that it is in. Raises UserError as `load`
    does."""
    every = read(path).variants.every
    if name not in every:
        raise UserError(f"{path}: no variant {name}; allowed: {_join(every)}")
    return every[name]


def load(*keys: str, path: Path = FILE) -> Any:
    """Check the whole file and return the values of `keys` in order (one key: the value itself).

    A key may be dotted, such as "variants.train". Raises UserError that names each bad key, its
    value and what is allowed.
    """
    params = read(path)
    values = tuple(_at(params, key) for key in keys)
    return values[0] if len(keys) == 1 else values


def read(path: Path = FILE, variants_to_come: bool = False) -> Params:
    """The checked file. `variants_to_come`: its variants are not written yet, so that what depends
    on them is not checked. Raises UserError as `load` does."""
    return of_text(_text(path), path, variants_to_come)


def of_text(text: str, path: Path = FILE, variants_to_come: bool = False) -> Params:
    """The params that a text is. `path`: what messages call it. Raises UserError as `read`
    does."""
    kinds = [consistency.LAW] if variants_to_come else [consistency.LAW, consistency.LATER]
    whole, said = _parts(text, path, kinds)
    if said:
        raise UserError("\n".join(f"{path}: {line}" for line in said))
    return whole


def read_parts(kinds: Iterable[str], path: Path = FILE) -> tuple[Params, list[str]]:
    """The file, without what is not valid in it, and all that is wrong, a line each; `kinds`: of
    rules that it should keep (`cnnlab.consistency`). Raises UserError where it is no YAML."""
    return _parts(_text(path), path, kinds)


def with_defaults(content: Any, defaults: Mapping[str, Any] | None = None) -> Any:
    """The content of a params.yaml, with the defaults of all that its sections do not hold; of
    what is no mapping, that itself. `defaults`: the content of another defaults.yaml."""
    if not isinstance(content, dict):
        return content
    known, tasks = defaults or _defaults(), TASKS.names()
    task = content.get("task") if content.get("task") in tasks else tasks[0]  # to say no more
    known = _merged(known["tasks"].get(task, {}), known, {})
    named = {key: known[group] for key, group in NAMED.items()}
    return _merged(content, {k: v for k, v in known.items() if k in content}, named)


@functools.cache
def _defaults() -> dict[str, Any]:
    return edited.content_of(DEFAULTS.read_text(encoding="utf-8"))


def _merged(written: Any, default: Any, named: Mapping[str, Mapping], at: str = "") -> Any:
    """What is written at a dotted key, and where that and its default are groups, the default of
    each key that it does not hold. `named`: dotted key of a group that names what it holds -> the
    defaults of all that it may name; where it names nothing, it holds what its default names."""
    if at in named and isinstance(written, dict):
        written = written or default or {}
        default = {name: named[at].get(name) for name in written}
    if not isinstance(written, dict) or not isinstance(default, dict):
        return written
    return {
        key: _merged(value, default.get(key), named, f"{at}.{key}" if at else str(key))
        for key, value in {**default, **written}.items()
    }


def is_whole(*groups: Options | None) -> bool:
    """Whether nothing is missing in groups that `read_parts` gave."""

    def needed(group: Options) -> set[str]:
        return {name for name, field in type(group).model_fields.items() if field.is_required()}

    return all(group is not None and group.model_fields_set >= needed(group) for group in groups)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; a study is a folder with a params.yaml"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None


def _parts(text: str, path: Path, kinds: Iterable[str]) -> tuple[Params, list[str]]:
    """See `read_parts`."""
    try:
        content = edited.content_of(text)
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    content = with_defaults(content)
    said, bad = [], []
    try:
        whole = Params.model_validate(content)
    except ValidationError as error:
        said, bad = [_explain(e) for e in error.errors()], [e["loc"] for e in error.errors()]
        whole = Params.model_construct() if () in bad else _valid_part(Params, content, bad)

    def valid(key: str) -> bool:
        """Whether nothing above, at or below the key is wrong."""
        of_key = tuple(key.split("."))
        return not any(of_key[: len(loc)] == loc[: len(of_key)] for loc in bad)

    return whole, said + consistency.problems(whole, valid, kinds)


def _valid_part(kind: type[Options], content: dict, bad: list[tuple]) -> Any:
    """Options without what is not valid. `bad`: the places of that, as pydantic gives them."""
    fields, values = kind.model_fields, {}
    sound = [name for name in fields if name in content and name not in {loc[0] for loc in bad}]
    if sound:
        group = create_model("Sound", __base__=Options, **{n: _field(fields[n]) for n in sound})
        values = dict(group.model_validate({name: content[name] for name in sound}))
    for name in fields.keys() - values.keys():
        inner, below = fields[name].annotation, [loc[1:] for loc in bad if loc[0] == name]
        if () not in below and isinstance(content.get(name), dict) and _is_group(inner):
            values[name] = _valid_part(inner, content[name], below)
    return kind.model_construct(**values)


def _field(field: FieldInfo) -> tuple[Any, FieldInfo]:
    return field.annotation, field


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Options)


def _at(params: Params, key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        children = dict(value) if isinstance(value, dict | Options) else {}
        if part not in children:
            raise UserError(f"{FILE}: no {key}; allowed: {_join(children)}")
        value = children[part]
    return value


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _explain(error: dict) -> str:
    """One line: key = value: what is allowed."""
    loc = error["loc"]
    if loc[:2] == ("data", "classes") and loc[2:3] and loc[2] in KINDS:
        loc = (*loc[:2], *loc[3:])
    key = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {_join(_siblings(error['loc']))}"
    if error["type"] == "missing":
        if len(loc) == 1 and loc[0] in _defaults():
            return f"{key}: missing; write `{key}: {{}}` for the defaults, as DVC reads it here"
        return f"{key}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} = {error['input']!r}: {message}" if key else message


def _siblings(loc: tuple) -> list[str]:
    """The keys that the group which holds `loc` may have."""
    group: Any = Params
    for part in loc[:-1]:
        group = group.model_fields[part].annotation
        if isinstance(group, types.UnionType) or typing.get_origin(group) is typing.Union:
            group = next(a for a in typing.get_args(group) if a is not type(None))
    return sorted(group.model_fields)


def _shown(values: Mapping[str, Any], written: Any) -> CommentedMap:
    """A group to print, with a remark at each value that is written."""
    shown = CommentedMap()
    for key, value in values.items():
        here = isinstance(written, dict) and key in written
        if isinstance(value, dict) and value:
            shown[key] = _shown(value, written[key] if here else None)
            continue
        shown[key] = CommentedSeq(value) if isinstance(value, list) else value
        if isinstance(value, list):
            shown[key].fa.set_flow_style()
        if here:
            shown.yaml_add_eol_comment("written", key, column=REMARKS)
    return shown


REMARKS = 40  # column


def main() -> None:
    """Print all params of the study in this folder, as they are understood, and which of them its
    file says. Raises UserError as `read` does."""
    text = _text(FILE)
    values = of_text(text).model_dump(exclude_unset=True)
    print(f"# written: in {FILE}; the rest, and what each key means: cnnlab/{DEFAULTS.name}")
    edited.dump(_shown(values, edited.content_of(text)), sys.stdout)


if __name__ == "__main__":
    run_command(main)
