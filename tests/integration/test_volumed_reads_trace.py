"""How volumed sends files, by a trace of its system calls."""

import shutil

import pytest

from server_process import wait_until
from syscalls import Call, StracedVolume

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

TURN = 2 << 20  # sent before others get theirs


@pytest.fixture
def volume(tmp_path):
    volume = StracedVolume(tmp_path, ["-e", "trace=sendfile,setsockopt,sendto"])
    volume.start()
    yield volume
    volume.kill()
    assert not volume.complaints()


def corks(calls: list[Call]) -> list[int]:
    """What the socket's cork was set to, in turn; -1 stands for a stretch of the file."""
    marks = []
    for call in calls:
        if call.name == "sendfile" and not call.failed:
            marks.append(-1)
        elif "TCP_CORK" in call.args:
            marks.append(int("[1]" in call.args))
    return marks


def sent(volume: StracedVolume, size: int) -> list[int]:
    """The marks of a GET of that many bytes; the HEAD behind it is where they end."""
    body = bytes(range(251)) * (size // 251 + 1)
    (volume.root / "file").write_bytes(body[:size])
    before = volume.lines()
    assert volume.request("GET", "/file").body == body[:size]
    assert volume.request("HEAD", "/nothing").status == 404

    def is_told() -> list[Call]:
        calls = volume.calls(before)
        return calls if any('"HTTP/1.1 404 ' in call.args for call in calls) else []

    return corks(wait_until(is_told, 10, "the end of the trace"))


def test_a_large_file_leaves_in_full_segments(volume):
    """Corked from the first stretch to the last, and then no more, so that the file's end does
    not wait."""
    marks = sent(volume, 2 * TURN + 1)
    assert marks[0] == 1 and marks[-1] == 0
    assert set(marks[1:-1]) == {-1} and len(marks) >= 2 + 3


def test_a_file_of_one_turn_needs_no_cork(volume):
    assert set(sent(volume, TURN)) == {-1}
