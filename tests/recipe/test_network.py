"""Networks as they were before training: variants start from the same weights."""

import functools
from dataclasses import fields, replace

import keras
import numpy as np
import pytest

from cnnlab.recipe.nets import NETS
from cnnlab.recipe.network import initial, network, put, set_random, weights_of
from cnnlab.recipe.recipe import Phase, Recipe
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.seeds import derive
from cnnlab.train.fit import fit
from cnnlab.train.tasks import LEARNING
from tests import made_up

SHAPE, CLASSES = (8, 8, 1), 3


def plain(net):
    return made_up.sections(net).recipe([])


@functools.cache
def start(net, seed=1):
    """Layer -> the arrays that a network without techniques begins with."""
    return weights_of(initial(plain(net), seed, SHAPE, CLASSES).model)


@functools.cache
def fields_read(net):
    """The fields of a recipe that a network is made from: recipes that agree in them have the same
    network, and it need not be made again."""
    read = set()

    class Watched(Recipe):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    recipe = Watched(**vars(plain(net)))
    read.clear()
    initial(recipe, 1, SHAPE, CLASSES)
    assert "inserts" in read and "__dict__" not in read  # which has all fields
    return read & {field.name for field in fields(Recipe)}


def start_with(net, technique):
    """As `start`, of a network with a technique."""
    recipe, without = made_up.sections(net).alone(technique), plain(net)
    if all(getattr(recipe, name) == getattr(without, name) for name in fields_read(net)):
        return start(net)
    return weights_of(initial(recipe, 1, SHAPE, CLASSES).model)


def common(one, other):
    """The layers that both have, with arrays of the same shapes."""
    return [
        name
        for name in one.keys() & other.keys()
        if [a.shape for a in one[name]] == [a.shape for a in other[name]]
    ]


@pytest.mark.parametrize("name", TECHNIQUES.names())
@pytest.mark.parametrize("net", NETS.names())
def test_a_technique_leaves_the_weights_that_others_begin_with_as_they_are(net, name):
    without, made = start(net), start_with(net, name)
    shared = common(without, made)
    assert set(shared) == set(without)  # no technique takes a layer away, or changes its shape
    for layer in shared:
        for one, other in zip(without[layer], made[layer], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=layer)


@pytest.mark.parametrize("net", NETS.names())
def test_a_seed_decides_the_weights_of_every_layer_by_its_name(net):
    one, again, other = start(net), weights_again(net), start(net, seed=2)
    drawn = {name: [a for a in arrays if np.ptp(a)] for name, arrays in one.items()}
    drawn = {name: arrays[0] for name, arrays in drawn.items() if arrays}
    assert len(drawn) > 1
    for name, array in drawn.items():
        np.testing.assert_array_equal(array, next(a for a in again[name] if np.ptp(a)))
        near = np.isclose(array, next(a for a in other[name] if np.ptp(a)))
        assert near.mean() < 1e-3  # by chance, among many weights
    by_shape = {array.shape: name for name, array in drawn.items()}
    for name, array in drawn.items():  # layers of one shape differ too
        twin = by_shape[array.shape]
        assert twin == name or np.isclose(array, drawn[twin]).mean() < 1e-3


def weights_again(net):
    """As `start`, made while another global seed is set."""
    keras.utils.set_random_seed(99)
    return weights_of(initial(plain(net), 1, SHAPE, CLASSES).model)


def test_weights_are_those_that_the_layer_s_own_initializer_draws_from_its_seed():
    kernel = start("vgg")["dense1"][0]
    drawn = keras.initializers.GlorotUniform(derive(1, "dense1", "kernel_initializer"))
    np.testing.assert_array_equal(kernel, drawn(kernel.shape))


def test_layers_that_draw_while_training_draw_alike_however_many_there_are():
    """Dropout after a layer does not depend on dropout elsewhere."""
    sections = made_up.sections()
    few = sections.recipe(["dropout"])
    more = sections.recipe(["dropout", "spatial_dropout"])
    ones = np.ones((4, 8), np.float32)
    masks = [
        initial(recipe, 1, SHAPE, CLASSES).model.get_layer("dense1_dropout")(ones, training=True)
        for recipe in (few, more)
    ]
    np.testing.assert_array_equal(*masks)
    assert 0 < np.mean(masks[0] == 0) < 1


# A step so small that it is lost in rounding: what was trained is what it started from.
STILL = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
ALL = ["augment", "batchnorm", "dropout", "l1", "l2"]


@pytest.mark.parametrize("techniques", [[], ALL], ids=["baseline", "techniques"])
def test_it_is_what_a_trial_starts_from(techniques):
    recipe = made_up.sections(**STILL).recipe(techniques)
    for seed in (1, 2):
        trained = fit(recipe, made_up.data(), seed).model.trainable_variables
        begun = initial(recipe, seed, SHAPE, CLASSES).model.trainable_variables
        assert [v.name for v in trained] == [v.name for v in begun]
        assert max(float(np.abs(v).max()) for v in begun) > 0.1
        # Biases start at 0, where even that step counts.
        for one, other in zip(trained, begun, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-25)


@pytest.mark.parametrize("net", NETS.names())
def test_a_head_for_features_is_the_head_of_the_whole_network(net):
    recipe = replace(made_up.sections(net).recipe([]), phases=(Phase(1, 0.1),))
    whole = initial(recipe, 1, SHAPE, CLASSES)
    units = whole.body.output.shape[1:]
    head = initial(recipe, 1, units, CLASSES)
    assert head.body is None and head.units == []
    both, alone = weights_of(whole.model), weights_of(head.model)
    assert alone and set(alone) == set(both) - set(weights_of(whole.body))
    for name, arrays in alone.items():
        for one, other in zip(arrays, both[name], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("net", NETS.names())
def test_units_are_the_body_from_bottom_to_top(net):
    made = network(made_up.sections(net).recipe([]), SHAPE, CLASSES)
    layers = [layer for unit in made.units for layer in unit]
    assert layers == made.body.layers
    for unit in made.units:
        with_kernel = [hasattr(layer, "kernel") for layer in unit]
        assert sum(with_kernel) == 1  # a share of the backbone is counted in them
        assert with_kernel[0] or unit[0] is made.body.layers[0]


def test_weights_go_to_the_layers_of_their_names_and_come_back():
    recipe = made_up.sections().recipe(["batchnorm"])
    one, other = (initial(recipe, seed, SHAPE, CLASSES).model for seed in (1, 2))
    some = {k: v for k, v in weights_of(one).items() if not k.startswith("dense")}
    put(other, {**some, "nowhere": [np.zeros(3)]})
    after, before = weights_of(other), start("vgg", seed=2)
    for name, arrays in after.items():
        expected = some[name] if name in some else before[name]
        assert all(np.array_equal(a, b) for a, b in zip(arrays, expected, strict=True)), name


def test_a_network_is_put_back_to_its_beginning():
    recipe = made_up.sections().recipe(["batchnorm", "dropout"])
    model = initial(recipe, 1, SHAPE, CLASSES).model
    begun = [v.numpy() for v in model.variables]
    model(np.ones((2, *SHAPE), np.float32), training=True)
    assert not all(np.array_equal(v, b) for v, b in zip(model.variables, begun, strict=True))
    set_random(model, 1)
    for variable, value in zip(model.variables, begun, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


@pytest.mark.parametrize("task", LEARNING.names())
@pytest.mark.parametrize("net", NETS.names())
@pytest.mark.parametrize("shape", [(16, 16, 1), (40, 32, 3)])
def test_a_network_called_with_images_alone_answers_and_learns_nothing(net, task, shape, tmp_path):
    """As its user calls it, once saved and loaded: whatever it resizes."""
    sections = replace(made_up.sections(), model=made_up.model(net, size=36), task=task)
    recipe = sections.recipe([]).inserting("dense", "Dropout", rate=0.5)
    for place in {*NETS[net].places(sections.recipe([]).net_options)} - {"dense"}:
        recipe = recipe.inserting(place, "BatchNormalization")
    made = LEARNING[task].network(recipe, shape, CLASSES).model
    set_random(made, 1)
    made.save(tmp_path / "model.keras")
    for model in (made, keras.saving.load_model(tmp_path / "model.keras")):
        before = model.get_weights()
        images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.float32)
        answer, asked = np.asarray(model(images)), np.asarray(model(images, training=False))
        np.testing.assert_array_equal(answer, asked)
        assert all(map(np.array_equal, before, model.get_weights()))
        assert not np.allclose(asked, model(images, training=True))  # which still trains
