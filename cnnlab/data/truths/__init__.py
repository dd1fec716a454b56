"""What networks learn of images besides their labels, a file a task.

A file defines `truth(source, rows, shape, resize) -> array`: (n, ...), from a
`cnnlab.data.sources.Source` for rows of its table, brought to the shape of the images; None:
nothing. It raises UserError where the source has none. `classes(source) -> tuple`: names of the
class numbers in that; None: labels are the classes. `counted(source, rows) -> {what: [of each]}`:
what there is on the images of such rows, for people: in all, and of each class. `TRUTH`: what of a
source that is, which the source's file names in its own `TRUTH`, such as "masks"; None: labels are
all. `LEAST`: how many different labels a study needs.

Where labels are not all, it defines besides, of what `truth` made: `there(made, classes) -> bool
(n, classes)`: of which classes each image has anything; `lost(source, rows, made)`: findings, what
resizing took; `empty(source, rows) -> bool (n,)`: which images hold none of what is looked for.
`HELD`: what classes have, and of how many of them the development images must have some.
`SOUGHT`: what an image that is not empty has.
"""

from cnnlab.plugins import Registry

TRUTHS = Registry(__name__, needs="truth")
