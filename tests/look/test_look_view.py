"""A look into whole networks: every figure of every layer."""

import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers as k

from cnnlab.look import Probe, drawn, figures, layers_of, save, sheets, view

CLASSES = ["cat", "dog", "eel"]


def residual(filters: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((12, 12, 3))
    x = k.ReLU(name="first_act")(k.Conv2D(filters, 3, padding="same", name="first")(x))
    y = k.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = k.BatchNormalization(name="norm")(k.Conv2D(filters, 1, name="pointwise")(y))
    x = k.ReLU(name="sum_act")(k.Add(name="sum")([x, y]))
    x = k.MaxPooling2D(name="pool")(x)
    x = k.ReLU(name="last_act")(k.Conv2D(4, 3, name="last")(x))
    x = k.GlobalAveragePooling2D(name="means")(x)
    return keras.Model(inputs, k.Dense(3, name="logits")(x))


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 12, 12, 3), np.uint8)
    probe = Probe(images, np.arange(20) % 3, CLASSES, np.array([1, 2]), "held-out images")
    views = {}
    for name, filters in (("narrow", 3), ("wide", 5)):
        model, start = residual(filters, 1), residual(filters, 2)
        logits = np.asarray(model(images.astype(np.float32), training=False))
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        views[name] = view(model, start, probabilities / probabilities.sum(1, keepdims=True), probe)
    return views, probe


LAYERS = ["first", "depthwise", "pointwise", "sum_act", "pool", "last"]


def test_every_layer_of_every_network_is_drawn(made, tmp_path):
    views, probe = made
    drawn = {stem: (names, picture) for stem, names, picture in figures(views, probe)}
    numbered = [f"{i:02d}_{layer}" for i, layer in enumerate(LAYERS)]
    convs = [file for file in numbered if not file.endswith(("_act", "_pool"))]
    expected = {
        f"features/{i}_{label}/{f}" for i, label in enumerate(["dog", "eel"]) for f in numbered
    }
    for name in views:
        expected |= {f"{kind}/{name}/{file}" for kind in ("kernels", "peaks") for file in convs}
        expected |= {f"overview/{name}_0_dog", f"overview/{name}_1_eel", f"gradcam/{name}"}
    assert set(drawn) == expected
    for stem, (names, picture) in drawn.items():
        assert names == (
            ["narrow", "wide"]
            if stem.startswith("features")
            else [stem.split("/")[1].split("_")[0]]
        )
        assert picture.alt and "nan" not in picture.alt
        save(picture, tmp_path / "p.png")
        assert (tmp_path / "p.png").stat().st_size < 1_000_000


def test_kernels_are_those_before_and_after(made):
    views, _ = made
    for name, filters in (("narrow", 3), ("wide", 5)):
        for arrays, seed in ((views[name].kernels, 1), (views[name].before, 2)):
            model = residual(filters, seed)
            assert list(arrays) == ["first", "depthwise", "pointwise", "last"]
            for layer in ("first", "last"):
                np.testing.assert_array_equal(arrays[layer], model.get_layer(layer).kernel)


def test_grad_cam_is_taken_after_the_last_convolution(made):
    views, probe = made
    v = views["narrow"]
    assert v.layer == "last" and v.cases
    assert v.cases[0].heat.shape == (4, 4)
    assert v.peaks["last"].images == len(probe.images) and v.maps["last"].shape[0] == 2
    right = sum(case.truth_heat is None for case in v.cases)
    assert 0 <= v.accuracy <= 1 and (v.accuracy > 0) == (right > 0)


@pytest.mark.parametrize("label", ["..", "猫" * 85, "x" * 255, "100%#?"])
def test_files_of_classes_of_any_name_are_in_their_folder(made, label):
    views, probe = made
    probe = replace(probe, classes=["cat", label, "eel"])
    views = {"v" * 64: views["narrow"]}
    drawn = [(stem, picture.alt) for stem, _, picture in figures(views, probe)]
    drawn += [(stem, sheet.alt) for stem, sheet in sheets(views, probe)]
    of_class = [alt for stem, alt in drawn if stem.startswith(("overview/", "features/0_"))]
    assert len(of_class) > 2 and sum(label in alt for alt in of_class) > 2
    depths = {"kernels": (2, 3), "peaks": (2,), "features": (2, 3), "overview": (1,)}
    for stem, _ in drawn:
        kind, *parts = stem.split("/")
        assert len(parts) in depths.get(kind, (1,)) and ".." not in parts
        assert all(len(f"{part}.png".encode()) <= 255 for part in parts)


def test_of_a_deep_network_some_layers_are_drawn_evenly_spaced_and_keep_their_numbers(
    made, monkeypatch
):
    views, probe = made
    every = layers_of(views)
    assert list(drawn(views)) == every  # few
    monkeypatch.setattr(sys.modules["cnnlab.look.view"], "MOST_LAYERS", 3)
    few = drawn(views)
    assert list(few) == [every[0], every[round((len(every) - 1) / 2)], every[-1]]
    assert few[every[-1]].startswith(f"{len(every) - 1:02d}_")
    stems = [stem for stem, _, _ in figures(views, probe)]
    stems += [stem for stem, _ in sheets(views, probe)]
    of_layers = [s for s in stems if s.split("/")[0] in ("kernels", "peaks", "features")]
    shown = {part for stem in of_layers for part in stem.split("/")} & set(few.values())
    assert shown == set(few.values())
    assert not any(layer in stem for stem in of_layers for layer in set(every) - set(few))
