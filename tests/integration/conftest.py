"""Fixtures: a cluster of each kind per test module, and its last inspection when the module's
tests are through."""

import os
import signal
import sys

import pytest

import drives as small_drives
from cluster import KINDS, Cluster
from server_process import BIN

_CHOSEN = os.environ.get("MKV_KINDS", "volumed,nginx,mixed").split(",")


def pytest_configure(config):
    # A run that is told to end takes its servers down first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    for name in ("mkv", "volumed"):
        if not os.access(BIN / name, os.X_OK):
            raise pytest.UsageError(f"{BIN / name} is not there: run make first (or set MKV_BIN)")


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", [k for k in KINDS if k in _CHOSEN], scope="module")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    # With a failure, what the servers had to say.
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            if isinstance(value, Cluster):
                value.show_logs()


@pytest.fixture(scope="module")
def cluster(kind):
    """Three volumes of the kind, shared by the module's tests: each uses keys of its own."""
    with Cluster(KINDS[kind]) as made:
        yield made


@pytest.fixture
def key(request):
    """A prefix of keys that is this test's own."""
    return ("/" + request.node.name.replace("[", "/").replace("]", "")).encode()


@pytest.fixture
def drives(tmp_path):
    """File systems of the test's own; it is skipped where mounting is not allowed."""
    with small_drives.made_or_skipped(tmp_path) as made:
        yield made
