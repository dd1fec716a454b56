"""check: the whole params.yaml is valid, its variants are its design's, and DVC can keep the names
of the images' files, before anything long."""

import os

from cnnlab import params
from cnnlab.compare import designs
from cnnlab.errors import UserError
from stages import run


def main() -> None:
    whole = params.read()
    for key, folder in (
        ("data.raw", whole.data.raw),
        ("data.pretrain.raw", whole.data.pretrain.raw),
    ):
        _refuse_home(key, folder)
        _refuse_names(key, folder)
    _refuse_home("backbone.weights", whole.backbone.weights)
    design = whole.design
    sets = designs.sets_of(**dict(design))
    order = [*design.starts, *design.techniques, designs.PLACEBO]
    lacking = designs.missing(sets, order, whole.variants.every)
    if lacking:
        raise UserError(
            f"{params.FILE}: design.kind = {design.kind!r} needs variants with just "
            f"{'; '.join(lacking)}; run `make design`, or set kind: custom"
        )


def _refuse_home(key: str, path: str) -> None:
    """Refuse ~, which only a shell knows: DVC, which keeps data.raw, takes it for a folder."""
    if path.startswith("~"):
        whole = os.path.expanduser(path)  # noqa: PTH111
        raise UserError(f"{params.FILE}: {key} = {path!r}: allowed: the whole path, {whole}")


def _refuse_names(key: str, folder: str) -> None:
    """Refuse names that are no text in UTF-8, as old archives leave them: `prepare` reads them, but
    DVC, which keeps the folder, says no more than "surrogates not allowed"."""
    names = [
        os.path.join(above, name)  # noqa: PTH118  (a walk gives texts)
        for above, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if not name.isascii() and name.encode(errors="replace").decode() != name
    ]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(
            f"{params.FILE}: {key} = {folder!r}: {os.fsencode(min(names))}{more}: names that are"
            " not UTF-8, which DVC cannot keep; rename them, as `convmv -r -f latin1 -t utf8"
            " --notest` does, or put them into an archive"
        )


if __name__ == "__main__":
    run(main)
