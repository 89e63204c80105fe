"""Where a key's value lies, written anew from the design.

Nothing here is shared with the C sources, so that the tests hold the servers against a second
reading of the rules; test_placement.py holds both this and them against tests/vectors.
"""

import base64
import hashlib
import re

PIECE_MAX = 255  # bytes of a file name
PIECE_CUT = 254  # characters of a piece before the '-' that says "goes on"


def key_path(key: bytes) -> str:
    """The path below a volume (or below its subvolume): /xx/yy/B."""
    digest = hashlib.md5(key).hexdigest()
    pieces = []
    for piece in base64.b64encode(key).decode().split("/"):
        while len(piece) > PIECE_MAX:
            pieces.append(piece[:PIECE_CUT] + "-")
            piece = piece[PIECE_CUT:]
        pieces.append(piece)
    text = "/".join(pieces)
    if text.endswith("/"):
        text += "-"
    return f"/{digest[0:2]}/{digest[2:4]}/{text}"


def disk_path(key: bytes) -> str:
    """The same as a file system has it: neighbouring slashes are one there."""
    return re.sub("/+", "/", key_path(key))


def rank(key: bytes, volumes: list[str]) -> list[tuple[bytes, int]]:
    """All volumes, best first, as (score, index)."""
    scored = [(hashlib.md5(key + name.encode()).digest(), i) for i, name in enumerate(volumes)]
    return sorted(scored, key=lambda pair: pair[0], reverse=True)


def subvolume(score: bytes, subvolumes: int) -> str:
    if subvolumes == 1:
        return ""
    return "/sv%02X" % (int.from_bytes(score[12:16], "big") % subvolumes)


def homes(key: bytes, volumes: list[str], replicas: int, subvolumes: int) -> list[str]:
    """The places that are the key's home, in order."""
    best = rank(key, volumes)[:replicas]
    return [volumes[i] + subvolume(score, subvolumes) for score, i in best]
