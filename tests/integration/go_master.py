"""What minikeyvalue's master does to its index and its volumes, step by step as it does it: the
judge of whether a store may be handed back and forth. It opens the database while mkv is down."""

import hashlib

import http_raw
import leveldb
import placement
from cluster import Cluster
from index_records import format_record


class GoMaster:
    """Use it in a `with`, while the cluster's own master is stopped."""

    def __init__(self, cluster: Cluster, md5sum: bool = True):
        self.cluster, self.md5sum = cluster, md5sum

    def __enter__(self) -> "GoMaster":
        assert self.cluster.master.process is None
        self.index = leveldb.Database(str(self.cluster.master.db), create=True)
        return self

    def __exit__(self, *_unused) -> None:
        self.index.__exit__()

    def record(self, key: bytes) -> tuple[str, str, list[str]] | None:
        """As toRecord() reads it: anything at all is a record."""
        text = dict(self.index.items()).get(key)
        if text is None:
            return None
        rest, state, md5 = text.decode("latin-1"), "live", ""
        if rest.startswith("DELETED"):
            state, rest = "unlinked", rest[7:]
        if rest.startswith("HASH"):
            md5, rest = rest[4:36], rest[36:]
        return state, md5, rest.split(",")

    def _at_volume(self, method: str, place: str, key: bytes, body: bytes | None = None) -> int:
        name, _slash, sub = place.partition("/")
        host, port = name.rsplit(":", 1)
        path = ("/" + sub if sub else "") + placement.key_path(key)
        return http_raw.once((host, int(port)), method, path, body).status

    def put(self, key: bytes, value: bytes) -> int:
        known = self.record(key)
        if known is not None and known[0] == "live":
            return 403
        homes = self.cluster.homes(key)
        self.index.put(key, format_record("unlinked", "", homes))
        for place in homes:
            if self._at_volume("PUT", place, key, value) not in (201, 204):
                return 500
        md5 = hashlib.md5(value).hexdigest() if self.md5sum else ""
        self.index.put(key, format_record("live", md5, homes))
        return 201

    def get(self, key: bytes) -> bytes | None:
        known = self.record(key)
        if known is None or known[0] != "live":
            return None
        for place in known[2]:
            if self._at_volume("HEAD", place, key) == 200:
                name, _slash, sub = place.partition("/")
                path = ("/" + sub if sub else "") + placement.key_path(key)
                return http_raw.fetch(f"http://{name}{path}").body
        return None

    def unlink(self, key: bytes) -> int:
        known = self.record(key)
        if known is None or known[0] != "live":
            return 404
        self.index.put(key, format_record("unlinked", known[1], known[2]))
        return 204

    def delete(self, key: bytes) -> int:
        known = self.record(key)
        if known is None:
            return 404
        self.index.put(key, format_record("unlinked", known[1], known[2]))
        for place in known[2]:
            if self._at_volume("DELETE", place, key) not in (204, 404):
                return 500
        self.index.delete(key)
        return 204
