"""Small file systems of a test's own, to be filled up, frozen, made read-only and taken away.

They are mounted in a mount namespace that the test run makes for itself, so that nobody else sees
them and none of them outlives the run, however it ends; a loop device goes with its mount. A
frozen one is thawed by a process of its own that waits for the run's end as well. Where mounting
is not allowed the test is skipped.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024
_CLONE_NEWNS = 0x20000
_FROZEN_MOST = 300  # seconds


class MountError(Exception):
    pass


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise MountError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _mount_loop(image: Path, options: str, at: Path) -> None:
    _run("mount", "-o", ",".join(filter(None, ["loop", options])), str(image), str(at))


@functools.cache
def _why_not() -> str:
    """Why nothing can be mounted here; empty: it can. Enters the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    folder = tempfile.mkdtemp(prefix="mkv-test-")
    try:
        _run("mount", "--make-rprivate", "/")
        with Drives(folder) as drives:
            drives.loop_ext4(4 * MIB)
            drives.tmpfs("size=1m")
    except (MountError, OSError) as error:
        return f"mounting is not allowed: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


@dataclass
class Drive:
    """A mounted file system."""

    path: Path
    image: Path | None = None  # of the loop device
    _freezer: subprocess.Popen | None = None

    def remount(self, options: str) -> None:
        """E.g. "ro"."""
        _run("mount", "-o", f"remount,{options}", str(self.path))

    def free(self) -> tuple[int, int]:
        """Blocks and inodes that are."""
        left = os.statvfs(self.path)
        return left.f_bfree, left.f_ffree

    def fill(self, name: str = "filler") -> Path:
        """Takes all the room there is, in one file."""
        filler = self.path / name
        with open(filler, "wb", buffering=0) as out:
            for size in (MIB, 4096, 1):
                try:
                    while True:
                        out.write(b"f" * size)
                except OSError:
                    pass
        return filler

    def freeze(self) -> None:
        """Everything that writes to it hangs until thaw(). Ends by itself with the test run, or
        after some minutes."""
        assert self._freezer is None
        script = f'fsfreeze -f "$1" && echo frozen && read -r -t {_FROZEN_MOST} _; fsfreeze -u "$1"'
        self._freezer = subprocess.Popen(
            ["bash", "-c", script, "freezer", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._freezer.stdout.readline() == b"frozen\n"

    def thaw(self) -> None:
        if self._freezer is not None:
            self._freezer.communicate(b"\n")
            self._freezer = None

    def unmount(self) -> None:
        """For good; a server that has files open there keeps the file system alive."""
        self.thaw()
        if os.path.ismount(self.path):
            _run("umount", "-l", str(self.path))


class Drives:
    """Those of one test, all unmounted at its end."""

    def __init__(self, folder: Path | str):
        self._folder = Path(folder)
        self._made: list[Drive] = []

    def __enter__(self) -> "Drives":
        return self

    def __exit__(self, *_unused) -> None:
        for drive in reversed(self._made):
            drive.unmount()
        for drive in self._made:
            if drive.image:
                drive.image.unlink(missing_ok=True)

    def _add(self, at: Path | None, image: Path | None = None) -> Drive:
        if at is None:
            at = self._folder / f"drive{len(self._made)}"
        at.mkdir(parents=True, exist_ok=True)
        drive = Drive(at, image)
        self._made.append(drive)
        return drive

    def loop_ext4(self, size: int, mkfs: tuple[str, ...] = (), options: str = "", at=None) -> Drive:
        """An ext4 of `size` bytes in an image file; mounted at `at`, else in the folder given."""
        image = self._folder / f"image{len(self._made)}"
        with open(image, "wb") as out:
            out.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", *mkfs, str(image))
        return self.mount_image(image, options, at)

    def mount_image(self, image: Path, options: str = "", at=None) -> Drive:
        """Mounts an image that is there already; it is removed at the end as well."""
        drive = self._add(at, image)
        _mount_loop(image, options, drive.path)
        return drive

    def exchange(self, drive: Drive, image: Path, options: str = "") -> None:
        """Puts another image in the place of the drive's own."""
        drive.unmount()
        os.replace(image, drive.image)
        _mount_loop(drive.image, options, drive.path)

    def tmpfs(self, options: str, at=None) -> Drive:
        """E.g. "size=1m,nr_inodes=20"."""
        drive = self._add(at)
        _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(drive.path))
        return drive

    def bind(self, folder: Path, at: Path, options: str = "") -> Drive:
        """Another way to a folder that is there."""
        drive = self._add(at)
        _run("mount", "--bind", str(folder), str(at))
        if options:
            _run("mount", "-o", f"remount,bind,{options}", str(at))
        return drive


def made_or_skipped(folder: Path) -> Drives:
    if why := _why_not():
        pytest.skip(why)
    return Drives(folder)
