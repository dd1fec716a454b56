"""The text of a params.yaml with values changed and all its comments kept."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

COLUMN = 25  # where comments stand


class Group(str):
    """A group as YAML text with its comments, its own key left out, that takes the place of what
    there was."""


def edited(text: str, values: Mapping[str, Any]) -> str:
    """`text` with other values: key -> value, list, Group, or what changes in the group of the key.

    A key that is not there yet goes to the end of its group.
    """
    yaml = _yaml()
    content = yaml.load(text)
    _change(content, values)
    out = io.StringIO()
    yaml.dump(content, out)
    return out.getvalue()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    null = "tag:yaml.org,2002:null"
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar(null, "null"))
    return yaml


def _change(group: CommentedMap, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Group):
            _replace(group, key, value)
        elif isinstance(value, Mapping):
            _change(group[key], value)
        elif isinstance(value, list):
            flow = CommentedSeq(value)
            flow.fa.set_flow_style()
            group[key] = flow
        else:
            group[key] = value
        if not isinstance(value, Mapping | str) or type(value) is str:
            _align(group, key)


def _align(group: CommentedMap, key: str) -> None:
    """Put the comment of a value where those of all others are, or two spaces behind a long one."""
    token = (group.ca.items.get(key) or [None] * 3)[2]
    if token is not None:
        alone = io.StringIO()
        _yaml().dump(CommentedMap({key: group[key]}), alone)
        width = group.lc.col + len(alone.getvalue().rstrip("\n")) + 2
        token.start_mark.column = max(COLUMN, width)


def _replace(group: CommentedMap, key: str, text: Group) -> None:
    """Put another group to a key, whose own comment stays, as does a blank line after it."""
    blank = _trailing(group[key]) if isinstance(group.get(key), CommentedMap) else ""
    comment = "\n"
    tokens = group.ca.items.get(key) or [None, None, None, None]
    token = tokens[2] or (tokens[3] or [None])[0]
    if token is not None:
        comment = f"{' ' * max(1, token.start_mark.column - len(key) - 1)}{token.value}"
    mini = _yaml().load(f"{key}:{comment.rstrip()}\n{text.rstrip()}\n{blank}")
    group[key] = mini[key]
    group.ca.items.pop(key, None)
    if key in mini.ca.items:
        group.ca.items[key] = mini.ca.items[key]


def _trailing(group: Any) -> str:
    """A newline for each blank line after the last entry of a group."""
    while isinstance(group, CommentedMap) and group:
        last = list(group)[-1]
        tokens = group.ca.items.get(last)
        group = group[last]
        if tokens and tokens[2] is not None and not isinstance(group, CommentedMap):
            return "\n" * (len(tokens[2].value) - len(tokens[2].value.rstrip("\n")) - 1)
    ends = getattr(group, "ca", None)
    if ends is not None and ends.end:
        return "\n" * sum(token.value.count("\n") for token in ends.end)
    return "\n"
