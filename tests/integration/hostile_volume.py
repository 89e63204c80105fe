"""A volume that misbehaves on purpose: what no well-meant server can be made to do.

It stores nothing. While `mood` is "well" it says what a volume would (201, 200, 204); otherwise
it does to each request what the mood's name says, see MOODS.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

from server_process import free_address

FOREVER = 3600
LATE = 1 << 20  # bytes of a body; the master holds far less of it back
HEADER_FLOOD = 64 << 20  # bytes at the most: the master has to hang up long before


def _drop(connection: socket.socket) -> None:
    """Close with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _flood(connection: socket.socket, start: bytes, piece: bytes) -> int:
    connection.sendall(start)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < HEADER_FLOOD:
            connection.sendall(piece)
            sent += len(piece)
    return sent


class HostileVolume:
    def __init__(self) -> None:
        self.address = free_address()
        self.authority = "%s:%d" % self.address
        self.mood = "well"
        self.only = ""  # the method that the mood is about, if not all
        self.lengths: dict[str, int] = {}  # of what it was given: a HEAD tells
        self.flooded = 0
        self._ended = threading.Event()
        self._listener = socket.create_server(self.address, backlog=64)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self.hang_up()

    def refuse(self) -> None:
        """No connections from now on."""
        self.close()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            if self._ended.is_set():
                self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                if self.mood in _AT_ONCE:
                    _AT_ONCE[self.mood](self, connection)
                    return
                while self._one(connection):
                    pass
        finally:
            self._open.discard(connection)

    def _one(self, connection: socket.socket) -> bool:
        """One request; false when the connection is over."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        method, target, _version = head.split(b"\r\n")[0].decode().split(" ")
        mood = self.mood if self.only in ("", method) else "well"
        if mood in _AT_HEAD:
            _AT_HEAD[mood](self, connection)
            return False
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        left = length - len(body)
        while left > 0:
            more = connection.recv(min(left, 65536))
            if not more:
                return False
            left -= len(more)
        if mood in _AT_END:
            _AT_END[mood](self, connection)
            return False
        self._answer(connection, method, target, length)
        return True

    def _answer(self, connection: socket.socket, method: str, target: str, length: int) -> None:
        if method == "PUT":
            self.lengths[target] = length
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        elif method == "HEAD" and target in self.lengths:
            size = self.lengths[target]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        elif method == "DELETE" and self.lengths.pop(target, None) is not None:
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    # --- moods ---------------------------------------------------------------------------------
    def _hang(self, _connection: socket.socket) -> None:
        self._ended.wait(FOREVER)

    def _close(self, _connection: socket.socket) -> None:
        return

    def _reset(self, connection: socket.socket) -> None:
        _drop(connection)

    def _reset_late(self, connection: socket.socket) -> None:
        left = LATE
        while left > 0:
            more = connection.recv(min(left, 65536))
            if not more:
                return
            left -= len(more)
        _drop(connection)

    def _garbage(self, connection: socket.socket) -> None:
        connection.sendall(b"\x00\xffSSH-2.0-this is not HTTP\r\n" * 10)

    def _error(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\nsad\n")

    def _short_body(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot so much")

    def _header_flood(self, connection: socket.socket) -> None:
        line = b"X-Much: " + b"a" * 1000 + b"\r\n"
        self.flooded = _flood(connection, b"HTTP/1.1 201 Created\r\n", line * 64)

    def _line_flood(self, connection: socket.socket) -> None:
        self.flooded = _flood(connection, b"HTTP/1.1 201 ", b"a" * 65536)

    def _continue_flood(self, connection: socket.socket) -> None:
        self.flooded = _flood(connection, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def _no_length(self, connection: socket.socket) -> None:
        chunk = b"%x\r\n%s\r\n" % (65536, b"z" * 65536)
        self.flooded = _flood(
            connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk
        )

    def _no_end(self, connection: socket.socket) -> None:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 60)
        self.flooded = _flood(connection, start, b"z" * 65536)

    def _drip(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 201 Created\r\nX-Slow: ")
        while not self._ended.is_set():
            connection.sendall(b"z")
            time.sleep(0.05)

    def _early_yes(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        self._ended.wait(FOREVER)


_Action = Callable[[HostileVolume, socket.socket], None]
# When a connection is there, before any request.
_AT_ONCE: dict[str, _Action] = {
    "closes at once": HostileVolume._close,
    "resets at once": HostileVolume._reset,
    "speaks before it is asked": HostileVolume._early_yes,
    "never reads": HostileVolume._hang,
}
# When a request's head is there; not all of its body is read.
_AT_HEAD: dict[str, _Action] = {
    "hangs in the body": HostileVolume._hang,
    "resets in the body": HostileVolume._reset,
    "resets late in the body": HostileVolume._reset_late,
    "says 201 before the body": HostileVolume._early_yes,
}
# When the whole request is there.
_AT_END: dict[str, _Action] = {
    "hangs before the answer": HostileVolume._hang,
    "answers garbage": HostileVolume._garbage,
    "answers 500": HostileVolume._error,
    "answers 200 with a body too short": HostileVolume._short_body,
    "sends a header without end": HostileVolume._header_flood,
    "sends a status line without end": HostileVolume._line_flood,
    "says 100 without end": HostileVolume._continue_flood,
    "drips": HostileVolume._drip,
    "answers without a length": HostileVolume._no_length,
    "answers without end": HostileVolume._no_end,
    "closes before the answer": HostileVolume._close,
}
MOODS = ["refuses", *_AT_ONCE, *_AT_HEAD, *_AT_END]
