"""What a key may be, as seen from the one client that uses it.

Each operation's answer narrows the set of possible states; one that brought no answer widens it
by what the operation would have made. A state that the answers rule out is a violation: a lost
value, one that came back from the dead, a torn or mixed one.
"""

ABSENT = ("absent", None)


def value_of(key: bytes, number: int, size: int) -> bytes:
    """A value that can be told from every other: of another PUT, and of another size."""
    unit = b"%s#%d/%d;" % (key, number, size)
    return (unit * (size // len(unit) + 1))[:size]


class Violation(AssertionError):
    pass


class KeyModel:
    def __init__(self, key: bytes):
        self.key = key
        self.states = {ABSENT}
        # An operation whose answer never came may still be carried out, until another one on
        # the key is answered: the master does one at a time.
        self.pending = False
        self.history: list[str] = []

    def violated(self, what: str):
        text = "\n  ".join(self.history[-12:])
        return Violation(f"{self.key!r}: {what}; may be {sorted(self.states, key=str)}\n  {text}")

    def _after(self, method: str, new) -> set:
        """What the states become if the operation is carried out where it applies."""
        made = set()
        for state in self.states:
            kind, value = state
            if method == "PUT" and kind != "live":
                made.add(("live", new))
            elif method == "DELETE":
                made.add(ABSENT)
            elif method == "UNLINK" and kind == "live":
                made.add(("unlinked", value))
            elif method == "RELINK" and kind == "unlinked":
                made.add(("live", value))
        return made

    def _keep(self, kinds: set[str], answer: str) -> None:
        kept = {state for state in self.states if state[0] in kinds}
        if not kept:
            raise self.violated(f"{answer} cannot be")
        self.states = kept

    def unanswered(self, method: str, new=None) -> None:
        self.history.append(f"{method} {new or ''}: no answer")
        self.states |= self._after(method, new)
        self.pending = True

    def answered(self, method: str, status: int, new=None) -> None:
        """A PUT, DELETE, UNLINK or RELINK, and what was answered."""
        said = f"{method} {new or ''}: {status}"
        self.history.append(said)
        if status == 409:
            if not self.pending:
                raise self.violated("409, and nothing is under way")
            return
        if status == 503:  # the index could not say, or not be written
            self.states |= self._after(method, new)
            return
        self.pending = False
        if method == "PUT":
            if status == 201:
                self._keep({"absent", "unlinked"}, said)
                self.states = {("live", new)}
            elif status == 403:
                self._keep({"live"}, said)
            elif status == 500:  # the key is what it was
                self._keep({"absent", "unlinked"}, said)
            else:
                raise self.violated(said)
        elif method == "REBALANCE":  # the value stays what it is; 400: not now
            if status in (204, 400):
                self._keep({"live"}, said)
            elif status == 404:
                self._keep({"absent", "unlinked"}, said)
            else:
                raise self.violated(said)
        elif method == "DELETE":
            if status == 204:
                self._keep({"live", "unlinked"}, said)
                self.states = {ABSENT}
            elif status == 404:
                self._keep({"absent"}, said)
            else:
                raise self.violated(said)
        else:
            applies = "live" if method == "UNLINK" else "unlinked"
            if status == 204:
                self._keep({applies}, said)
                self.states = self._after(method, None)
            elif status == 404:
                self._keep({"live", "unlinked", "absent"} - {applies}, said)
            else:
                raise self.violated(said)

    def missing(self, what: str = "GET: 404") -> None:
        """The master says that there is no live value."""
        self.history.append(what)
        if not self.pending:
            self._keep({"absent", "unlinked"}, what)
        elif not any(kind != "live" for kind, _value in self.states):
            raise self.violated(what)

    def read(self, value: bytes) -> None:
        """This came as the live value."""
        for state in self.states:
            kind, made = state
            if kind == "live" and value == value_of(self.key, *made):
                self.history.append(f"GET: {made}")
                if not self.pending:
                    self.states = {state}
                return
        raise self.violated(f"read {len(value)} bytes, {value[:60]!r}…{value[-60:]!r}")

    def may_be(self, kind: str) -> bool:
        return any(state[0] == kind for state in self.states)
