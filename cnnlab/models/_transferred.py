"""A net of another module as one phase of transfer trains it; see `cnnlab.training.transferred`.

It has no `Options`: not for params to name, `cnnlab.training.phases` wraps the study's net in it.
"""


def places(options):
    from cnnlab.training.recipe import MODELS

    return MODELS[options["net"]].places(options["options"])


def build(recipe, shape, classes):
    from cnnlab.training import transferred

    return transferred.build(recipe, shape, classes)
