"""One look into one network: all that its figures need, as arrays, so that the model can go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.look.capture import feature_maps
from cnnlab.look.features import feature_figure, overview_figure
from cnnlab.look.figure import Picture
from cnnlab.look.gradcam import Case, cases, grad_cam_figure, telling
from cnnlab.look.kernels import kernel_figure, kernels
from cnnlab.look.peaks import Peaks, peaks, peaks_figure, reach
from cnnlab.look.sheets import Sheet, feature_sheets, kernel_sheets

if TYPE_CHECKING:
    import keras

LONGEST = 160  # bytes of a class in a file's name; with the variant's it holds 255
MOST_LAYERS = 12  # that are drawn: a deep network would fill the repository and the report


@dataclass(frozen=True)
class Probe:
    """Images that the networks have not trained on, and which of them are shown with their maps."""

    images: np.ndarray  # uint8 (n, height, width, channels)
    labels: np.ndarray  # classes, int (n,)
    classes: Sequence[str]  # names
    shown: np.ndarray  # indices, int
    whose: str  # what kind of images they are, as "held-out images"

    def label(self, image: int) -> str:
        """The class name of an image."""
        return self.classes[self.labels[image]]


@dataclass(frozen=True)
class View:
    """What one network has learned and how it answers the probe; dicts are by layer, in order."""

    maps: dict[str, np.ndarray]  # of the images shown
    peaks: dict[str, Peaks]  # over all images of the probe
    reach: dict[str, tuple[int, int, int, int]]
    kernels: dict[str, np.ndarray]  # of the layers that have maps
    before: dict[str, np.ndarray]  # the same, before training
    layer: str  # whose maps Grad-CAM is taken from
    cases: list[Case]  # none where whole images have no class
    accuracy: float  # on the probe, 0..1


def view(
    model: keras.Model, start: keras.Model, probabilities: np.ndarray | None, probe: Probe
) -> View:
    """Look into `model`.

    `start`: the same model before training, its layers named alike. `probabilities`: (n, classes),
    of `model` on the probe; None: it gives none to whole images.
    """
    maps = feature_maps(model, probe.images[probe.shown].astype(np.float32))
    trained, fresh = kernels(model), kernels(start)
    layer, examples, accuracy = "", [], float("nan")
    if probabilities is not None:
        chosen = np.concatenate(telling(probabilities, probe.labels))
        layer, examples = cases(
            model, probe.images, probe.labels, probabilities, probe.classes, chosen
        )
        accuracy = float(np.mean(probabilities.argmax(1) == probe.labels))
    return View(
        maps={name: _on_disk(values) for name, values in maps.items()},
        peaks=peaks(model, probe.images),
        reach=reach(model, probe.images.shape[1:]),
        kernels={name: trained[name] for name in maps if name in trained},
        before={name: fresh[name] for name in maps if name in trained},
        layer=layer,
        cases=examples,
        accuracy=accuracy,
    )


def _on_disk(values: np.ndarray) -> np.ndarray:
    """The array in a file without a name, which goes with it: maps of several networks and many
    layers are more than memory should hold."""
    with tempfile.TemporaryFile() as file:
        stored = np.memmap(file, values.dtype, "w+", shape=values.shape)
    stored[:] = values
    return stored


def figures(views: dict[str, View], probe: Probe) -> Iterator[tuple[str, list[str], Picture]]:
    """All figures of some variants: (path without suffix, the variants in it, picture), one by one.

    kernels/VARIANT/NN_LAYER, peaks/VARIANT/NN_LAYER, overview/VARIANT_I_LABEL, gradcam/VARIANT, and
    for all variants together features/I_LABEL/NN_LAYER. NN: number of the layer, I: of the image.
    Layers are those that `drawn` says; overviews have all.
    """
    files = drawn(views)
    shown = [(i, probe.images[j], probe.label(j)) for i, j in enumerate(probe.shown)]
    labels = [probe.label(i) for i in range(len(probe.images))]
    for name, v in views.items():
        for layer in (layer for layer in files if layer in v.kernels):
            picture = kernel_figure(v.kernels[layer], layer, name, v.before[layer])
            yield f"kernels/{name}/{files[layer]}", [name], picture
            picture = peaks_figure(
                v.peaks[layer], v.reach[layer], layer, name, probe.images, labels, probe.whose
            )
            yield f"peaks/{name}/{files[layer]}", [name], picture
        for i, image, label in shown:
            picture = overview_figure(v.maps, v.peaks, image, label, name, i)
            yield f"overview/{name}_{i}_{in_file(label)}", [name], picture
        if v.cases:
            whose = f"{len(probe.images)} {probe.whose}"
            picture = grad_cam_figure(v.cases, v.layer, name, v.accuracy, whose)
            yield f"gradcam/{name}", [name], picture
    for layer in files:
        names = [name for name, v in views.items() if layer in v.maps]
        maps, tops = ({n: getattr(views[n], k)[layer] for n in names} for k in ("maps", "peaks"))
        for i, image, label in shown:
            picture = feature_figure(maps, tops, layer, image, label, i)
            yield f"features/{i}_{in_file(label)}/{files[layer]}", names, picture


def sheets(views: dict[str, View], probe: Probe) -> Iterator[tuple[str, Sheet]]:
    """What the explorer of the HTML report lays side by side: (path without suffix, sheet).

    features/I_LABEL/NN_LAYER/VARIANT and, on one scale, kernels/trained/NN_LAYER/VARIANT and
    kernels/untrained/NN_LAYER/VARIANT. Layers as in `figures`.
    """
    files = drawn(views)
    for layer in files:
        having = {name: v for name, v in views.items() if layer in v.maps}
        maps = {name: v.maps[layer] for name, v in having.items()}
        tops = {name: v.peaks[layer] for name, v in having.items()}
        for i, j in enumerate(probe.shown):
            label = probe.label(j)
            for name, sheet in feature_sheets(maps, tops, layer, label, i).items():
                yield f"features/{i}_{in_file(label)}/{files[layer]}/{name}", sheet
        both = {
            (name, state): weights[layer]
            for name, v in having.items()
            for state, weights in (("trained", v.kernels), ("untrained", v.before))
            if layer in weights
        }
        for (name, state), sheet in (kernel_sheets(both, layer) if both else {}).items():
            yield f"kernels/{state}/{files[layer]}/{name}", sheet


def in_file(label: str) -> str:
    """A class's name as a part of a file's: shortened where it is long; the picture has it all."""
    some = label.encode()[:LONGEST].decode(errors="ignore")
    return label if some == label else f"{some}…"


def layers_of(views: dict[str, View]) -> list[str]:
    """The layers of all networks, in order."""
    return list(dict.fromkeys(layer for v in views.values() for layer in v.maps))


def drawn(views: dict[str, View]) -> dict[str, str]:
    """The layers of all networks that are drawn, in order -> how a file is called that shows one:
    with its number among all. Of a network with more than `MOST_LAYERS` as many, evenly spaced."""
    picked: set[str] = set()
    for v in views.values():
        own = list(v.maps)
        picks = np.linspace(0, len(own) - 1, min(len(own), MOST_LAYERS)).round().astype(int)
        picked |= {own[i] for i in picks}
    numbered = enumerate(layers_of(views))
    return {n: f"{i:02d}_{n.replace('/', '-')}" for i, n in numbered if n in picked}
