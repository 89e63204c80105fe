"""Random conversations with both servers, from a seed: thousands in CI, and by hand as many as
one likes:

    PARITY_SEED=7 PARITY_COUNT=50000 make integration \\
        INTEGRATION=tests/integration/parity/test_parity_random.py PYTEST_ARGS=-s

Conversations come in batches, each from fresh folders, which change under them. A difference in
an answer, or between the folders at the batch's end, is confirmed from fresh folders, made as
small as it can be, and printed as a case.
"""

import os
import random
import re

import grammar
import trees
import wire
from cases import PATIENCE, SILENCE, case, describe

SEED = int(os.environ.get("PARITY_SEED", "1"))
COUNT = int(os.environ.get("PARITY_COUNT", "4000"))  # requests
BATCH = 20  # conversations
MOST = 10  # differences, then it is enough
QUICK = 0.03  # seconds of silence; what differs is confirmed with more
TRIES = 400  # to make a difference smaller


def excused(sent: bytes, one: list[wire.Answer], other: list[wire.Answer]) -> bool:
    """Is it a deliberate difference that random requests meet again and again? By what both
    answered first where they differ, and by what it takes to get there."""
    # `Connection` of a 412: nginx's end is abrupt, and what it had answered may be lost in it
    if len(one) < len(other) and one == other[:len(one)] and other[-1].status == 412:
        return True
    for a, b in zip(one, other):
        if a == b:
            continue
        pair = (a.status, b.status)
        same_but_end = a.status == b.status and a.body == b.body
        return (
            # PUT with neither length nor chunks
            pair == (500, 411) and b"PUT" in sent
            # DELETE of a folder, or of a link `sv##` to one
            or b.status == 409 and a.status in (204, 404, 500) and b"DELETE" in sent
            # a `Location` of over 8 KiB
            or "location" in a.fields and "location" not in b.fields and len(sent) > 7000
            # a target that nginx cannot decode, and another fault
            or pair in ((400, 405), (400, 501)) and any(part in sent for part in (b"%", b"..", b"\0"))
            or pair == (400, 400) and len(sent) > 8000
            # a body that nobody wants
            or same_but_end and re.search(rb"\d{7}", sent) is not None
            or same_but_end and b"hunked" in sent and len(sent) > 4096
        )
    return False


def folders_excused(left: dict, one: list[wire.Answer]) -> bool:
    """folders made for a PUT that fails: those, and the times of the folders they are in"""
    return any(a.status == 500 for a in one) and all(
        a and a[0].startswith("0o40") and (b is None or a[0] == b[0]) for a, b in left.values())


class Batch:
    """Conversations since the folders were fresh."""

    def __init__(self, pair):
        self.pair = pair
        self.sent: list[list[bytes]] = []

    def differs(self, sent: list[list[bytes]], silence: float = SILENCE) -> bool:
        """Do these, from fresh folders, show a difference that is not excused?"""
        steps = [b"".join(conversation) for conversation in sent]
        (one, first), (other, second) = self.pair.run(case("", *steps), silence)
        for step, a, b in zip(steps, one, other):
            if a != b:
                return not excused(step, a, b)
        left = trees.differing(first, second)
        return bool(left) and not folders_excused(left, [a for step in one for a in step])

    def shrink(self) -> list[list[bytes]]:
        """The fewest conversations, requests and bytes that still show it."""
        sent, tries = self.sent, TRIES
        for at in reversed(range(len(sent))):
            fewer = sent[:at] + sent[at + 1:]
            if fewer and self.differs(fewer):
                sent = fewer
        for step in range(len(sent)):
            for at in reversed(range(len(sent[step]))):
                fewer = [*sent]
                fewer[step] = sent[step][:at] + sent[step][at + 1:]
                if fewer[step] and self.differs(fewer):
                    sent = fewer
            sent = [*sent]
            sent[step] = [b"".join(sent[step])]
            size = len(sent[step][0]) // 2
            while size and tries:
                start = 0
                while start < len(sent[step][0]) and tries:
                    tries -= 1
                    fewer = [*sent]
                    fewer[step] = [sent[step][0][:start] + sent[step][0][start + size:]]
                    if self.differs(fewer):
                        sent = fewer
                    else:
                        start += size
                size //= 2
        return sent

    def explain(self, name: str) -> str:
        """The difference as a case; empty: on fresh folders there is none."""
        self.pair.restore()
        if not self.differs(self.sent, PATIENCE):
            return ""  # a slow machine; or sent in pieces, which is to make no difference
        small = case(name, *(b"".join(conversation) for conversation in self.shrink()))
        return name + describe(small, self.pair.run(small))


def test_random(pair):
    print(f"\nPARITY_SEED={SEED} PARITY_COUNT={COUNT}")
    differences: list[str] = []
    requests = answers = unconfirmed = number = 0
    batch = Batch(pair)
    while requests < COUNT and len(differences) < MOST:
        r = random.Random(f"{SEED}/{number}")
        number += 1
        sent = grammar.conversation(r)
        batch.sent.append(sent)
        data = b"".join(sent)
        pieces = grammar.split(r, data + wire.PROBE)
        one, other = (wire.answers(wire.talk(s.address, pieces, QUICK), s.address) for s in pair.servers)
        requests += len(sent)
        answers += len(one)
        ended = one != other
        suspect = ended and not excused(data, one, other)
        failed = any(answer.status == 500 for answer in one)  # it may have left folders
        if not ended and (failed or len(batch.sent) == BATCH):
            left = trees.differing(*pair.trees())
            ended, suspect = True, bool(left) and not folders_excused(left, one)
        if suspect:
            found = batch.explain(f"{SEED}/{number - 1}")
            unconfirmed += not found
            if found:
                differences.append(found)
                print(found, flush=True)
        if ended:
            pair.restore()
            batch = Batch(pair)
    print(f"{requests} requests and {answers} answers on {number} connections: "
          f"{len(differences)} differences, {unconfirmed} not seen again")
    assert not differences
