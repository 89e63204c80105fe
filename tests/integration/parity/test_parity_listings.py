"""autoindex: order, escaping, times, sizes, kinds, empty folders, 20,000 entries."""

import os

import pytest

import trees
from cases import PATIENCE, request


def _names(folder: str) -> None:
    for byte in range(1, 256):
        if byte != ord("/"):
            with open(os.fsencode(folder) + b"/n" + bytes([byte]), "wb") as file:
                file.write(b"x" * byte)
    for name in (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xc3", b"e\xcc\x81", b"\xef\xbb\xbf",
        b"\xe2\x80\xa8", b"<b>", b"&amp;", b"%41", b"x" * 255, b"\x01" * 255, b'"' * 255, b"\xff" * 255):
        open(os.fsencode(folder) + b"/" + name, "wb").close()


def _order(folder: str) -> None:
    for number, name in enumerate(("a", "B", "aa", "a.b", "a-b", "A", "b", "10", "9", "1", "~", "_", "ab", "a b", "Z",
        "z")):
        (os.mkdir if number % 3 == 0 else lambda path: open(path, "w").close())(f"{folder}/{name}")


def _times(folder: str) -> None:
    for name, when in (("zero", 0), ("one", 1), ("old", -1), ("older", -86400 * 366), ("2038", 2**31),
        ("2106", 2**32), ("leap", 951782400), ("end", 946684799), ("half", 1000000000.9), ("far", 15032385535)):
        path = f"{folder}/{name}"
        open(path, "w").close()
        os.utime(path, (when, when))


def _sizes(folder: str) -> None:
    for size in (0, 1, 9, 10, 4095, 2**31 - 1, 2**31, 2**32, 2**40, 2**43):
        with open(f"{folder}/{size}", "wb") as file:
            file.truncate(size)


def _kinds(folder: str) -> None:
    os.mkfifo(f"{folder}/fifo")
    os.mkdir(f"{folder}/folder")
    open(f"{folder}/file", "w").close()
    for name, target in (("to-file", "file"), ("to-folder", "folder"), ("to-fifo", "fifo"), ("nowhere", "x"),
        ("itself", "itself"), ("up", ".."), ("up-file", "../d/a"), ("through", "to-folder/../file")):
        os.symlink(target, f"{folder}/{name}")
    for name in (".dot", "..dots", "...", ".a/"):
        os.mkdir(f"{folder}/{name}") if name.endswith("/") else open(f"{folder}/{name}", "w").close()


def _modes(folder: str) -> None:
    for mode in (0o000, 0o200, 0o444, 0o777, 0o4755):
        open(f"{folder}/{mode:o}", "w").close()
        os.chmod(f"{folder}/{mode:o}", mode)
    os.mkdir(f"{folder}/closed", 0)


def _many(folder: str) -> None:
    for n in range(20000):
        path = f"{folder}/{n * 7919 % 20011:x}"
        open(path, "w").close()
        os.utime(path, (trees.FIRST, trees.FIRST))


FOLDERS = {"names": _names, "order": _order, "times": _times, "sizes": _sizes, "kinds": _kinds, "modes": _modes,
    "one": lambda folder: open(f"{folder}/x", "w").close(), "none": lambda folder: None,
           "dots": lambda folder: open(f"{folder}/.x", "w").close(), "many": _many}
WAYS = {"GET": request("GET", "/L/"), "HEAD": request("HEAD", "/L/"), "1.0": request("GET", "/L/", version="1.0"),
    "twice": request("GET", "/L/") * 2}


@pytest.mark.parametrize("name", FOLDERS)
def test_listings(pair, name):
    try:
        for server in pair.servers:
            folder = str(server.root / "L")
            os.mkdir(folder)
            FOLDERS[name](folder)
        for way, raw in WAYS.items() if name != "many" else [("GET", WAYS["GET"])]:
            one, other = pair.ask([raw], PATIENCE)
            assert one == other, f"{way}: nginx {one}\nvolumed {other}"
            assert all(answer.status in (200, 404) for answer in one), one
        # What a listing names can be got under that name.
        entries = sorted(os.listdir(os.fsencode(pair.servers[0].root) + b"/L"))[:300]
        targets = [b"/L/" + b"".join(b"%%%02x" % byte for byte in entry) for entry in entries]
        one, other = pair.ask([b"".join(request("HEAD", target) for target in targets)])
        assert one == other
    finally:
        pair.restore()
