"""What stages do that only one kind of task needs, a package a task, as in `cnnlab.tasks`.

A package defines

- `compared(study)`: tables and figures of the stage `compare` besides those of all tasks; `study`:
  a `stages.compare.Study`;
- `inspect()`: the stage `inspect`;
- `described(dev) -> {name: Picture}`: pictures of the stage `describe` besides;
- `answers(record) -> array`: class probabilities (n, classes) of the held-out images, which the
  stage `visualize` shows with where the network looks; None: images have no one class;
- `looked(study, firsts, dev) -> {name: Picture}`: pictures of that stage besides; `firsts`: the
  first record of each variant that is drawn;
- `final()`: the stage `final`.
"""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="compared")
