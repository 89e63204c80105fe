"""What is printed: facts about the machine, and the table of the rows."""

import argparse
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

from measure import Row, output
from server_process import REPO


def facts(options: argparse.Namespace, folder: Path) -> list[str]:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    git = ["git", "-C", str(REPO)]
    commit = subprocess.run(
        [*git, "log", "-1", "--format=%h %cs"], capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True
    ).stdout.strip()
    return [
        f"date      {time.strftime('%Y-%m-%d %H:%M')}",
        f"commit    {commit or 'unknown'}{' with changes' if changed else ''}",
        f"machine   {os.cpu_count()} cores, {cpu[1] if cpu else 'unknown'}, "
        f"Linux {os.uname().release}",
        f"load      {os.getloadavg()[0]:.1f} before the run",
        f"nginx     {nginx.rpartition('/')[2]}",
        f"volumes   3 × {options.volumes}",
        f"data      {filesystem(folder)}",
        f"index     {options.keys:,} keys beforehand",
        f"rounds    {options.rounds}, turns of about {options.seconds} s",
    ]


def filesystem(folder: Path) -> str:
    return output(["stat", "-f", "-c", "%T", str(folder)]).strip()


def micros(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e6:,.0f}"


def table(rows: list[Row]) -> list[str]:
    """Markdown, so that it can be kept as it is."""
    lines = [
        "| row | what | mkv | yardstick | ratio (min–max) | Go | | CPU µs, mkv : yardstick |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratios = row.ratios()
        form = "{:,.2f}" if row.unit == "s" else "{:,.0f}"
        go = "" if row.go is None else f"{row.go:g}" + (", lower wins" if row.lower_is_better else "")
        lines.append(
            f"| {row.name} | {row.what} "
            f"| {form.format(statistics.median(row.ours))} {row.unit} "
            f"| {form.format(statistics.median(row.yardstick))} {row.unit} "
            f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f}) "
            f"| {go} | {row.verdict()} "
            f"| {micros(row.our_cpu)} : {micros(row.yardstick_cpu)} |"
        )
    return lines
