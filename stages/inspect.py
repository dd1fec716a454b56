"""inspect: which images the recommended variant is worst at, and what may be wrong with them, as
the task does it."""

from cnnlab import params
from stages import run
from stages.parts.inspect import PARTS


def main() -> None:
    PARTS[params.load("task")].main()


if __name__ == "__main__":
    run(main)
