"""A new study beside the root's: `python -m cnnlab.new_study NAME` (`make study NAME=...`).

Makes `studies/NAME` with params of its own and links to the one set of stages and code. Its
dvc.yaml is a copy: DVC does not follow links in commits, and one that it cannot read there would
end `dvc metrics diff` and the like in all studies. `make repro STUDY=studies/NAME` keeps it in
step.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cnnlab.errors import UserError

LINKED = ("stages", "cnnlab")
RAW = ("data/raw", "data/raw_pretrain")  # where people put their images


def create(root: Path, name: str) -> Path:
    """Make the folder of a study and return it. Raises UserError for a bad or taken name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"study name {name!r}: allowed: letters, digits, - and _, 64 at most")
    folder = root / "studies" / name
    if folder.exists():
        raise UserError(f"{folder} exists already")
    for raw in RAW:
        (folder / raw).mkdir(parents=True)
        (folder / raw / "README.md").write_bytes((root / raw / "README.md").read_bytes())
    for linked in LINKED:
        (folder / linked).symlink_to(Path("../..", linked))
    (folder / "dvc.yaml").write_bytes((root / "dvc.yaml").read_bytes())
    text = (root / "params.yaml").read_text()
    named, changes = re.subn(r"(?m)^study: *[^ #\n]+", f"study: {name}", text)
    if changes != 1:
        raise UserError(f"{root / 'params.yaml'}: has no line `study: NAME`")
    (folder / "params.yaml").write_text(named)
    return folder


if __name__ == "__main__":
    try:
        made = create(Path.cwd(), *sys.argv[1:2] or [""])
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{made.relative_to(Path.cwd())} is ready: edit its params.yaml, then")
    print(f"  make repro STUDY={made.relative_to(Path.cwd())}")
