"""Registries: a folder of modules is the list of what may be named in params.yaml.

Adding a technique, data source, network or backend is adding a file; no list of names exists to be
kept in step. Each module documents itself, declares its hyperparameters or settings as a class
`Options`, and defines the functions that its package's docstring asks for.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, create_model

from cnnlab.errors import UserError


class Options(BaseModel):
    """Base of every group of params: unknown keys and wrong types are refused, values are fixed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def one_of(what: str, names: Iterable[str]) -> Any:
    """The type of a name from a list; any other is refused with those there are."""
    known = list(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown {what}; allowed: {', '.join(known)}")
        return name

    return Annotated[str, AfterValidator(check)]


class Registry:
    """The plug-in modules of one package, by name, imported when first asked for."""

    def __init__(self, package: str, needs: str | None = None):
        """`package`: dotted name. `needs`: list only modules that define this attribute."""
        self.package, self.needs = package, needs

    @functools.cached_property
    def _modules(self) -> dict[str, ModuleType]:
        folder = Path(importlib.import_module(self.package).__file__).parent
        modules = {
            info.name: importlib.import_module(f"{self.package}.{info.name}")
            for info in pkgutil.iter_modules([str(folder)])
        }
        return {n: m for n, m in modules.items() if self.needs is None or hasattr(m, self.needs)}

    def names(self) -> list[str]:
        """Sorted names that params may use; those that begin with "_" are for code alone."""
        return sorted(name for name in self._modules if not name.startswith("_"))

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> ModuleType:
        """The module called `name`; UserError with the names there are, when there is none."""
        if name not in self._modules:
            allowed = ", ".join(self.names())
            raise UserError(f"{name!r} is not in {self.package}; allowed: {allowed}")
        return self._modules[name]

    def options(self, title: str) -> type[Options]:
        """A params group with one optional key a plug-in, each holding that plug-in's Options."""
        fields = {n: (self[n].Options | None, None) for n in self.names()}
        return create_model(title, __base__=Options, **fields)


def chosen(options: Options) -> dict[str, Options]:
    """What a group made by `Registry.options` holds: name -> Options, in the registry's order."""
    return {name: value for name, value in options if value is not None}
