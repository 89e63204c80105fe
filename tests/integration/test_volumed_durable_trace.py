"""What volumed has the kernel sync before it answers, by a trace of its system calls.

A power cut on ext4 does not tell a missing sync of a new folder, since its syncs of files bring
everything along; on other file systems it would be a loss. So here each name must have been
followed by a sync of its own folder.
"""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from syscalls import HAS_FILTER, WITHOUT_TMPFILE, Call, StracedVolume

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

CALLS = "mkdir,mkdirat,linkat,renameat,renameat2,unlinkat,fsync,fdatasync,syncfs,pwritev,sendto"
SYNCS = ("fsync", "fdatasync", "syncfs")
CHANGES = ("mkdirat", "linkat", "renameat", "renameat2", "unlinkat")
DOT = "/.volumed"


@pytest.fixture(params=["tmpfile", "dot folder"])
def way(request):
    if request.param == "tmpfile":
        return []
    if not HAS_FILTER:
        pytest.skip("no filter for this machine's calls")
    return WITHOUT_TMPFILE


@pytest.fixture
def run(tmp_path, way):
    """Starts a traced volumed with these flags."""
    started = []

    def start(*flags: str) -> StracedVolume:
        volume = StracedVolume(tmp_path, ["-e", f"trace={CALLS}"], flags, way)
        started.append(volume)
        volume.start()
        return volume

    yield start
    for volume in started:
        volume.kill()
        assert not volume.complaints()


def changed_folders(calls: list[Call]) -> list[tuple[str, Call]]:
    """Each folder that a call put a name into or took one from, with that call."""
    found = []
    for call in calls:
        if call.failed or call.name not in CHANGES:
            continue
        folder = call.folders()[-1]
        own = DOT in folder or DOT[1:] in call.names()  # of no meaning to what is stored
        if not own:
            found.append((folder, call))
    return found


def check_durable(calls: list[Call]) -> set[str]:
    """Every change of a folder is on disk before the answer; returns the folders."""
    syncs = [call for call in calls if call.name == "fsync" and not call.failed]
    changes = changed_folders(calls)
    assert changes
    for folder, change in changes:
        after = [s for s in syncs if s.folders() == [folder] and s.began > change.ended]
        assert after, f"{folder} is not synced after {change}"
    assert all(sync.ended < calls[-1].began for sync in syncs)
    return {folder for folder, _change in changes}


def check_data_first(calls: list[Call]) -> None:
    """All bytes were written, then synced, then the file got a name; each is seen once."""
    data = [c for c in calls if c.name in ("fdatasync", "fsync") and _is_file(c)]
    writes = [c for c in calls if c.name == "pwritev"]
    names = [c for _folder, c in changed_folders(calls) if c.name != "mkdirat"]
    assert len(data) == 1 and len(names) == 1 and writes and not data[0].failed
    assert max(write.ended for write in writes) < data[0].began
    assert data[0].ended < names[0].began


def _is_file(call: Call) -> bool:
    """A file without a name, or with one in the dot folder."""
    path = call.folders()[0]
    return "/#" in path or DOT + "/" in path


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("fields", [None, {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}])
def test_put_and_delete(run, way, size, fields):
    volume = run()
    top = str(volume.root)

    status, calls = volume.calls_of("PUT", "/sv00/aa/bb/new", b"x" * size, fields)
    assert status == 201
    check_data_first(calls)
    assert check_durable(calls) == {
        top, f"{top}/sv00", f"{top}/sv00/aa", f"{top}/sv00/aa/bb"
    }  # fmt: skip
    used_dot = any(f"{DOT}/" in f for call in calls for f in call.folders())
    assert used_dot == bool(way)

    for name, wanted in (("second", 201), ("new", 204)):
        status, calls = volume.calls_of("PUT", f"/sv00/aa/bb/{name}", b"y" * size, fields)
        assert status == wanted
        check_data_first(calls)
        assert check_durable(calls) == {f"{top}/sv00/aa/bb"}

    status, calls = volume.calls_of("DELETE", "/sv00/aa/bb/new")
    assert status == 204
    assert check_durable(calls) == {f"{top}/sv00/aa/bb"}

    # Whoever is told that it is gone may rely on that, too.
    status, calls = volume.calls_of("DELETE", "/sv00/aa/bb/new")
    assert status == 404
    assert [call.folders() for call in calls if call.name == "fsync"] == [[f"{top}/sv00/aa/bb"]]


def test_folders_made_by_others(run):
    """They may not be on disk: who made them a moment ago may not have synced them."""
    volume = run()
    (volume.root / "sv03/cc/dd").mkdir(parents=True)
    status, calls = volume.calls_of("PUT", "/sv03/cc/dd/new", b"x")
    assert status == 201
    synced = {call.folders()[0] for call in calls if call.name == "fsync"}
    below = str(volume.root)
    assert {below, f"{below}/sv03", f"{below}/sv03/cc", f"{below}/sv03/cc/dd"} <= synced


def test_without_sync_nothing_is_synced(run):
    volume = run("-sync=false")
    for method, body, wanted in (("PUT", b"x", 201), ("PUT", b"y", 204), ("DELETE", None, 204)):
        status, _calls = volume.calls_of(method, "/sv00/aa/bb/new", body)
        assert status == wanted
    assert not [call for call in volume.calls() if call.name in SYNCS]


WRITERS = 48


@pytest.mark.parametrize("folders", ["one", "each its own"])
def test_writers_share_syncs(tmp_path, folders):
    """While a sync runs, those who need the next one gather; slow ones show it."""
    slow = ["-e", f"trace={CALLS}", "-e", "inject=fsync:delay_enter=50000"]
    volume = StracedVolume(tmp_path, slow)
    volume.start()
    paths = [f"/sv00/aa/{n if folders != 'one' else 'bb'}/{n}" for n in range(WRITERS)]
    try:
        before = volume.lines()
        with ThreadPoolExecutor(WRITERS) as pool:
            answers = list(pool.map(lambda path: volume.request("PUT", path, b"x"), paths))
        assert {answer.status for answer in answers} == {201}
        calls = volume.calls(before)
    finally:
        volume.kill()
    assert not volume.complaints()
    synced = Counter(call.folders()[0] for call in calls if call.name == "fsync")
    shared = ["", "/sv00", "/sv00/aa"] + ["/sv00/aa/bb"] * (folders == "one")
    for folder in shared:
        assert 1 <= synced[str(volume.root) + folder] <= WRITERS // 4, synced
    if folders != "one":
        assert all(synced[f"{volume.root}/sv00/aa/{n}"] == 1 for n in range(WRITERS))


def test_the_folder_served(run):
    """It is made where it is missing, and then its own name is on disk before any answer."""
    volume = run()
    volume.kill()
    volume.root.rmdir()
    volume.start()
    parent = str(volume.root.parent)
    calls = volume.calls()
    made = [call for call in calls if call.name == "mkdir" and call.names() == [str(volume.root)]]
    synced = [call for call in calls if call.name == "fsync" and call.folders() == [parent]]
    assert len(made) == 1 and synced and synced[0].began > made[0].ended
