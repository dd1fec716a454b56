"""A new study beside the root's: `python -m cnnlab.new_study NAME` (`make study NAME=...`).

Makes `studies/NAME` with params of its own and links to the one set of stages and code. Its
dvc.yaml is a copy, as DVC does not follow links in commits; `make repro STUDY=studies/NAME` keeps
it in step. The study is a DVC project of its own, so that DVC speaks there of no other study, with
the root's settings and remotes as they are now, and the root's cache.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dvc.config import Config
from dvc.config_schema import RelPath

from cnnlab.errors import UserError

COPIED = (
    "dvc.yaml",
    ".dvcignore",
    ".dvc/.gitignore",
    "data/raw/README.md",  # where people put their images
    "data/raw_pretrain/README.md",
)
LINKED = ("stages", "cnnlab")


def create(root: Path, name: str) -> Path:
    """Make the folder of a study and return it. Raises UserError for a bad or taken name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"study name {name!r}: allowed: letters, digits, - and _, 64 at most")
    folder = root / "studies" / name
    if folder.exists():
        raise UserError(f"{folder} exists already")
    for file in COPIED:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((root / file).read_bytes())
    settings = Config(root / ".dvc").load_one("repo")
    settings["cache"].setdefault("dir", RelPath(root / ".dvc/cache"))
    with Config(folder / ".dvc").edit() as of_study:
        of_study.update(settings)
    for linked in LINKED:
        (folder / linked).symlink_to(Path("../..", linked))
    text = (root / "params.yaml").read_text()
    named, changes = re.subn(r"(?m)^study: *[^ #\n]+", f'study: "{name}"', text)
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
