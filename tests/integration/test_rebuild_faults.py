"""`mkv rebuild` and what goes wrong: the index is what it was, or the exit status and the lines
say what is not as it should be."""

import http.server
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

import leveldb
from cluster import KINDS, Cluster, md5_hex
from rebuilding import (
    CLEAN,
    FAILED,
    TOLD,
    by_hand,
    command,
    index,
    kept,
    line_with,
    rebuild,
    start_master,
    store,
    write_index,
)
from server_process import SLOW, StartError, free_address, limit, wait_until


def listing(root: Path) -> bytes:
    entries = []
    for entry in sorted(root.iterdir()):
        kind, size = ("directory", "") if entry.is_dir() else ("file", ', "size":7')
        entries.append(f'{{ "name":"{entry.name}", "type":"{kind}"{size} }}')
    return ("[\r\n" + ",\r\n".join(entries) + "\r\n]").encode()


class LyingVolume:
    """Lists a folder, but for what `lie` does: it gets the handler, the path and the right
    listing, and answers itself or returns what is to be sent."""

    def __init__(self, root: Path, lie):
        volume = self
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = unquote(self.path)
                volume.asked.append(path)
                folder = root / path.strip("/")
                body = lie(self, path, listing(folder) if folder.is_dir() else b"")
                if body is not None:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(free_address(), Handler)
        self.server.daemon_threads = True
        self.name = "%s:%d" % self.server.server_address
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "LyingVolume":
        return self

    def __exit__(self, *_error) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def mixed():
    """Volumes with some keys, of which the tests change nothing; no index."""
    with by_hand(KINDS["mixed"], subvolumes=2) as cluster:
        yield cluster


@pytest.fixture
def stored(mixed):
    """An index of one key per test, with what no listing tells."""
    for leftover in mixed.folder.glob("index*"):
        shutil.rmtree(leftover)
    record = ("unlinked", md5_hex(b"a value"), store(mixed, b"/a key")[2])
    write_index(mixed, {b"/a key": record})
    return {b"/a key": record}


def test_a_volume_that_is_down(mixed, stored):
    """Defect: rebuild with one volume down wipes the index and exits 0."""
    for volume in mixed.volumes[:2]:
        assert volume.stop() == 0
        try:
            lines = rebuild(mixed, FAILED)
        finally:
            volume.start()
        line_with(lines, "mkv: ", volume.authority, "takes no connection")
        assert index(mixed)[0] == stored
    rebuild(mixed, CLEAN)
    assert index(mixed)[0] == stored


def refuse_500(handler, path, right):
    handler.send_error(500)


def refuse_404(handler, path, right):
    """As a drive does that is unmounted while it is being read."""
    if path.count("/") < 4:
        return right
    handler.send_error(404)


def say_html(handler, path, right):
    return b"<html><body>Index of /</body></html>"


def leave_the_end_off(handler, path, right):
    return right[:-1] if path != "/" else right


def cut_the_connection(handler, path, right):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(right)))
    handler.end_headers()
    handler.wfile.write(right[:-1])
    handler.close_connection = True


def say_nothing(handler, path, right):
    time.sleep(20)


def never_end(handler, path, right):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b'[ { "name":"')
    try:
        while True:
            handler.wfile.write(b"a" * 65536)
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    "lie, word",
    [
        (refuse_500, "500"),
        (refuse_404, "404"),
        (say_html, "not a listing"),
        (leave_the_end_off, "ends too early"),
        (cut_the_connection, "breaks connections"),
        (say_nothing, "does not answer"),
        (never_end, "not a listing"),
    ],
)
def test_a_volume_that_cannot_be_read_whole(mixed, stored, lie, word):
    place = stored[b"/a key"][2][0].partition("/")[0]
    volume = next(v for v in mixed.volumes if v.authority == place)
    with LyingVolume(volume.root, lie) as lying:
        names = [lying.name if name == place else name for name in mixed.names()]
        flags = ("-listtimeout", limit(300)) if lie is say_nothing else ()
        lines = rebuild(mixed, FAILED, *flags, volumes=names)
        line_with(lines, "mkv: ", lying.name, word)
    assert index(mixed)[0] == stored


def test_a_folder_is_asked_for_again(mixed):
    """What was told of it before does not count twice, and the rest is there."""
    for leftover in mixed.folder.glob("index*"):
        shutil.rmtree(leftover)
    store(mixed, b"/a key")
    root, tries = mixed.volumes[0].root, {}

    def lie(handler, path, right):
        tries[path] = tries.get(path, 0) + 1
        if tries[path] < 2:
            return right[: len(right) // 2]
        return right

    with LyingVolume(root, lie) as lying:
        # A place's name is not part of what is asked: give it the key's file as well.
        names = [lying.name, *mixed.names()[1:]]
        rebuild(mixed, CLEAN, volumes=names)
        # The record names the volume as it was given.
        places = index(mixed)[0][b"/a key"][2]
    assert any(place.startswith(lying.name) for place in places)
    assert len(places) == 3
    assert set(tries.values()) == {2}


def test_a_disk_that_is_not_mounted(mixed, stored):
    """Its folder is empty, or a link that leads nowhere."""
    place = stored[b"/a key"][2][0]
    volume, sub = mixed.at(place)
    folder, aside = volume.root / sub, mixed.folder / "aside"
    folder.rename(aside)
    try:
        folder.mkdir()
        lines = rebuild(mixed, FAILED)
        line_with(lines, "mkv: ", place, "mounted")
        folder.rmdir()
        lines = rebuild(mixed, FAILED)
        line_with(lines, "mkv: ", place, "mounted")
        folder.symlink_to(mixed.folder / "not there")
        lines = rebuild(mixed, FAILED)
        line_with(lines, "mkv: ", place, "disk")
        folder.unlink()
        # A link to where it is mounted.
        folder.symlink_to(aside)
        # volumed holds a drive for some seconds before it looks which one is there now.
        wait_until(lambda: b"directory" in volume.request("GET", f"/{sub}/").body, 20, "it")
        rebuild(mixed, CLEAN)
    finally:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            folder.rmdir()
        aside.rename(folder)
        wait_until(lambda: b"directory" in volume.request("GET", f"/{sub}/").body, 20, "it again")
    assert index(mixed)[0] == stored


def test_names_that_are_not_ours(kind):
    """What lies beside the values is left alone; what lies among them and is no key's is
    reported."""
    with by_hand(KINDS[kind][:2], replicas=1, subvolumes=1) as cluster:
        want = {key: store(cluster, key) for key in (b"/a key", b"/o?o?o?", b"/" + b"x" * 400)}
        root = cluster.at(want[b"/a key"][2][0])[0].root
        (root / "lost+found").mkdir()
        (root / "a note").write_text("for the operator")
        (root / "svXY").mkdir()
        (root / "AA").mkdir()
        (root / ".hidden").mkdir()
        (root / "00" / "xyz").mkdir(parents=True)
        rebuild(cluster, CLEAN)
        assert index(cluster)[0] == want
        path = cluster.file(want[b"/a key"][2][0], b"/a key")
        other = "00" if path.parent.name != "00" else "01"
        wrong = [
            path.parent / "index.tmp",
            path.parent / path.name[:-1],
            path.parent / 'a "name" \\ with \xff\n\x01',
            path.parent / "folder of mine" / path.name,
            path.parent / path.name[:4] / path.name[4:],
            path.parent.parent / other / path.name,
            path.parent.parent / other / "L2E",
        ]
        for file in wrong:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"?")
        lines = rebuild(cluster, TOLD)
        assert index(cluster)[0] == want
        assert sum("passed over" in line for line in lines) == len(wrong), lines
        line_with(lines, f"{len(wrong)} files or folders are no key's")


def test_a_running_master():
    with Cluster(["volumed"], replicas=1) as cluster:
        cluster.live(b"/a key")
        lines = rebuild(cluster, FAILED)
        line_with(lines, "mkv: ", "another process has it open")
        assert cluster.read(b"/a key") == b"a value"


def test_no_master_starts_meanwhile(mixed, stored):
    asked = threading.Event()

    def lie(handler, path, right):
        asked.set()
        time.sleep(60)

    with LyingVolume(mixed.volumes[0].root, lie) as lying:
        names = [lying.name, *mixed.names()[1:]]
        process = subprocess.Popen(
            command(mixed, volumes=names), stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            assert asked.wait(20 * SLOW)
            with pytest.raises(StartError, match="another process has it open"):
                start_master(mixed)
            # Nor a second rebuild.
            done = subprocess.run(command(mixed), capture_output=True, text=True, timeout=60)
            assert done.returncode == FAILED and "another process" in done.stderr
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert index(mixed)[0] == stored
    lines = rebuild(mixed, CLEAN)
    line_with(lines, "an earlier rebuild was cut off")
    assert index(mixed)[0] == stored


def test_a_damaged_index(mixed, stored):
    """The master names rebuild; rebuild does without it, says so, and keeps it."""
    for file in mixed.master.db.glob("MANIFEST-*"):
        file.write_bytes(b"\xff" * 100)
    with pytest.raises(StartError, match="mkv rebuild"):
        start_master(mixed)
    lines = rebuild(mixed, TOLD)
    line_with(lines, "is damaged")
    assert index(mixed)[0] == {b"/a key": ("live", "", mixed.homes(b"/a key"))}
    assert len(kept(mixed)) == 1


def test_an_index_in_no_folder(mixed, tmp_path):
    mixed_db, mixed.master.db = mixed.master.db, tmp_path / "none" / "index"
    try:
        rebuild(mixed, FAILED)
        assert not mixed.master.db.exists()
    finally:
        mixed.master.db = mixed_db


def test_cut_off_where_folders_cannot_be_exchanged(mixed, stored):
    """The old index is away and the new one not yet in its place: no empty one is begun."""
    db = mixed.master.db
    work = db.with_name(db.name + ".rebuild")
    work.mkdir()
    db.rename(work / "index")
    with pytest.raises(StartError, match="run mkv rebuild again"):
        start_master(mixed)
    assert not db.exists()
    rebuild(mixed, CLEAN)
    assert index(mixed)[0] == stored


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("when", ["1+", "2+"])
def test_the_exchange_cannot_be_synced(mixed, stored, when):
    """Of the new index getting its name beside the old one, or of the exchange itself."""
    db = mixed.master.db
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(db.parent), "-e", "trace=fsync"]
    done = subprocess.run(
        [*strace, "-e", f"inject=fsync:error=EIO:when={when}", *command(mixed)],
        capture_output=True,
        text=True,
        timeout=60 * SLOW,
        check=False,
    )
    assert done.returncode == FAILED, done.stderr
    line_with(done.stderr.splitlines(), "mkv: ", str(db), "(the index is what it was)")
    assert index(mixed)[0] == stored
    assert not kept(mixed) and not Path(f"{db}.rebuild").exists()


def test_a_record_that_does_not_read(mixed, stored):
    """Its key comes back from its files; that more was known of it is said."""
    other = dict(stored)
    record = store(mixed, b"/broken")
    write_index(mixed, {}, {b"/broken": b"DELETEDHASHnot so many digits,,"})
    lines = rebuild(mixed, TOLD)
    line_with(lines, "/broken", "what the old index has of it does not read")
    other[b"/broken"] = record
    assert index(mixed)[0] == other
    for place in mixed.homes(b"/broken"):
        mixed.file(place, b"/broken").unlink()


def test_a_record_that_may_name_another_volume(mixed, stored):
    """No file on the volumes given brings its key to light: what it named is not asked, and that
    is said."""
    write_index(mixed, {}, {b"/elsewhere": b"no place, surely"})
    lines = rebuild(mixed, TOLD)
    line_with(lines, "1 records of the old index do not read", "not asked")
    assert index(mixed)[0] == stored


def test_an_index_that_names_too_many_volumes(mixed, stored):
    named = [b"/many/%d" % i for i in range(100)]
    write_index(
        mixed,
        {
            key: ("live", "", [f"volume-{i}-{n}:3001/sv00" for n in range(11)])
            for i, key in enumerate(named)
        },
    )
    before = index(mixed)
    line_with(rebuild(mixed, FAILED), "mkv: ", "names more volumes or places than there may be")
    assert index(mixed) == before


def test_an_index_that_reads_in_part(mixed, stored):
    """A block of a table is damaged, which shows only when it is read; its keys have no file."""
    write_index(mixed, {b"/elsewhere": stored[b"/a key"]})
    with leveldb.Database(str(mixed.master.db)):
        pass  # what was written last has a table of its own now
    table = max(mixed.master.db.glob("*.ldb"))
    with table.open("r+b") as file:
        file.write(b"\xff" * 8)
    lines = rebuild(mixed, TOLD)
    line_with(lines, "the old index cannot be read whole", "not asked")
    assert index(mixed)[0] == stored
    assert len(kept(mixed)) == 1


def test_wrong_usage(mixed):
    for flags in (["-replicas", "9"], ["-volumes", ""], ["-jobs", "0"], ["-master", "a:1"]):
        done = subprocess.run([*command(mixed)[:-1], *flags, "rebuild"], capture_output=True)
        assert done.returncode == 2, flags
        assert len(done.stderr.splitlines()) == 1


def test_progress(mixed, stored):
    """On a terminal a bar; elsewhere nothing, for so little work."""
    lines = rebuild(mixed, CLEAN)
    assert not any("%" in line for line in lines)

    def lie(handler, path, right):
        time.sleep(0.2)
        return right

    root = mixed.volumes[0].root
    with LyingVolume(root, lie) as lying:
        terminal, child = os.openpty()
        names = [lying.name, *mixed.names()[1:]]
        process = subprocess.Popen(
            command(mixed, "-jobs", "1", volumes=names), stderr=child, start_new_session=True
        )
        os.close(child)
        seen = b""
        while True:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
        os.close(terminal)
        # The old index names the volume as it was.
        assert process.wait() == TOLD
    assert b"\rreading the volumes [" in seen
    assert b"% " in seen and b"files/s" in seen and b" left" in seen
