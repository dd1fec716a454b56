"""Maps taken out of models agree with maps computed directly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as k

from cnnlab.look import capture, feature_maps, forward, in_parts, kernels, layers
from cnnlab.recipe.network import initial
from cnnlab.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)


def ours(norm: bool) -> keras.Sequential:
    stack = [keras.Input((8, 8, 1)), k.Rescaling(1 / 255)]
    for block, filters in ((1, 4), (2, 6)):
        for conv in (1, 2):
            name = f"conv{block}_{conv}"
            stack.append(k.Conv2D(filters, 3, padding="same", name=name))
            if norm:
                stack.append(k.BatchNormalization(name=f"{name}_norm"))
            stack += [k.Activation("relu", name=f"{name}_act"), k.Dropout(0.5)]
        stack.append(k.MaxPooling2D(name=f"pool{block}"))
    model = keras.Sequential([*stack, k.Flatten(), k.Dense(5), k.Activation("relu"), k.Dense(2)])
    for layer in model.layers:
        if isinstance(layer, k.BatchNormalization):
            rng = np.random.default_rng(1)
            layer.set_weights([rng.random(w.shape) + 0.5 for w in layer.get_weights()])
    return model


def agrees(maps: dict[str, np.ndarray], model: keras.Model, images, inner: dict[str, str]):
    """`maps` are the outputs of the layers `inner` of a functional or sequential model."""
    outputs = {name: model.get_layer(layer).output for name, layer in inner.items()}
    expected = keras.Model(model.inputs, outputs)([images], training=False)
    assert set(maps) == set(inner)
    for name, values in maps.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


OURS = ["conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2"]


@pytest.mark.parametrize("norm", [False, True])
def test_sequential(images, norm):
    model = ours(norm)
    assert list(layers(model)) == OURS
    inner = {name: name if "pool" in name else f"{name}_act" for name in OURS}
    agrees(feature_maps(model, images), model, images, inner)
    assert feature_maps(model, images)["conv1_1"].min() == 0
    assert list(feature_maps(model, images, ["pool1", "conv1_1"])) == ["conv1_1", "pool1"]


def test_which_activation_belongs_to_a_convolution(images):
    x = inputs = keras.Input((8, 8, 1))
    a = k.Conv2D(3, 3, padding="same", name="a")(x)
    b = k.Conv2D(3, 3, padding="same", name="b")(x)  # two branches, their layers interleaved
    a, b = k.BatchNormalization(name="a_norm")(a), k.BatchNormalization(name="b_norm")(b)
    a, b = k.LeakyReLU(name="a_act")(a), k.PReLU(name="b_act")(b)
    x = k.Concatenate()([a, b])
    x = k.ReLU(name="separable_act")(k.SeparableConv2D(4, 3, padding="same", name="separable")(x))
    x = k.DepthwiseConv2D(3, padding="same", activation="tanh", name="fused")(x)
    x = k.ReLU(name="after_fused")(x)
    y = k.Conv2D(4, 1, name="before_merge")(x)
    x = k.ReLU(name="after_merge")(k.Add()([x, y]))
    x = k.ReLU(name="transpose_act")(k.Conv2DTranspose(2, 3, strides=2, name="transpose")(x))
    x = k.Activation("linear")(k.Conv2D(2, 3, name="linear")(x))
    x = k.AveragePooling2D(2, name="mean")(x)
    x = k.GlobalAveragePooling2D(keepdims=True)(k.Conv2D(2, 3, name="last")(x))
    model = keras.Model(inputs, k.Softmax()(k.Dense(2)(k.Flatten()(x))))
    for name in ("a_norm", "b_norm"):
        model.get_layer(name).moving_mean.assign([0.1, 0.2, 0.3])
    inner = {name: f"{name}_act" for name in ("a", "b", "separable", "transpose")}
    inner |= {name: name for name in ("fused", "before_merge", "linear", "mean", "last")}
    inner |= {name: name for name in ("after_fused", "after_merge")}  # of no convolution
    agrees(feature_maps(model, images), model, images, inner)


def test_an_application_network():
    x = inputs = keras.Input((32, 32, 3))
    x = k.Rescaling(1 / 127.5, offset=-1)(x)
    base = keras.applications.MobileNet(input_tensor=x, alpha=0.25, include_top=False, weights=None)
    x = k.Conv2D(4, 1, name="head")(base.output)
    model = keras.Model(inputs, k.GlobalAveragePooling2D()(x))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)

    before = [w.copy() for w in model.get_weights()]
    maps = feature_maps(model, images)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert list(maps) == list(layers(model))
    assert len(maps) == 28
    agrees(maps, model, images, {n: n if n == "head" else f"{n}_relu" for n in maps})


RECIPE = Recipe(
    net="resnet",
    net_options={"filters": [3, 4], "blocks": 1, "kernel": 3, "pool": False, "batchnorm": True},
    **{"epochs": 1, "batch_size": 4, "optimizer": "adam", "learning_rate": 1e-3},
    **{"fill_mode": "nearest", "evaluate_every": 1, "threads": 1, "balanced": False},
    precision="float32",
)


def test_a_network_of_the_project(images):
    model = initial(RECIPE.inserting("branch", "Dropout", rate=0.5), 1, (8, 8, 1), 3).model
    inner = {name: f"{name}_act" for name in ("conv0", "conv1_1a", "conv2_1a")}
    inner |= {name: name for name in ("conv1_1_act", "conv2_1_act")}
    inner |= {f"conv{s}_1b": f"conv{s}_1_dropout" for s in (1, 2)}
    inner |= {"conv2_1_shortcut": "conv2_1_shortcut_bn"}
    agrees(feature_maps(model, images), model, images, inner)


def residual(x, name: str, filters: int):
    """Two convolutions with normalisation, a projection, their sum, and an activation."""
    shift = keras.initializers.Constant(-0.5)
    y = k.Conv2D(filters, 3, padding="same", name=f"{name}_1")(x)
    y = k.ReLU(name=f"{name}_1_act")(k.BatchNormalization(name=f"{name}_1_norm")(y))
    y = k.Conv2D(filters, 3, padding="same", name=f"{name}_2")(y)
    y = k.BatchNormalization(name=f"{name}_2_norm", beta_initializer=shift)(y)
    x = k.Conv2D(filters, 1, name=f"{name}_skip")(x)
    return k.ReLU(name=f"{name}_act")(k.Add(name=f"{name}_sum")([x, y]))


def test_residual_block(images):
    x = inputs = keras.Input((8, 8, 1))
    x = k.MaxPooling2D(name="pool")(residual(k.Rescaling(1 / 255)(x), "in", 3))
    model = keras.Model(inputs, k.Dense(3)(k.Flatten()(residual(x, "out", 2))))
    names = {name: name for name in ("in_skip", "in_act", "pool", "out_skip", "out_act")}
    names |= {"in_1": "in_1_act", "out_1": "out_1_act"}
    names |= {"in_2": "in_2_norm", "out_2": "out_2_norm"}  # what the branch gives to the sum
    maps = feature_maps(model, images)
    agrees(maps, model, images, names)
    assert list(maps)[-1] == "out_act"
    assert set(layers(model)) == set(maps) - {"in_act", "out_act"}
    assert maps["in_2"].min() < 0 == maps["in_act"].min()
    assert list(feature_maps(model, images, ["out_act"])) == ["out_act"]
    with pytest.raises(ValueError, match="in_1_act"):  # it is shown as in_1
        feature_maps(model, images, ["in_1_act"])


def test_a_sequential_model_grown_layer_by_layer(images, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 1))])
    for layer in (k.Conv2D(2, 3, name="conv"), k.ReLU(), k.Flatten(), k.Dense(2)):
        model.add(layer)
    raw = np.asarray(model.get_layer("conv")(images.astype(np.float32)))
    model.save(tmp_path / "model.keras")
    for grown in (model, keras.models.load_model(tmp_path / "model.keras")):
        maps = feature_maps(grown, images)
        assert list(maps) == ["conv"]
        np.testing.assert_allclose(maps["conv"], np.maximum(raw, 0), rtol=1e-5)


def test_gradients_reach_maps_and_images(images):
    pixels = tf.constant(images, tf.float32)
    for model in (ours(norm=True), initial(RECIPE, 1, (8, 8, 1), 3).model):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(pixels)
            maps, logits = forward(model, pixels)
        np.testing.assert_allclose(logits, model(pixels, training=False), rtol=1e-5)
        for name, tensor in maps.items():
            assert np.abs(tape.gradient(logits, tensor)).max() > 0, name
            assert np.abs(tape.gradient(tensor, pixels)).max() > 0, name


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.conv = k.Conv2D(1, 1)

    def call(self, x):
        return self.conv(x)


def shared() -> keras.Model:
    x = inputs = keras.Input((8, 8, 1))
    relu, conv = k.ReLU(), k.Conv2D(1, 3, padding="same")
    return keras.Model(inputs, conv(relu(conv(relu(x)))), name="shared")


def nested(make) -> keras.Model:
    inside = keras.Sequential([keras.Input((8, 8, 1)), k.Conv2D(2, 3)], name="backbone")
    return make(inside)


def functional(inside) -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, k.Flatten()(inside(inputs)), name="outer")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Subclassed, "subclassed is neither"),
        (lambda: keras.Sequential([k.Conv2D(1, 1)], name="unbuilt"), "unbuilt is neither"),
        (lambda: nested(functional), "outer has models inside: backbone"),
        (lambda: nested(lambda m: keras.Sequential([m, k.Flatten()])), "inside: backbone"),
        (shared, "shared calls a layer twice"),
    ],
)
def test_other_models_are_refused(images, make, message):
    model = make()
    for look in (layers, lambda model: feature_maps(model, images)):
        with pytest.raises(ValueError, match=message):
            look(model)


def test_a_model_without_maps_has_none():
    model = keras.Sequential([keras.Input((4, 4, 1)), k.GlobalMaxPooling2D(), k.Dense(2)])
    assert feature_maps(model, np.zeros((1, 4, 4, 1))) == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision_becomes_float32(dtype):
    x = inputs = keras.Input((4, 4, 1))
    x = k.ReLU(dtype=dtype)(k.Conv2D(1, 1, name="conv", dtype=dtype)(x))
    maps = feature_maps(keras.Model(inputs, x), np.ones((1, 4, 4, 1), np.float32))
    assert maps["conv"].dtype == np.float32
    assert kernels(keras.Model(inputs, x))["conv"].dtype == np.float32


def test_unknown_layer_is_refused(images):
    with pytest.raises(ValueError, match=r"'conv9'.*conv1_1"):
        feature_maps(ours(norm=False), images, ["conv9"])


def test_kernels_have_one_layout():
    x = inputs = keras.Input((8, 8, 3))
    for layer in (
        k.Conv2D(4, (3, 5), name="conv"),
        k.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
        k.SeparableConv2D(5, 3, padding="same", name="separable"),
        k.Conv2DTranspose(6, 2, name="transpose"),
    ):
        x = layer(x)
    model = keras.Model(inputs, k.MaxPooling2D()(x))
    arrays = kernels(model)
    assert {name: w.shape for name, w in arrays.items()} == {
        "conv": (3, 5, 3, 4),
        "depthwise": (3, 3, 1, 8),
        "separable": (3, 3, 1, 8),
        "transpose": (2, 2, 5, 6),
    }
    # Filter 5 of the depthwise layer makes its map 5.
    depthwise = model.get_layer("depthwise")
    patch = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype("float32")
    expected = (patch[0, :, :, 5 // 2] * arrays["depthwise"][:, :, 0, 5]).sum()
    np.testing.assert_allclose(depthwise(patch)[0, 0, 0, 5], expected, rtol=1e-4)


def test_large_images_go_through_in_parts_and_give_the_same_maps(monkeypatch, images):
    model = ours(norm=True)
    expected = feature_maps(model, images)
    monkeypatch.setattr(capture, "VALUES", 1)
    assert capture.at_once(model, images.shape[1:]) == 1
    for name, maps in feature_maps(model, images).items():
        np.testing.assert_allclose(maps, expected[name], rtol=1e-5, atol=1e-6)


def test_layers_go_through_in_parts_that_fit_into_memory(monkeypatch):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="one")(inputs)  # 256 values an image
    x = keras.layers.Conv2D(4, 3, padding="same", name="two")(x)
    x = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="three")(x)  # 32
    model = keras.Model(inputs, x)
    names = ["one", "two", "three"]
    assert in_parts(model, names, images=2) == [names]
    monkeypatch.setattr(capture, "VALUES", 4 * 600)
    assert in_parts(model, names, images=2) == [["one"], ["two", "three"]]
    monkeypatch.setattr(capture, "VALUES", 4)  # one at a time, at least
    assert in_parts(model, names, images=2) == [["one"], ["two"], ["three"]]
