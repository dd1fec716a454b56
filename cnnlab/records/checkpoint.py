"""How far a trial has come, for one that was cut off."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnlab.records.files import write_bytes
from cnnlab.records.trial import Trial

LAYOUT = 2  # of the arrays, as the trainer has them: another number wherever that changes


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: the history so far, and every array that training changes."""

    history: list[dict[str, float]]
    arrays: list[np.ndarray]


class Checkpoint:
    """How far a trial has come, for one that was cut off: `.KEY.checkpoint` beside the records."""

    def __init__(self, folder: Path, trial: Trial, fingerprint: str, seconds: float = 20.0):
        """`seconds`: how much work may be lost; a checkpoint is due so long after the last one."""
        self._path = folder / f".{trial.key}.checkpoint"
        self._of = f"{fingerprint} {LAYOUT}"
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, arrays: list[np.ndarray], history: list[dict[str, float]]) -> None:
        """Replace the checkpoint by this state."""
        content = io.BytesIO()
        about = json.dumps({"of": self._of, "history": history})
        np.savez(content, *arrays, about=np.array(about))
        write_bytes(self._path, content.getvalue())
        self._last = time.monotonic()

    def load(self) -> Saved | None:
        """The state saved last by a trial with the same fingerprint, if there is one."""
        if not self._path.exists():
            return None
        try:
            with np.load(self._path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                arrays = [file[f"arr_{i}"] for i in range(len(file.files) - 1)]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            print(f"{self._path}: not a checkpoint ({error}); the trial begins anew")
            return None
        if about.get("of") != self._of:  # of other code, or of an earlier cnnlab
            return None
        return Saved(about["history"], arrays)

    def remove(self) -> None:
        """The trial has its record; its checkpoint goes."""
        self._path.unlink(missing_ok=True)
