"""The manual pages say what --help says: every flag with its default, every command."""

import re
import subprocess
from pathlib import Path

import pytest

from server_process import BIN, REPO


def help_of(program: str) -> str:
    done = subprocess.run([str(BIN / program), "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def flags_in_help(text: str) -> dict[str, str | None]:
    """Each flag and its default."""
    found = {}
    for name, sentence in re.findall(r"^  -(\S+).*\n {8}(.*)$", text, re.MULTILINE):
        default = re.search(r"\(default (.*)\)$", sentence)
        found[name] = default[1] if default else None
    return found


def flags_in_manual(page: Path) -> dict[str, str]:
    """Each flag and what is said of it."""
    text = page.read_text()
    parts = re.split(r"^\.It Fl (\S+).*\n", text[text.index(".Sh FLAGS") :], flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    del found["help"]
    return found


@pytest.mark.parametrize("program", ["mkv", "volumed"])
def test_flags(program):
    told, written = flags_in_help(help_of(program)), flags_in_manual(man(program))
    assert len(told) > 5
    assert sorted(told) == sorted(written), f"docs/man/{program}.8 and {program} --help differ"
    for flag, default in told.items():
        if default is not None:
            words = re.findall(r"[\w.]*\w", written[flag])
            assert default in words, f"docs/man/{program}.8: -{flag} has the default {default}"


def test_commands():
    text = help_of("mkv")
    told = re.findall(r"^  (\w+) +\S", text[: text.index("\nflags")], re.MULTILINE)
    written = re.findall(r"^\.It Cm (\w+)", man("mkv").read_text(), re.MULTILINE)
    assert told and told == written


def man(program: str) -> Path:
    return REPO / "docs" / "man" / f"{program}.8"
