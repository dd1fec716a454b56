"""What networks learn of images besides their labels, a file a task.

A file defines `truth(source, rows, shape, resize) -> array`: (n, ...), from a
`cnnlab.data.sources.Source` for rows of its table, brought to the shape of the images; None:
nothing. It raises UserError where the source has none. `classes(source) -> tuple`: names of the
class numbers in that. `LEAST`: how many different labels a study needs.
"""

from cnnlab.plugins import Registry

TRUTHS = Registry(__name__, needs="truth")
