"""Transfer strategies: what each makes of a recipe."""

from dataclasses import replace

import pytest

from cnnlab.strategies import STRATEGIES

# Where conv weights begin and whether they move, as each file's docstring says; a new strategy
# needs a line here.
SAYS = {
    "scratch": ("random", True),
    "freeze": ("backbone", False),
    "finetune": ("backbone", True),
}
OPTIONS = {"epochs": 7, "learning_rate": 0.25}


def test_every_strategy_is_tested():
    assert sorted(SAYS) == STRATEGIES.names()


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_strategy_does_what_it_says_and_no_more(base, name):
    target = base.inserting("conv", "BatchNormalization").penalising("kernel", l2=0.1)
    module = STRATEGIES[name]
    made = module.apply(target, module.Options(**OPTIONS))
    start, train_conv = SAYS[name]
    assert (made.start, made.train_conv) == (start, train_conv)
    assert replace(made, start="random", train_conv=True) == replace(target, **OPTIONS)


@pytest.mark.parametrize("name", STRATEGIES.names())
@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"learning_rate": 0}, {"epochs": True}, {"unknown": 1}]
)
def test_a_strategy_refuses_bad_options(name, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        STRATEGIES[name].Options(**OPTIONS | bad)


def test_the_committed_strategies_differ_in_their_recipes(base, committed):
    from cnnlab.plugins import chosen

    made = {STRATEGIES[n].apply(base, o) for n, o in chosen(committed.strategies).items()}
    assert len(made) == len(chosen(committed.strategies))
