"""Nets as they were before training."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import params
from cnnlab.plugins import chosen
from cnnlab.training import recipe as recipes
from cnnlab.training.fit import Data, fit
from cnnlab.training.initial import initial

P = params.read()
SMALL = {**recipes.base(P.model, P.train).net_options, "filters": [4, 4], "dense": [8]}
# A step so small that it is lost in rounding: what was trained is what it started from.
STILL = replace(
    recipes.base(P.model, P.train),
    net_options=SMALL,
    epochs=1,
    optimizer="sgd",
    learning_rate=1e-30,
)
ALL = recipes.apply(STILL, chosen(P.techniques), P.techniques)


@pytest.mark.parametrize("recipe", [STILL, ALL], ids=["baseline", "all techniques"])
def test_it_is_what_a_trial_starts_from(recipe):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 8, 8, 1), np.uint8), np.arange(12) % 3
    data = Data(images, labels, np.arange(8), np.arange(8, 12), 3)
    for seed in (1, 2):
        trained = fit(recipe, data, seed).model.trainable_variables
        start = initial(recipe, seed, (8, 8, 1), 3).trainable_variables
        assert [v.name for v in trained] == [v.name for v in start]
        assert max(float(np.abs(v).max()) for v in start) > 0.1
        # Biases start at 0, where even that step counts.
        for one, other in zip(trained, start, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-25)
    others = initial(recipe, 3, (8, 8, 1), 3).trainable_variables
    assert not np.allclose(others[0], start[0])


def test_a_backbone_has_another_start():
    with pytest.raises(ValueError, match="backbone"):
        initial(replace(STILL, phases=(recipes.Phase(1, 0.1),)), 1, (8, 8, 1), 3)
