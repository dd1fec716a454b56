"""check: the whole params.yaml is valid, its variants are its design's, and DVC can keep the names
of the images' files, before anything long."""

from cnnlab import params
from cnnlab.compare import designs
from cnnlab.data.sources._files import refuse_unwritable
from cnnlab.errors import UserError
from stages import run


def main() -> None:
    whole = params.read()
    for raw in (whole.data.raw, whole.data.pretrain.raw):
        refuse_unwritable(raw)
    design = whole.design
    sets = designs.sets_of(**dict(design))
    order = [*design.starts, *design.techniques]
    lacking = designs.missing(sets, order, whole.variants.every)
    if lacking:
        raise UserError(
            f"{params.FILE}: design.kind = {design.kind!r} needs variants with just "
            f"{'; '.join(lacking)}; run `make design`, or set kind: custom"
        )


if __name__ == "__main__":
    run(main)
