"""kfold: which dev images judge which trial."""

from cnnlab import params, paths
from cnnlab.data import folds, pool
from stages import run


def main() -> None:
    options, seed = params.load("folds", "seed")
    manifest = pool.read(paths.PREPARED / "dev").manifest
    folds.write(paths.FOLDS, folds.make(manifest, options.k, options.repeats, seed))


if __name__ == "__main__":
    run(main)
