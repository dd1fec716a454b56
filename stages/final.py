"""final: the recommended variant, trained on all dev images and evaluated once on the test set,
as the task does it."""

from cnnlab import params
from stages import run
from stages.parts.final import PARTS


def main() -> None:
    PARTS[params.load("task")].main()


if __name__ == "__main__":
    run(main)
