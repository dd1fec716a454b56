"""Images without labels in a folder, at any depth, here or behind an fsspec URL, or a .tar or .zip.

For `data.pretrain.source` with the task rotation, which needs no labels. Archives are read in
place; see `_files` for what is refused.
"""

import pandas as pd

from cnnlab.data.sources import Source, refused, shown
from cnnlab.data.sources._files import images, look


def open_source(place):
    files = look(place)
    names = images(files)
    if not names:
        raise refused(place, "no images found")
    table = pd.DataFrame({"source": list(map(shown, names)), "label": "", "split": ""}, dtype=str)
    keys = [files.keys[name] for name in names]
    order = [offset for offset, _ in keys] if files.ordered else None
    return Source(table, keys, files.read, files.parallel, order, files.findings)
