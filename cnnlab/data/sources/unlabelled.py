"""Images without labels in a folder, at any depth, here or behind an fsspec URL, or a .tar or .zip.

For `data.pretrain.source` with the task rotation, which needs no labels. Archives are read in
place; see `_files` for what is refused.
"""

import pandas as pd

from cnnlab.data.sources import Source, refused, shown
from cnnlab.data.sources._files import look
from cnnlab.data.sources.image_folder import ENDINGS, is_hidden, is_image


def open_source(place):
    files = look(place)
    names = []
    for name in sorted(files.keys):
        if is_hidden(name.split("/")):
            files.note("hidden file", name)
        elif not is_image(name):
            files.note("not an image by its ending", name)
        else:
            names.append(name)
    if not names:
        raise refused(place, f"no images found; endings: {' '.join(sorted(ENDINGS))}")
    table = pd.DataFrame({"source": list(map(shown, names)), "label": "", "split": ""}, dtype=str)
    keys = [files.keys[name] for name in names]
    order = [offset for offset, _ in keys] if files.ordered else None
    return Source(table, keys, files.read, files.parallel, order, files.findings)
