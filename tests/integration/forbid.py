"""Runs a program that may not make certain system calls: forbid.py CALL=ERRNO… -- PROGRAM ARG…

As an old kernel (ENOSYS) or an old container engine's filter (EPERM) would have it, by seccomp.
"""

import ctypes
import errno
import os
import struct
import sys

# The same numbers on x86-64 and AArch64, where calls are younger than both.
CALLS = {"statx": None, "preadv2": None, "openat2": 437, "cachestat": 451}
_ELSEWHERE = {"x86_64": {"statx": 332, "preadv2": 327}, "aarch64": {"statx": 291, "preadv2": 286}}

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # of the kernel's packet filter language
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def command(calls: dict[str, str], argv: list[str]) -> list[str]:
    words = [f"{call}={error}" for call, error in calls.items()]
    return [sys.executable, __file__, *words, "--", *argv]


def _forbid(calls: dict[int, int]) -> None:
    steps = [struct.pack("=HBBI", _LOAD, 0, 0, 0)]  # the call's number
    for number, error in calls.items():
        steps.append(struct.pack("=HBBI", _JUMP_IF_EQUAL, 0, 1, number))
        steps.append(struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | error))
    steps.append(struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for step in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, program)):
        if libc.prctl(*step) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    end = sys.argv.index("--")
    calls = {}
    for word in sys.argv[1:end]:
        name, _equals, error = word.partition("=")
        number = CALLS[name] or _ELSEWHERE[os.uname().machine][name]
        calls[number] = getattr(errno, error)
    _forbid(calls)
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
