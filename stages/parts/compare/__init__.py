"""What the stage `compare` writes besides: `compared(study)`, of a `stages._study.Study`."""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="compared")
