"""LevelDB through the C library that mkv itself links: Debian ships no Python binding that we
could count on, and a second implementation would be one more thing to be wrong.

A database has one owner at a time: read a copy, or stop the master first.
"""

import ctypes
import itertools
from collections.abc import Iterable, Iterator


def _load() -> ctypes.CDLL:
    for name in ("libleveldb.so.1d", "libleveldb.so.1", "libleveldb.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("libleveldb is not installed")


_lib = _load()
_p, _s, _z = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_err = ctypes.POINTER(ctypes.c_char_p)
for _name, _result, _args in (
    ("leveldb_options_create", _p, []),
    ("leveldb_options_destroy", None, [_p]),
    ("leveldb_options_set_create_if_missing", None, [_p, ctypes.c_ubyte]),
    ("leveldb_open", _p, [_p, _s, _err]),
    ("leveldb_close", None, [_p]),
    ("leveldb_readoptions_create", _p, []),
    ("leveldb_readoptions_destroy", None, [_p]),
    ("leveldb_writeoptions_create", _p, []),
    ("leveldb_writeoptions_destroy", None, [_p]),
    ("leveldb_put", None, [_p, _p, _s, _z, _s, _z, _err]),
    ("leveldb_delete", None, [_p, _p, _s, _z, _err]),
    ("leveldb_write", None, [_p, _p, _p, _err]),
    ("leveldb_writebatch_create", _p, []),
    ("leveldb_writebatch_destroy", None, [_p]),
    ("leveldb_writebatch_put", None, [_p, _s, _z, _s, _z]),
    ("leveldb_create_iterator", _p, [_p, _p]),
    ("leveldb_iter_destroy", None, [_p]),
    ("leveldb_iter_seek_to_first", None, [_p]),
    ("leveldb_iter_valid", ctypes.c_ubyte, [_p]),
    ("leveldb_iter_next", None, [_p]),
    ("leveldb_iter_key", _p, [_p, ctypes.POINTER(_z)]),
    ("leveldb_iter_value", _p, [_p, ctypes.POINTER(_z)]),
    ("leveldb_iter_get_error", None, [_p, _err]),
):
    _function = getattr(_lib, _name)
    _function.restype, _function.argtypes = _result, _args


def _check(error: ctypes.c_char_p) -> None:
    if error.value is not None:
        raise OSError(error.value.decode(errors="replace"))


class Database:
    """An open database; use it in a `with`."""

    def __init__(self, path: str, create: bool = False):
        options = _lib.leveldb_options_create()
        _lib.leveldb_options_set_create_if_missing(options, int(create))
        error = ctypes.c_char_p()
        self._db = _lib.leveldb_open(options, path.encode(), ctypes.byref(error))
        _lib.leveldb_options_destroy(options)
        _check(error)

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_unused) -> None:
        _lib.leveldb_close(self._db)
        self._db = None

    def put(self, key: bytes, value: bytes) -> None:
        options, error = _lib.leveldb_writeoptions_create(), ctypes.c_char_p()
        _lib.leveldb_put(
            self._db, options, key, len(key), value, len(value), ctypes.byref(error)
        )
        _lib.leveldb_writeoptions_destroy(options)
        _check(error)

    def put_many(self, items: Iterable[tuple[bytes, bytes]], batch: int = 10_000) -> None:
        """So many in a write: a million take some seconds."""
        rest = iter(items)
        while some := list(itertools.islice(rest, batch)):
            options, writes = _lib.leveldb_writeoptions_create(), _lib.leveldb_writebatch_create()
            error = ctypes.c_char_p()
            for key, value in some:
                _lib.leveldb_writebatch_put(writes, key, len(key), value, len(value))
            _lib.leveldb_write(self._db, options, writes, ctypes.byref(error))
            _lib.leveldb_writebatch_destroy(writes)
            _lib.leveldb_writeoptions_destroy(options)
            _check(error)

    def delete(self, key: bytes) -> None:
        options, error = _lib.leveldb_writeoptions_create(), ctypes.c_char_p()
        _lib.leveldb_delete(self._db, options, key, len(key), ctypes.byref(error))
        _lib.leveldb_writeoptions_destroy(options)
        _check(error)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        options = _lib.leveldb_readoptions_create()
        iterator = _lib.leveldb_create_iterator(self._db, options)
        size = ctypes.c_size_t()
        try:
            _lib.leveldb_iter_seek_to_first(iterator)
            while _lib.leveldb_iter_valid(iterator):
                key = _lib.leveldb_iter_key(iterator, ctypes.byref(size))
                key = ctypes.string_at(key, size.value)
                value = _lib.leveldb_iter_value(iterator, ctypes.byref(size))
                yield key, ctypes.string_at(value, size.value)
                _lib.leveldb_iter_next(iterator)
            error = ctypes.c_char_p()
            _lib.leveldb_iter_get_error(iterator, ctypes.byref(error))
            _check(error)
        finally:
            _lib.leveldb_iter_destroy(iterator)
            _lib.leveldb_readoptions_destroy(options)
