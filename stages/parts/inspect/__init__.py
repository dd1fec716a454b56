"""The stage `inspect` of a task: `main()`."""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="main")
