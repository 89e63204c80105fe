"""volumed under strace: what it asks of the kernel, and the kernel made to refuse."""

import ctypes
import os
import platform
import re
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster import Volume
from server_process import wait_until

_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")


@dataclass
class Call:
    """A system call that has returned; `began` and `ended` are lines of the trace."""

    name: str
    args: str
    failed: bool
    began: int
    ended: int

    def folders(self) -> list[str]:
        """The paths of the descriptors among its arguments."""
        return re.findall(r"\d+<([^>]*)>", self.args)

    def names(self) -> list[str]:
        return re.findall(r'"([^"]*)"', self.args)


class StracedVolume(Volume):
    """volumed under strace with these options. `wrapper`: a command that runs it."""

    def __init__(
        self,
        folder: Path,
        options: Iterable[str],
        flags: Iterable[str] = (),
        wrapper: Iterable[str] = (),
    ):
        super().__init__(folder, 0, "volumed", folder / "volume", flags)
        self.trace = folder / "trace"
        self.options, self.wrapper = list(options), list(wrapper)

    def command(self) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command()
        strace = ["strace", "-f", "-qq", "-y", "-o", str(self.trace), *self.options]
        return [*strace, *self.wrapper, *argv], env

    def calls(self, after: int = 0) -> list[Call]:
        """Those that began after that line of the trace, in the order of their ends."""
        found, open_calls = [], {}
        for number, line in enumerate(self.trace.read_text().splitlines(), 1):
            parts = _LINE.fullmatch(line)
            if not parts:
                continue
            thread, resumed, name, rest = parts.groups()
            if resumed:
                began, args = open_calls.pop(thread)
            else:
                began, args = number, ""
            if rest.endswith("<unfinished ...>"):
                open_calls[thread] = (began, rest)
                continue
            args += rest
            failed = re.search(r"\) += -1 E", args) is not None
            if began > after:
                found.append(Call(resumed or name, args, failed, began, number))
        return found

    def lines(self) -> int:
        return len(self.trace.read_text().splitlines())

    def calls_of(self, method: str, path: str, body=None, fields=None) -> tuple[int, list[Call]]:
        """The status of a request, and the calls up to its answer's, which is the last."""
        before = self.lines()
        status = self.request(method, path, body, fields).status

        def up_to_answer() -> list[Call]:
            calls = self.calls(before)
            for n, call in enumerate(calls):
                if call.name == "sendto" and f'"HTTP/1.1 {status} ' in call.args:
                    return calls[: n + 1]
            return []

        return status, wait_until(up_to_answer, 10, f"the answer to {method} {path} in the trace")


# Run as a program: a command whose openat() knows no O_TMPFILE, as on many a file system.
WITHOUT_TMPFILE = [sys.executable, __file__]
_OPENAT = {"x86_64": (0xC000003E, 257), "aarch64": (0xC00000B7, 56)}
HAS_FILTER = platform.machine() in _OPENAT


def _forbid_tmpfile() -> None:
    """A seccomp filter: openat() with O_TMPFILE is answered with EOPNOTSUPP."""
    arch, openat = _OPENAT[platform.machine()]
    load, equal, bits, give = 0x20, 0x15, 0x45, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | 95
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 0, 5, arch),
        (load, 0, 0, 0),  # the call's number
        (equal, 0, 3, openat),
        (load, 0, 0, 16 + 2 * 8),  # its third argument: the flags
        (bits, 0, 1, os.O_TMPFILE & ~os.O_DIRECTORY),
        (give, 0, 0, refuse),
        (give, 0, 0, allow),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    set_seccomp, no_new_privileges, mode_filter = 22, 38, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(
        set_seccomp, mode_filter, ctypes.create_string_buffer(filter_), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    _forbid_tmpfile()
    os.execvp(sys.argv[1], sys.argv[1:])
