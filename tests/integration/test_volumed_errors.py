"""What the file system may say to volumed in the middle of a PUT, brought about by strace."""

import shutil

import pytest

from syscalls import StracedVolume


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("error", ["EAGAIN", "EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fdatasync", "linkat", "pwritev"])
def test_large_put_fails(tmp_path, call, error):
    """Of a body that was written in several pieces nothing is left but an error: never a file of
    its last pieces."""
    # Each thread of volumed meets it once.
    when = 3 if call == "pwritev" else 1
    inject = f"inject={call}:error={error}:when={when}"
    volume = StracedVolume(tmp_path, ["-e", f"trace={call}", "-e", inject])
    volume.start()
    whole, failed = {}, 0
    try:
        for number in range(20):
            answer = volume.request("PUT", f"/sv01/aa/bb/{number}", b"x" * 3_000_000)
            if answer.status == 201:
                whole[f"sv01/aa/bb/{number}"] = 3_000_000
            else:
                assert answer.status in (500, 507)
                failed += 1
            assert volume.files() == whole
    finally:
        volume.kill()
    assert failed and whole
