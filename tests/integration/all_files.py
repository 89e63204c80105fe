#!/usr/bin/python3
"""Every regular file below /usr/share/doc and /usr/lib that is not empty, a few of over 50 MB and
one of 2 GiB, PUT under their paths and read back through the redirect, byte for byte:

    /usr/bin/python3 tests/integration/all_files.py --kind volumed|nginx|mixed

Prints counts, time and the servers' peak memory; exits 0 only if every file came back and is
where it belongs on three volumes. Needs three times the files' size on disk (TMPDIR says where).
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import KINDS, Cluster
from real_files import Store, find_files

MIB = 1024 * 1024


def make(path: Path, size: int) -> Path:
    """A file in which no two mebibytes are alike."""
    with open("/dev/urandom", "rb") as source:
        block = source.read(MIB)
    with open(path, "wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default="volumed")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--large", type=int, default=2048, help="MiB of the largest file")
    parser.add_argument("folders", nargs="*", default=["/usr/share/doc", "/usr/lib"])
    args = parser.parse_args()

    files = find_files(args.folders)
    with Cluster(KINDS[args.kind]) as cluster:
        made = [make(cluster.folder / f"made-{size}", size * MIB) for size in (52, 64, 100)]
        made.append(make(cluster.folder / f"made-{args.large}", args.large * MIB))
        files = made + files
        sizes = [path.stat().st_size for path in files]
        print(f"{args.kind}: {len(files)} files, {sum(sizes) / MIB:.0f} MiB,")
        print(f"  {sum(size > 50_000_000 for size in sizes)} of them over 50 MB")
        store, began, told = Store(cluster.master.address), time.monotonic(), [time.monotonic()]

        def progress() -> None:
            if time.monotonic() - told[0] > 10:
                told[0] = time.monotonic()
                print(f"  {store.stored} of {len(files)} stored and read back", flush=True)

        store.put_and_read(files, args.workers, progress)
        took = time.monotonic() - began
        for failure in store.failures[:20]:
            print("FAILED", failure)
        wanted = cluster.expected([str(path).encode("utf-8", "surrogateescape") for path in files])
        found = cluster.files()
        print(f"  {store.stored} came back the same, {len(store.failures)} failed, {took:.1f} s,")
        print(f"  {store.bytes / MIB / took:.0f} MiB/s, {store.stored / took:.0f} files/s")
        missing, more = len(wanted - found), len(found - wanted)
        print(f"  on disk: {len(found)} files, {missing} missing, {more} too many")
        for server in cluster.servers():
            print(f"  {server.name}: peak RSS {server.peak_rss() / MIB:.1f} MiB")
        return 0 if not store.failures and found == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
