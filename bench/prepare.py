"""From an archive of JPEG files to pools on disk: images a second, and memory as images grow.

`python -m bench.prepare [ARCHIVE]` (default: ../shared/data/cifar10_jpeg.tar) runs the stage
`prepare` on 1,000, 10,000 and all of the archive's images and on 200,000 made from them, and in
turns with it the loop that one would write instead: processes that decode, a parent that writes the
pixels into a memory-mapped .npy. That loop keeps no cache, looks for no duplicates, draws no pools
and gives up at the first bad file. Memory is that of all processes together (PSS), sampled.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from bench import median, save, watched

ROOT = Path(__file__).parents[1]
ARCHIVE = ROOT.parent / "shared/data/cifar10_jpeg.tar"
SIZE = 32  # pixels
ROUNDS = 3
SIZES = (1_000, 10_000, 60_000, 200_000)
CHUNK = 64


def bare(archive: str, target: str) -> None:
    """The peer: decode in parallel, write to a memory-mapped array."""
    with tarfile.open(archive) as tar:
        members = [(m.offset_data, m.size) for m in tar if m.isfile()]
    shape = (len(members), SIZE, SIZE, 3)
    out = np.lib.format.open_memmap(target, "w+", np.uint8, shape)
    chunks = [members[i : i + CHUNK] for i in range(0, len(members), CHUNK)]
    with ProcessPoolExecutor() as pool:
        done = pool.map(_decode, [archive] * len(chunks), chunks)
        for i, pixels in enumerate(done):
            out[i * CHUNK : i * CHUNK + len(pixels)] = pixels
    out.flush()


def _decode(archive: str, members: list[tuple[int, int]]) -> np.ndarray:
    images = []
    with Path(archive).open("rb") as file:
        for offset, size in members:
            file.seek(offset)
            with Image.open(io.BytesIO(file.read(size))) as image:
                images.append(np.asarray(image.convert("RGB").resize((SIZE, SIZE))))
    return np.stack(images)


def study(archive: Path, folder: Path) -> None:
    """A study whose dev pool is the whole archive but for a tenth of each class."""
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["data"].update(source="image_folder", raw=str(archive), image_size=SIZE)
    params["data"].update(dev_per_class=None, test_share=0.1)
    params["data"]["pretrain"].update(task=None, classes=None)
    params["variants"] = {"train": {"baseline": []}, "transfer": {}}
    params["sizes"]["variants"] = []
    params["visualize"]["variants"] = ["baseline"]
    folder.mkdir()
    yaml.dump(params, folder / "params.yaml")


def measured(what: str, folder: Path, *arguments: str) -> tuple[float, int]:
    """Seconds of a contender without its imports, and the most memory its processes had at once,
    in bytes."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    command = [sys.executable, "-m", "bench.prepare", what, *arguments]
    said, most = watched(command, folder, env)
    return float(said.split()[-1]), most


def subset(archive: Path, n: int, target: Path) -> None:
    """The archive's files in another one, evenly taken, or several times, turned and mirrored."""
    with tarfile.open(archive) as tar, tarfile.open(target, "w") as out:
        members = [m for m in tar if m.isfile()]
        for i in np.linspace(0, len(members) - 1, n).astype(int) if n <= len(members) else range(n):
            member = members[i % len(members)]
            content = tar.extractfile(member).read()
            if i >= len(members):  # turned and mirrored ones are no near duplicates
                with Image.open(io.BytesIO(content)) as image:
                    made = io.BytesIO()
                    way = Image.Transpose(i // len(members) - 1)
                    image.transpose(way).save(made, "jpeg", quality=90)
                content = made.getvalue()
                member = tarfile.TarInfo(f"{member.name.removesuffix('.jpg')}_{i}.jpg")
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))


def main(archive: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-prepare-"))
    results = {}
    for n in SIZES:
        part = folder / f"{n}.tar"
        subset(archive, n, part)
        rates: dict[str, list[float]] = {"stage": [], "stage again": [], "bare loop": []}
        memory: dict[str, list[int]] = {name: [] for name in rates}
        for _ in range(1 if n > 60_000 else ROUNDS):
            place = folder / "study"
            shutil.rmtree(place, ignore_errors=True)
            study(part, place)
            runs = {"stage": ["stage"], "stage again": ["stage"]}
            runs["bare loop"] = ["bare", str(part), str(place / "x.npy")]
            for name, (what, *arguments) in runs.items():
                took, most = measured(what, place, *arguments)
                rates[name].append(n / took)
                memory[name].append(most)
                print(f"{n}: {name}: {n / took:.0f} images/s, {most / 2**20:.0f} MiB", flush=True)
        part.unlink()
        results[str(n)] = {
            name: {"images_per_s": median(rates[name]), "peak_mib": median(memory[name]) / 2**20}
            for name in rates
        }
        ratios = [a / b for a, b in zip(rates["stage"], rates["bare loop"], strict=True)]
        results[str(n)]["stage_to_bare_loop"] = median(ratios)
    save("prepare", results)
    shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] in (["bare"], ["stage"]):
        from stages import prepare

        began = time.perf_counter()
        bare(*sys.argv[2:]) if sys.argv[1] == "bare" else prepare.main()
        print(time.perf_counter() - began)
    else:
        main(Path(sys.argv[1]) if sys.argv[1:] else ARCHIVE)
