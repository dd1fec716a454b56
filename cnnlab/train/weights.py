"""Weights that others have trained: fetched, checked and put into a network. Only arrays are read,
so no file can bring code with it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import h5py
import keras
import numpy as np

from cnnlab.errors import UserError
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.network import Weights, network, put
from cnnlab.recipe.recipe import Recipe

NO_NETWORK = (
    "where there is no network, fetch a weights file elsewhere and give its path as "
    "backbone.weights and its digest as backbone.sha256"
)


def backbone(
    recipe: Recipe, shape: tuple[int, ...], weights: str, sha256: str | None
) -> keras.Model:
    """The body of a network, at weights that others have trained.

    `recipe`: of that network. `shape`: of the study's images. `weights`: "imagenet", or path or URL
    of a weights file with the digest `sha256`. Raises UserError where they cannot be had or do not
    fit.
    """
    body, module = network(recipe, shape, 2).body, NETS[recipe.net]
    if weights == "imagenet":
        origin, arrays = "imagenet", _imagenet(module, recipe.net_options, shape)
    else:
        origin, arrays = weights, read(_file(weights, sha256))
    arrays = {module.layer_name(name): values for name, values in arrays.items()}
    _check(body, arrays, origin)
    put(body, arrays)
    return body


def read(path: Path) -> dict[str, list[np.ndarray]]:
    """Layer name -> arrays, from a Keras weights file: `.weights.h5`, `.h5` of
    older versions, or the weights in a `.keras` archive. Raises UserError where it is none."""
    weights: dict[str, list[np.ndarray]] = {}
    try:
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content), "r") as file:
            for name in file.attrs.get("layer_names", []):  # older versions
                layer = file[_text(name)]
                names = map(_text, layer.attrs["weight_names"])
                weights[_text(name)] = [layer[each][()] for each in names]

            def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if name.endswith("vars") and "name" in item.attrs and len(item):
                    numbers = sorted(item, key=int)
                    layer = _text(item.attrs["name"])
                    weights[layer] = [item[number][()] for number in numbers]

            file.visititems(note)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a Keras weights file ({error})") from None
    if not weights:
        raise UserError(f"{path}: not a Keras weights file: it names no layer with weights")
    return weights


def _check(net: keras.Model, arrays: Mapping[str, list[np.ndarray]], origin: str) -> None:
    for layer in net.layers:
        wanted = [tuple(v.shape) for v in layer.weights]
        shapes = [a.shape for a in arrays.get(layer.name, [])]
        if wanted != shapes:
            content = f"shapes {_shapes(shapes)}" if shapes else "no such layer"
            raise UserError(
                f"{origin}: does not fit: layer {layer.name} of the network has weights of shapes "
                f"{_shapes(wanted)}, the file has {content}; backbone.model must name the network, "
                "and a cut within what the file holds"
            )


def _file(weights: str, sha256: str) -> Path:
    """The weights file, with the digest that is asked of it."""
    path = Path(weights)
    if "://" in weights:
        try:
            path = Path(keras.utils.get_file(origin=weights, file_hash=sha256))
        except Exception as error:  # Keras raises bare ones
            raise UserError(f"{weights}: could not be fetched ({error}); {NO_NETWORK}") from None
    if not path.is_file():
        raise UserError(f"params.yaml: backbone.weights = {weights!r}: no such file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise UserError(f"{path}: sha256 is {digest}; params.yaml: backbone.sha256 = {sha256}")
    return path


def _imagenet(module: ModuleType, options, shape: tuple[int, ...]) -> Weights:
    try:
        return module.imagenet(options, shape)
    except UserError:
        raise
    except Exception as error:  # Keras raises bare ones
        raise UserError(
            f"ImageNet weights of {options['name']} could not be fetched ({error}); {NO_NETWORK}"
        ) from None


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes) or "none"


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
