"""The text of an index record: "[DELETED][HASH<32 hex digits>]place,place,…"."""


def parse_record(text: bytes) -> tuple[str, str, list[str]]:
    """(live | unlinked, MD5 in hex or "", places)."""
    rest, state, md5 = text.decode(), "live", ""
    if rest.startswith("DELETED"):
        state, rest = "unlinked", rest[len("DELETED") :]
    if rest.startswith("HASH"):
        md5, rest = rest[4:36], rest[36:]
    return state, md5, rest.split(",")


def format_record(state: str, md5: str, places: list[str]) -> bytes:
    head = "DELETED" if state == "unlinked" else ""
    return (head + ("HASH" + md5 if md5 else "") + ",".join(places)).encode()
