"""check: all of params.yaml fits together, and the places that it names hold what is asked of them:
all that is wrong at once, before anything else runs. Every other stage depends on it."""

import os
from collections.abc import Iterator
from pathlib import Path

from cnnlab import CODE, consistency, edited, params, paths
from cnnlab.data.options import SIDES
from cnnlab.errors import UserError
from stages import run

OF_FILES = ("image_folder", "image_table")  # sources whose images have headers
LOOKED_AT = 50  # headers


def main() -> None:
    edited.restored(params.FILE)  # from what `dvc exp run -S` made of it
    kinds = (consistency.LAW, consistency.LATER, consistency.FIT)
    whole, problems = params.read_parts(kinds)
    problems += _places(whole)
    if problems:
        raise UserError("\n".join(f"{params.FILE}: {line}" for line in problems))
    paths.CHECKED.parent.mkdir(exist_ok=True)
    paths.CHECKED.write_text("params.yaml is valid\n")  # ever the same: nothing is stale by it


def _places(whole: params.Params) -> Iterator[str]:
    """What is wrong with the folders and files that params name, a line each; of keys that are not
    valid, nothing."""
    code = getattr(whole, "code", None)
    if code is not None:
        yield from _no_code(code)
    data, backbone = getattr(whole, "data", None), getattr(whole, "backbone", None)
    raw, learnt = getattr(data, "raw", None), getattr(getattr(data, "pretrain", None), "raw", None)
    for key, folder in (("data.raw", raw), ("data.pretrain.raw", learnt)):
        if folder is not None:
            refused = _no_home(key, folder) or _not_there(key, folder) or _not_apart(key, folder)
            yield from refused or _not_kept(key, folder)
    weights, named = getattr(backbone, "weights", "pretrain"), ("pretrain", "package", "imagenet")
    if weights not in named and "://" not in weights:
        yield from _no_home("backbone.weights", weights) or _not_there("backbone.weights", weights)
    if params.is_whole(data) and data.image_size is None:
        yield from _shapes(whole)


def _no_code(code: str) -> list[str]:
    """Refuse a way that leads to no code, where DVC is to follow it."""
    if not Path("dvc.yaml").exists() or Path(code, "cnnlab").is_dir():
        return []
    way = os.path.relpath(CODE)
    return [f"code = {code!r}: allowed: the way from here to the folder of cnnlab: {way}"]


def _no_home(key: str, path: str) -> list[str]:
    """Refuse ~, which only a shell knows: DVC, which keeps data.raw, takes it for a folder."""
    whole = os.path.expanduser(path)  # noqa: PTH111
    return [f"{key} = {path!r}: allowed: the whole path, {whole}"] if path.startswith("~") else []


def _not_there(key: str, path: str) -> list[str]:
    there = Path(path).exists()
    return [] if there else [f"{key} = {path!r}: there is no such file or folder"]


def _not_apart(key: str, folder: str) -> list[str]:
    """Refuse a folder that holds results of the study, which DVC would take for images."""
    whole = Path(folder).resolve()
    for results in (paths.CHECKED, paths.REPORTS, paths.MODELS):
        if results.resolve().is_relative_to(whole):
            said = f"holds what the study writes, {results}; name a folder of images alone"
            return [f"{key} = {folder!r}: {said}"]
    return []


def _not_kept(key: str, folder: str) -> list[str]:
    """Refuse what `prepare` reads, or leaves out, and DVC cannot keep: names that are no text in
    UTF-8, as old archives leave them, of which it says no more than "surrogates not allowed"; its
    own .dvcignore, and links that lead nowhere, at which it stops; and pipes, at which it waits for
    ever."""
    nameless, fileless, ignoring = [], [], []
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if not name.isascii() and name.encode(errors="replace").decode() != name:
                nameless.append(os.path.join(above, name))  # noqa: PTH118  (a walk gives texts)
        paths = [os.path.join(above, name) for name in files]  # noqa: PTH118
        fileless += [path for path in paths if not os.path.isfile(path)]  # noqa: PTH113
        ignoring += [path for path in paths if path.endswith("/.dvcignore")]
    said = []
    for paths, what in (
        (
            nameless,
            "names that are not UTF-8, which DVC cannot keep; rename them, as `convmv -r -f latin1"
            " -t utf8 --notest` does, or put them into an archive",
        ),
        (
            fileless,
            "links that lead nowhere, pipes or devices, which DVC cannot keep; remove them, or put"
            " the images into an archive",
        ),
        (
            ignoring,
            "a file that DVC allows in no folder that it keeps; remove it, or put the images into"
            " an archive",
        ),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            said.append(f"{key} = {folder!r}: {_shown(min(paths))}{more}: {what}")
    return said


def _shown(path: str) -> str:
    """A path as it can be printed."""
    return path if path.isprintable() else str(os.fsencode(path))


def _shapes(whole: params.Params) -> Iterator[str]:
    """Whether images that stay as they are can: by the headers of a few. `prepare`, which reads
    all of them, would say so only after it has."""
    data, lies = whole.data, Path(whole.data.raw)
    in_one = lies.is_dir() or (lies.is_file() and lies.suffix.lower() == ".zip")
    if data.source not in OF_FILES or data.remote or not in_one:
        return  # where single files are found at once
    from cnnlab.data import survey  # which other studies do without

    try:
        shapes = survey.shapes(data.source, data.raw, LOOKED_AT)
    except UserError as error:
        yield str(error).removeprefix(f"{params.FILE}: ")
        return
    if not shapes:
        return
    key, (first, width, height) = "data.image_size = None", shapes[0]
    for name, wide, high in shapes[1:]:
        if (wide, high) != (width, height):
            two = f"{first} has {width}x{height} pixels, {name} {wide}x{high}"
            yield f"{key}: allowed where all images are alike, but {two}; give a size"
            return
    if not SIDES[0] <= min(width, height) <= max(width, height) <= SIDES[1]:
        sides = f"{SIDES[0]} to {SIDES[1]} pixels a side"
        yield f"{key}: allowed for images of {sides}; {first} has {width}x{height}: give a size"
    elif width != height and data.pretrain.task == "rotation" and data.pretrain.from_own:
        turns = "which data.pretrain.task = rotation turns by 90 degrees"
        yield f"{key}: {first} has {width}x{height} pixels, {turns}: give a size"
    sections = ("model", "backbone", "techniques", "train", "variants")
    if params.is_whole(*(getattr(whole, name, None) for name in sections)):
        yield from consistency.too_small(whole, min(width, height), f"{first} is {width}x{height}")


if __name__ == "__main__":
    run(main)
