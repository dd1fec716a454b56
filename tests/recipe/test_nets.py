"""Networks: each builds, names its layers alike every time, and takes a recipe's parts."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe import nets
from cnnlab.recipe.network import initial
from tests import made_up

NETS = nets.NETS.names()
SHAPES = [(8, 8, 1), (32, 32, 3), (9, 12, 3)]


def size(net, **sizes):
    """A small size of a network."""
    ((_, options),) = chosen(made_up.model(net, **sizes)).items()
    return options.model_dump()


def places(net):
    return nets.NETS[net].places(size(net))


@pytest.fixture
def build(base):
    def built(net, shape=(8, 8, 1), classes=3, change=lambda recipe: recipe, seed=1, **sizes):
        recipe = replace(base, net=net, net_options=size(net, **sizes))
        return initial(change(recipe), seed, shape, classes).model

    return built


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [2, 10])
def test_every_net_builds(build, net, shape, classes):
    model = build(net, shape, classes)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape)).astype(np.float32)
    logits = model(images, training=False).numpy()
    assert (logits.shape, logits.dtype) == ((5, classes), np.float32)
    assert np.isfinite(logits).all()
    assert len(np.unique(logits, axis=0)) == 5  # it looks at the images
    assert np.abs(logits).max() < 10  # and scales their 0..255
    assert not np.allclose(logits.sum(1), 1)  # no softmax yet


@pytest.mark.parametrize("net", NETS)
def test_layers_are_named_alike_whatever_was_built_before(build, net):
    def crowded(recipe):
        for place in places(net):
            recipe = recipe.inserting(place, "Dropout", rate=0.5)
        return recipe

    names, again = ([layer.name for layer in build(net, change=crowded).layers] for _ in "ab")
    assert len(set(names)) == len(names)
    assert names == again  # a name does not depend on what was built before


@pytest.mark.parametrize("net", ["vgg", "resnet"])  # others may resize, or halve nothing
def test_an_image_too_small_is_refused(build, net):
    with pytest.raises(UserError, match=rf"params\.yaml: {net}\.filters.*1x1"):
        build(net, (1, 1, 1))


@pytest.mark.parametrize(("net", "place"), [(n, p) for n in NETS for p in places(n)])
def test_layers_are_inserted_at_every_place(build, net, place):
    def inserted(model):
        return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    assert inserted(build(net)) == []
    found = inserted(build(net, change=lambda r: r.inserting(place, "Dropout", rate=0.25)))
    assert found
    rates = [layer.rate for layer in found]
    if place == "branch":  # in a straight line up to the last
        np.testing.assert_allclose(rates, 0.25 * np.arange(1, len(rates) + 1) / len(rates))
    else:
        assert set(rates) == {0.25}


@pytest.mark.parametrize(
    ("place", "count", "before", "after"),
    [("conv", 4, "Conv2D", "Activation"), ("dense", 2, "Activation", "Dense")],
)
def test_vgg_inserts_where_it_says(build, place, count, before, after):
    model = build("vgg", change=lambda r: r.inserting(place, "Dropout", rate=0.5))
    kinds = [type(layer).__name__ for layer in model.layers]
    places = [i for i, kind in enumerate(kinds) if kind == "Dropout"]
    assert len(places) == count
    assert {kinds[i - 1] for i in places} == {before}
    assert {kinds[i + 1] for i in places} == {after}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0), (0, 0.25), (0.5, 0.25)])
@pytest.mark.parametrize("target", ["kernel", "bias"])
def test_penalties_are_the_sum_over_all_weights_of_the_kind(build, net, target, l1, l2):
    model = build(net, change=lambda r: r.penalising(target, l1=l1, l2=l2))
    weights = [v for v in model.trainable_variables if v.path.endswith(f"/{target}")]
    assert len(weights) > 1
    for variable in weights:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    arrays = [np.float64(v.numpy()) for v in weights]
    expected = sum(l1 * np.abs(a).sum() + l2 * (a**2).sum() for a in arrays)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert len(model.losses) == len(weights)


@pytest.mark.parametrize("net", NETS)
def test_an_activity_penalty_grows_with_activity(build, net):
    model = build(net, change=lambda r: r.penalising("activity", l2=0.1))
    losses = []
    for brightness in (130, 190, 250):
        model(np.full((2, 8, 8, 1), brightness, np.float32), training=True)
        losses.append(float(sum(model.losses)))
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("net", NETS)
def test_a_net_without_penalties_has_no_losses(build, net):
    model = build(net)
    model(np.zeros((2, 8, 8, 1), np.float32), training=True)
    assert model.losses == []


def test_a_resnet_s_convs_are_normalised_and_its_blocks_add(build):
    size = {"batchnorm": True, "pool": False, "filters": [4, 6, 8], "blocks": 2}
    model = build("resnet", (32, 32, 3), **size)
    kinds = {kind: [x for x in model.layers if type(x).__name__ == kind] for kind in KINDS}
    convs, norms, adds = kinds.values()
    # One at the start, two in each of six blocks, two shortcuts where a stage changes the shape.
    assert len(convs) == len(norms) == 1 + 12 + 2
    assert len(adds) == 6
    sizes = [layer.output.shape[1] for layer in adds]
    assert sizes == [32, 32, 16, 16, 8, 8]
    assert "conv" not in nets.NETS["resnet"].places(size)


def test_a_resnet_s_pool_halves_what_comes_after_the_first_conv(build):
    size = {"batchnorm": True, "pool": True, "filters": [4, 6], "blocks": 1}
    model = build("resnet", (32, 32, 3), **size)
    assert model.get_layer("conv0").output.shape[1] == 32
    adds = [layer for layer in model.layers if type(layer).__name__ == "Add"]
    assert [layer.output.shape[1] for layer in adds] == [16, 8]
    assert "pool" in nets.NETS["resnet"].places(size)
    assert "pool" not in nets.NETS["resnet"].places(size | {"pool": False})


KINDS = ("Conv2D", "BatchNormalization", "Add")


@pytest.mark.parametrize("net", NETS)
def test_max_norm_limits_the_weights_into_each_unit(build, net):
    model = build(net, change=lambda r: replace(r, max_norm=0.5))
    kinds = ("kernel_constraint", "depthwise_constraint")
    found = {
        x: next((getattr(x, k) for k in kinds if getattr(x, k, None)), None) for x in model.layers
    }
    limited = {layer: limit for layer, limit in found.items() if limit}
    assert len(limited) == sum(hasattr(x, "kernel") for x in model.layers) > 1
    for layer, limit in limited.items():
        kernel = limit(10 * layer.kernel).numpy()
        units = kernel.shape[2:] if hasattr(layer, "depthwise_constraint") else kernel.shape[-1:]
        norms = np.linalg.norm(kernel.reshape(-1, np.prod(units)), axis=0)
        np.testing.assert_allclose(norms, 0.5, rtol=1e-4)
