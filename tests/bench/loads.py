"""What asks the servers: wrk, load.c where each key is asked for once, and clients.c where clients
follow redirects or latency counts."""

import json
import re

from measure import Meter, Side, output
from server_process import REPO, Server

LOAD = REPO / "build" / "release" / "bench" / "load"
CLIENTS = REPO / "build" / "release" / "bench" / "clients"


def scattered(n: int) -> int:
    """As in keys.h."""
    bits = 0xFFFF_FFFF_FFFF_FFFF
    n = (n + 0x9E37_79B9_7F4A_7C15) & bits
    n = (n ^ n >> 30) * 0xBF58_476D_1CE4_E5B9 & bits
    n = (n ^ n >> 27) * 0x94D0_49BB_1331_11EB & bits
    return n ^ n >> 31


# All that is asked for lies among the keys of a filled index. No folder of its own: a bare nginx
# is to make as many as a volume behind a master.
PREFIX = "/bench-"
VALUE = bytes(scattered(at) & 0xFF for at in range(100))


def key_of(n: int) -> str:
    return f"{PREFIX}{scattered(n):016x}"


def wrk(
    seconds: int,
    servers: list[Server],
    path: str,
    wanted: str,
    *script: str,
    connections: int = 100,
) -> Side:
    """Asks the first of the servers; the others are those behind it. `wanted` is "good"
    (2xx, 3xx) or "bad": what every answer has to be."""
    argv = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}"]
    if script:
        argv += ["-s", script[0]]
    argv += ["http://%s:%d%s" % (*servers[0].address, path)]
    meter = Meter(servers)
    text = output([*argv, "--", *script[1:]] if script else argv)
    requests = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    n_bad = int(bad[1]) if bad else 0
    errors = re.findall(r"Socket errors:.*", text)
    wrong = n_bad if wanted == "good" else requests - n_bad
    if wrong:
        errors.append(f"{wrong} of {requests} answers with a wrong status")
    return Side(rate, meter.each(requests), errors)


def load(servers: list[Server], method: str, n: int, first: int, **flags) -> Side:
    """One request for each of `n` keys."""
    return timed_load(servers, method, n, first=first, **flags)[0]


def timed_load(servers: list[Server], method: str, n: int, **flags) -> tuple[Side, dict]:
    """`n` requests, and all that load.c tells of them; the flags are its own."""
    argv = [str(LOAD), "-n", str(n)]
    for name, value in flags.items():
        argv += [f"-{name}"] if value is True else [f"-{name}", str(value)]
    host, port = servers[0].address
    argv += [method, host, str(port), PREFIX]
    meter = Meter(servers)
    told = json.loads(output(argv))
    errors = []
    if told["wrong"] or told["broken"] or told["requests"] != n:
        errors.append(
            f"{method}: {told['wrong']} wrong and {told['broken']} broken of {n}: "
            f"{told['statuses']}"
        )
    return Side(n / told["seconds"], meter.each(n), errors), told


def clients(servers: list[Server], mode: str, n: int, **flags) -> tuple[Side, dict]:
    """`n` of what clients do (fewer where the time does not suffice: "requests"), and all that
    clients.c tells of it; the flags are its own."""
    argv = [str(CLIENTS), "-n", str(n), "-size", str(len(VALUE))]
    for name, value in flags.items():
        argv += [f"-{name}"] if value is True else [f"-{name}", str(value)]
    host, port = servers[0].address
    meter = Meter(servers)
    told = json.loads(output([*argv, mode, host, str(port), PREFIX]))
    done = told["requests"]
    errors = [f"{told['wrong']} of {done} went wrong"] if told["wrong"] else []
    return Side(done / told["seconds"], meter.each(done), errors), told
