"""What only the classification of whole images needs."""

from stages.tasks.classification.compared import compared as compared
from stages.tasks.classification.final import main as final
from stages.tasks.classification.inspect import main as inspect

__all__ = ["compared", "final", "inspect", "looked"]


def looked(networks, firsts, dev):
    """Where networks look is drawn with their maps, see `cnnlab.look.view`."""
