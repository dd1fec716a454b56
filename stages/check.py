"""check: the whole params.yaml is valid and its variants are its design's, before anything long."""

from cnnlab import params
from cnnlab.compare import designs
from cnnlab.errors import UserError
from stages import run


def main() -> None:
    whole = params.read()
    design = whole.design
    sets = designs.sets_of(**dict(design))
    order = [*design.starts, *design.techniques, designs.PLACEBO]
    lacking = designs.missing(sets, order, whole.variants.every)
    if lacking:
        raise UserError(
            f"{params.FILE}: design.kind = {design.kind!r} needs variants with just "
            f"{'; '.join(lacking)}; run `make design`, or set kind: custom"
        )


if __name__ == "__main__":
    run(main)
