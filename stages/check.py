"""check: the whole params.yaml is valid, before anything long begins."""

from cnnlab import params
from stages import run


def main() -> None:
    params.read()


if __name__ == "__main__":
    run(main)
