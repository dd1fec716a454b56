"""What stages do that only one kind of task needs, a package a task, as in `cnnlab.tasks`.

A package defines

- `compared(study)`: tables and figures of the stage `compare` besides those of all tasks; `study`:
  a `stages.compare.Study`;
- `inspect()`: the stage `inspect`;
- `looked(networks, firsts, dev)`: figures of the stage `visualize` besides; network and first
  record of each variant that is drawn;
- `final()`: the stage `final`.
"""

from cnnlab.plugins import Registry

PARTS = Registry(__name__, needs="compared")
