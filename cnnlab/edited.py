"""The text of a params.yaml: its content, and with other content, where all that stays is written
as it was.

DVC writes the whole file anew for `dvc exp run -S`: lists with a line an entry, and null as
nothing. `restored` takes that back.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node

COLUMN = 25  # where comments stand


class _Constructor(SafeConstructor):
    """Says of a value that is not what it looks like, as the date 2024-31-12, where it stands."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (LookupError, TypeError, ValueError) as error:  # of Python's, let through
            told = f"{node.value!r} cannot be read ({error}); quote it if it is a text"
            raise ConstructorError(None, None, told, node.start_mark) from error


def content_of(text: str | bytes) -> Any:
    """What a text of YAML holds. Raises YAMLError where it is none."""
    yaml = YAML(typ="safe")
    yaml.Constructor = _Constructor
    try:
        return yaml.load(text)
    except TypeError as error:  # of a key that no dict can have, such as a list of groups
        raise YAMLError(str(error)) from error


def restored(file: Path) -> bool:
    """Where all that became of the committed file is what DVC makes of it to set some values, write
    it with these values alone changed. Whether it was."""
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{file}"], capture_output=True, check=True)
        committed, now = shown.stdout.decode(), file.read_bytes().decode()
        if now == committed:
            return False
        ending = "\r\n" if "\r\n" in committed else "\n"
        committed, content = committed.replace(ending, "\n"), content_of(now)
        if as_dvc_writes(committed, content) != now:
            return False
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError, YAMLError, AttributeError):
        return False  # no Git, no such file in it, no params
    file.write_bytes(edited(committed, content).replace("\n", ending).encode())
    return True


def edited(text: str, content: Mapping[str, Any]) -> str:
    """`text` with other content. Lines whose values stay are kept, and all comments."""
    group = _yaml().load(text)
    _change(group, content)
    return _written(group)


def as_dvc_writes(text: str, content: Mapping[str, Any]) -> str:
    """`text` as DVC writes it with other content (`dvc.utils.hydra.apply_overrides`)."""
    yaml = YAML()
    yaml.default_flow_style = False
    group = yaml.load(text)
    _replace(group, content)
    out = io.StringIO()
    yaml.dump(group, out)
    return out.getvalue()


def dump(group: Mapping[str, Any], stream: TextIO) -> None:
    """Write a group as params.yaml is written: lines are not broken, and null is said."""
    _yaml().dump(group, stream)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    null = "tag:yaml.org,2002:null"
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar(null, "null"))
    return yaml


def _written(group: CommentedMap) -> str:
    out = io.StringIO()
    dump(group, out)
    return out.getvalue()


def _replace(group: CommentedMap, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        if isinstance(group.get(key), dict) and isinstance(value, dict):
            _replace(group[key], value)
        else:
            group[key] = value
    for key in group.keys() - content.keys():
        del group[key]


def _change(group: CommentedMap, content: Mapping[str, Any]) -> None:
    for key in group.keys() - content.keys():
        del group[key]
    for key, value in content.items():
        if isinstance(group.get(key), dict) and isinstance(value, dict):
            _change(group[key], value)
        elif key not in group:
            group.insert(0, key, _in_line(value))  # the last one has the blank line after its group
        elif group[key] != value:
            group[key] = _in_line(value)
            _align(group, key)


def _in_line(value: Any) -> Any:
    """A list or group that is written in one line."""
    if not isinstance(value, list | dict):
        return value
    made = CommentedSeq(value) if isinstance(value, list) else CommentedMap(value)
    made.fa.set_flow_style()
    return made


def _align(group: CommentedMap, key: str) -> None:
    """Put the comment of a value where those of all others are, or two spaces behind a long one."""
    token = (group.ca.items.get(key) or [None] * 3)[2]
    if token is not None:
        alone = _written(CommentedMap({key: group[key]}))
        width = group.lc.col + len(alone.rstrip("\n")) + 2
        token.start_mark.column = max(COLUMN, width)
