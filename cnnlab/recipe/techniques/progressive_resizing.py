"""Progressive resizing: the first epochs see images of lower resolution, the others whole ones.

Mechanism: small images show coarse shapes first, and an epoch on them takes a fraction of the time;
the network then goes on, from the weights it has, to what only large images show (Howard 2018;
Tan and Le 2021, section 4). Each of the two stretches has its own schedule of the learning rate,
and scores of the first are those at the lower resolution.

Sensible: share 0.5, scale 0.5; with networks that end in a mean of each map. `vgg`, which flattens
its maps, is shown the small images enlarged again.
Goes badly with: images of few pixels, such as 8x8; a frozen backbone, of which nothing learns; few
epochs, as each stretch needs some; batch norm of fixed statistics, which are of whole images.
Cost: time falls: at scale 0.5 an epoch takes about a quarter, so that share 0.5 saves a third of a
training (of a `vgg` none); the network is compiled once more a trial.
"""

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base

LAST = True  # phases must be known
SERVES = ("classification",)
CLAIM = "coarse shapes are learnt first: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    share: float = Field(gt=0, lt=1, description="of the epochs, the first ones, at low resolution")
    scale: float = Field(
        ge=0.1, lt=1, examples=[0.5], description="width and height, as a share of the image's"
    )


def apply(recipe, options):
    if recipe.frozen:
        raise UserError("the whole backbone is frozen, so that nothing learns from images")
    shortest = min(p.epochs for p in recipe.phases or (recipe,) if not getattr(p, "head_only", 0))
    if shortest < 2:
        raise UserError(f"its two stretches need 2 epochs or more, and there is {shortest}")
    return recipe.augmenting("progressive_resizing", **options.model_dump())


def resolutions(epochs, share, scale):
    """(epochs, scale) of each stretch of a training of so many epochs, 2 or more."""
    first = min(max(round(share * epochs), 1), epochs - 1)
    return (first, scale), (epochs - first, 1.0)
