"""`cnnlab COMMAND ...`, in a study's folder (`new`: at the root of the clone): each command is a
module that can be run by itself, with the arguments that `cnnlab COMMAND --help` names."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import runpy
import sys
from pathlib import Path

COMMANDS = {
    "new": "cnnlab.new_study",
    "try": "cnnlab.tryout",
    "params": "cnnlab.params",
    "design": "cnnlab.design",
    "find-lr": "cnnlab.find_lr",
    "predict": "cnnlab.predict",
    "export": "cnnlab.export",
    "track": "cnnlab.track",
    "validate": "cnnlab.validate",
}
BARE = {"try", "params", "design", "track"}  # take no arguments


def main() -> None:
    """Run the command that the command line names."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name not in COMMANDS:
        known = f"cnnlab {{{','.join(COMMANDS)}}} ..."
        if name not in ("-h", "--help"):
            sys.exit(f"error: no command {name!r}: {known}")
        print(f"usage: {known}")
        return
    if name in BARE:
        source = Path(importlib.util.find_spec(COMMANDS[name]).origin).read_text()
        about = ast.get_docstring(ast.parse(source))
        argparse.ArgumentParser(f"cnnlab {name}", description=about).parse_args(arguments)
    sys.argv = [f"cnnlab {name}", *arguments]
    runpy.run_module(COMMANDS[name], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
