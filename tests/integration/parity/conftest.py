"""nginx and volumed side by side, once per module."""

import shutil

import pytest

from cases import Pair

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    if NGINX is None:
        pytest.skip("nginx is not installed")
    made = Pair(tmp_path_factory.mktemp("parity"))
    yield made
    made.close()
