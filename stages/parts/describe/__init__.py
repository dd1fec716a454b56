"""What the stage `describe` shows besides: `described(dev) -> {name: Picture}`."""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="described")
