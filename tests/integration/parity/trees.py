"""The folder both servers are given, and what a folder looks like when they are through.

Every link stays inside the folder or leads into the bait beside it, never further: a server
under test may do anything, and runs as root in places.
"""

import os
import shutil
import stat
import time
from pathlib import Path

BIG = bytes(range(256)) * 1024  # 256 KiB: more than is sent from memory at once

FOLDERS = ("d/sub", "empty", "ix", "ixdir/index.html", "sv00/aa/bb", "sv00/aa/.dot", "deep/1/2/3")
FILES = {
    b"t": b"0123456789",
    b"ix/index.html": b"<p>hi\n",
    b"sv00/aa/bb/L2E=": b"hello",
    b"sv00/aa/bb/zero": b"",
    b"sv00/aa/bb/big": BIG,
    b"deep/1/2/3/leaf": b"leaf",
    b"page.html": b"<p>x\n",
    b"pic.JPG": b"x",
    b"g.gif": b"x",
    b"tar.tgz.gif.": b"x",
    b"dir.html.bin": b"x",
    b".hidden": b"x",
    b".html": b"x",
    b"sp ace": b"x",
    b'q"\\uo': b"x",
    b"ctl\x01\n\t\x1f\r\b\f\x7f": b"x",
    b"raw\xff\xc3\xa9": b"x",
    b"h#a?b%c": b"x",
    b"plus+eq=;&": b"x",
    b"\xe2\x82\xac\xf0\x9f\x98\x80": b"euro",
    b"d/B": b"x",
    b"d/a": b"x",
    b"d/\xc3\x84": b"x",
    b"d/~": b"x",
}
LINKS = {
    "sv01": "sv00",
    "link": "t",
    "dlink": "d",
    "dangling": "nowhere",
    "loop": "loop",
    "d/up": "../t",
    "sv00/aa/side": "bb",
}
FIRST = 1_000_000_000  # the oldest time; each name has one of its own


def _is_own(name: bytes) -> bool:
    return name in (b".nginx", b".volumed")


def populate(root: Path) -> None:
    """The same names, bytes and times for whoever is given it."""
    top = os.fsencode(root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        with open(os.path.join(top, name), "wb") as file:
            file.write(data)
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "fifo")
    outside = root.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    (outside / "bait").write_bytes(b"bait")
    settle(root)


def settle(root: Path) -> None:
    """Gives each name a time of its own: the order of names decides, so equal folders agree."""
    paths = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders[:] = [name for name in folders if not _is_own(name)]
        paths += [os.path.join(folder, name) for name in folders + files]
    for number, path in enumerate(sorted(paths)):
        os.utime(path, (FIRST + number, FIRST + number), follow_symlinks=False)
    os.utime(root, (FIRST - 1, FIRST - 1))


def clear(root: Path) -> None:
    """Takes out all but the servers' own folders and the drive sv00, which stays as a drive
    does and is only emptied."""
    for top in (root / "sv00", root):
        if not top.is_dir():
            continue
        with os.scandir(os.fsencode(top)) as entries:
            for entry in entries:
                if _is_own(entry.name) or (top == root and entry.name == b"sv00"):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


def _content(name: bytes, mode: int, folder: int):
    if stat.S_ISREG(mode):
        with open(name, "rb", opener=lambda n, flags: os.open(n, flags, dir_fd=folder)) as file:
            return file.read()
    return os.readlink(name, dir_fd=folder) if stat.S_ISLNK(mode) else None


def tree(root: Path) -> dict[bytes, tuple]:
    """Kind, mode, time and content of every name below root, and of the folder outside. What
    was made or changed just now is as good as any other such. (By descriptors: a path may be
    too long to be named.)"""
    now, found = time.time(), {}
    for top in (os.fsencode(root), os.fsencode(root.parent / "outside")):
        for folder, folders, files, fd in os.fwalk(top):
            folders[:] = [name for name in folders if not _is_own(name)]
            for name in folders + files:
                st = os.lstat(name, dir_fd=fd)
                when = "now" if abs(st.st_mtime - now) < 3600 else st.st_mtime
                path = os.path.relpath(os.path.join(folder, name), os.fsencode(root))
                if path == b"sv00":
                    when = "drive"  # the first file made on it tells volumed what it can do
                found[path] = (oct(st.st_mode), when, _content(name, st.st_mode, fd))
    return found


def differing(a: dict, b: dict) -> dict:
    return {name: (a.get(name), b.get(name)) for name in sorted(a.keys() | b.keys())
            if a.get(name) != b.get(name)}
