"""The fault tests are only as good as the model they hold the answers against: here it has to
find what it is there to find."""

import pytest

from key_model import KeyModel, Violation, value_of

KEY = b"/key"
ONE, TWO = (1, 100), (2, 5000)


def model(*steps) -> KeyModel:
    made = KeyModel(KEY)
    for method, status, *new in steps:
        if status is None:
            made.unanswered(method, *new)
        else:
            made.answered(method, status, *new)
    return made


def test_values_differ():
    values = {value_of(key, n, size) for key in (b"/a", b"/b") for n in (1, 2) for size in (50, 51)}
    assert len(values) == 8
    assert len(value_of(KEY, 7, 123_456)) == 123_456


def test_lost_value():
    with pytest.raises(Violation):
        model(("PUT", 201, ONE)).missing()
    with pytest.raises(Violation):
        model(("PUT", 201, ONE), ("DELETE", 404))


def test_resurrected_value():
    with pytest.raises(Violation):
        model(("PUT", 201, ONE), ("DELETE", 204)).read(value_of(KEY, *ONE))
    with pytest.raises(Violation):
        model(("PUT", 201, ONE), ("UNLINK", 204), ("PUT", 201, TWO)).read(value_of(KEY, *ONE))
    with pytest.raises(Violation):
        model(("PUT", 201, ONE), ("DELETE", 204), ("PUT", 403, TWO))


def test_torn_value():
    made = model(("PUT", 201, TWO))
    made.read(value_of(KEY, *TWO))
    with pytest.raises(Violation):
        made.read(value_of(KEY, *TWO)[:-1])
    with pytest.raises(Violation):
        made.read(value_of(KEY, *TWO)[:-1] + b"?")


def test_no_answer_leaves_both():
    made = model(("PUT", None, ONE))
    made.missing()
    made.read(value_of(KEY, *ONE))
    made = model(("PUT", 201, ONE), ("DELETE", None))
    made.read(value_of(KEY, *ONE))
    made.missing()
    # The next answer decides: 201 says that it was carried out.
    made.answered("PUT", 201, TWO)
    made.read(value_of(KEY, *TWO))
    with pytest.raises(Violation):
        made.read(value_of(KEY, *ONE))


def test_unlinked_value():
    made = model(("PUT", 201, ONE), ("UNLINK", 204))
    made.missing()
    made.answered("RELINK", 204)
    made.read(value_of(KEY, *ONE))
    with pytest.raises(Violation):
        made.answered("RELINK", 204)


def test_failed_put_changes_nothing():
    made = model(("PUT", 500, ONE))
    with pytest.raises(Violation):
        made.read(value_of(KEY, *ONE))


def test_busy_without_cause():
    with pytest.raises(Violation):
        model(("PUT", 201, ONE), ("DELETE", 409))
    model(("PUT", None, ONE), ("DELETE", 409))
