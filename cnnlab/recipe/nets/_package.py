"""Weights that come in a Python package: which file of which package."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A file of tensors in a package of the package index, pinned to the bit."""

    name: str  # of the distribution
    version: str
    file: str  # path below the folder that packages are installed in
    sha256: str  # of the file
    licence: str  # of the weights, by its SPDX identifier

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"
