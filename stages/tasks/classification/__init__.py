"""What only the classification of whole images needs."""

from stages.tasks.classification.compared import compared as compared
from stages.tasks.classification.final import main as final
from stages.tasks.classification.inspect import main as inspect

__all__ = ["answers", "compared", "described", "final", "inspect", "looked"]


def answers(record):
    return record.outputs


def described(dev):
    return {}


def looked(study, firsts, dev):
    return {}
