"""kfold: which dev images judge which trial."""

from cnnlab import params, paths
from cnnlab.data import folds, pool
from stages import run


def main() -> None:
    options, seed, sizes = params.load("folds", "seed", "sizes")
    manifest = pool.read(paths.PREPARED / "dev").manifest
    made = folds.make(manifest, options.k, options.repeats, seed)
    folds.enough(made, manifest, sizes.per_class)
    folds.write(paths.FOLDS, made)


if __name__ == "__main__":
    run(main)
