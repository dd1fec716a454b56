"""Seeds: each its own, derived from the study's, never global."""

import hashlib
import json


def derive(seed: int, *parts: object) -> int:
    """A seed in 0 .. 2**31 - 1 of its own for each (seed, *parts)."""
    text = json.dumps([seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
