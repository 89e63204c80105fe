"""docs/defects.md names a test for each defect: that test is there."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_each_names_a_test_that_is_there():
    rows = (HERE.parents[1] / "docs" / "defects.md").read_text().splitlines()
    named = [re.findall(r"`(test_\w+\.py)::(test_\w+)`", row) for row in rows if row.startswith("| ")]
    named = [found for found in named if found]
    assert len(named) >= 20 and all(len(found) == 1 for found in named)
    for ((file, test),) in named:
        assert f"\ndef {test}(" in (HERE / file).read_text(), f"{file} has no {test}"
