"""What the stage `visualize` shows of a task:

- `answers(record) -> array`: class probabilities (n, classes) of the held-out images, which are
  shown with where the network looks; None: images have no one class;
- `looked(study, firsts, dev) -> {name: Picture}`: pictures besides; `firsts`: the first record of
  each variant that is drawn.
"""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="looked")
