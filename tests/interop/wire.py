"""PostgreSQL's protocol 3.0 written by hand, for what no driver lets one see: how many rows each Execute brings, and what becomes
of a statement whose reader is slow. Arguments: host, port, order, key, and the part to play.

Parts: `portals` executes portals a few rows at a time; `slow` lets a statement's time pass while its rows are on their way; `circles`
fetches from portals that fetch. Each prints a line of JSON for the test: its receipts, and how many rows came of them.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import time

TABLE = "trip_records"
# What the socket of a slow reader holds: far less than an answer.
RECEIVE_BYTES = 64 * 1024
# A statement's time here, and longer than it.
TIMEOUT_MS = 3_000
LONGER_S = 4
# Longer than a driver would wait for anything.
PATIENCE_S = 100


class Refused(Exception):
    """An ErrorResponse: its fields by their letters."""

    def __init__(self, fields):
        super().__init__(fields)
        self.fields = fields


class Wire:
    """A connection of which every message is seen."""

    def __init__(self, host, port, order, key):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((host, int(port)))
        self.reader = self.socket.makefile("rb", buffering=RECEIVE_BYTES)
        self.status = {}
        opening = struct.pack("!i", 196_608) + words("user", order, "database", "lingqu", "")
        self.socket.sendall(struct.pack("!i", len(opening) + 4) + opening)
        self.log_in(key)
        self.until(b"Z")

    def log_in(self, key):
        """SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding."""
        code, offered = self.authentication()
        assert code == 10 and b"SCRAM-SHA-256\0" in offered, (code, offered)
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        first = f"n,,{bare}".encode()
        self.send(b"p", words("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
        code, challenge = self.authentication()
        assert code == 11, code
        told = dict(part.split("=", 1) for part in challenge.decode().split(","))
        assert told["r"].startswith(nonce)
        salted = hashlib.pbkdf2_hmac("sha256", key.encode(), base64.b64decode(told["s"]), int(told["i"]))
        sign = lambda secret, text: hmac.digest(secret, text, "sha256")
        client_key = sign(salted, b"Client Key")
        without_proof = f"c=biws,r={told['r']}"
        said = f"{bare},{challenge.decode()},{without_proof}".encode()
        proof = bytes(a ^ b for a, b in zip(client_key, sign(hashlib.sha256(client_key).digest(), said)))
        self.send(b"p", f"{without_proof},p={base64.b64encode(proof).decode()}".encode())
        code, verdict = self.authentication()
        expected = base64.b64encode(sign(sign(salted, b"Server Key"), said)).decode()
        assert code == 12 and verdict == f"v={expected}".encode(), "the server does not know the key"
        assert self.authentication() == (0, b"")

    def authentication(self):
        tag, body = self.receive()
        assert tag == b"R", (tag, body)
        return struct.unpack("!i", body[:4])[0], body[4:]

    def send(self, tag, body=b""):
        self.socket.sendall(tag + struct.pack("!i", len(body) + 4) + body)

    def receive(self):
        """The next message that is neither a setting nor a notice; an error is raised."""
        while True:
            head = self.reader.read(5)
            assert len(head) == 5, "the connection was closed"
            tag, length = head[:1], struct.unpack("!i", head[1:])[0]
            body = self.reader.read(length - 4)
            if tag == b"S":
                name, value, _ = body.decode().split("\0")
                self.status[name] = value
            elif tag == b"E":
                raise Refused({part[:1]: part[1:] for part in body.decode().split("\0") if part})
            elif tag not in b"NK":
                return tag, body

    def until(self, last):
        """Messages up to the first of a kind."""
        messages = []
        while not messages or messages[-1][0] != last:
            messages.append(self.receive())
        return messages

    def parse(self, sql):
        self.send(b"P", words("", sql) + struct.pack("!h", 0))

    def bind(self, portal):
        self.send(b"B", words(portal, "") + struct.pack("!hhh", 0, 0, 0))

    def executed(self, portal, rows_max):
        """First cells of the rows that one Execute brings, and the message that ends them."""
        self.send(b"E", words(portal) + struct.pack("!i", rows_max))
        # Not Sync: outside a transaction that ends the portal.
        self.send(b"H")
        rows = []
        while True:
            tag, body = self.receive()
            if tag != b"D":
                return rows, (tag, body)
            rows.append(first_cell(body))

    def synced(self):
        self.send(b"S")
        assert [tag for tag, _ in self.until(b"Z")] == [b"Z"]

    def receipt(self):
        return self.status["lingqu.receipt"]


def words(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


def first_cell(body):
    length = struct.unpack("!i", body[2:6])[0]
    return body[6 : 6 + length].decode()


SUSPENDED = (b"s", b"")


def complete(count):
    return (b"C", words(f"SELECT {count}"))


def numbers(start, end):
    return [str(number) for number in range(start, end)]


def below(count):
    return f"SELECT trip_id FROM {TABLE} WHERE trip_id < {count} ORDER BY trip_id"


def wide():
    """More than the sockets and the node hold of one answer, within the limits of a call."""
    several = ", ".join(f"note AS note_{number}" for number in range(10))
    return f"SELECT {several} FROM {TABLE} WHERE trip_id < 9900"


def begun(wire, sql, portal=""):
    wire.parse(sql)
    wire.bind(portal)
    wire.send(b"H")
    assert wire.receive() == (b"1", b"") and wire.receive() == (b"2", b"")


def portals(wire):
    told = {"whole": [], "abandoned": []}
    # Three rows of ten at a time, then the one that is left, then none.
    begun(wire, below(10))
    for start in (0, 3, 6):
        assert wire.executed("", 3) == (numbers(start, start + 3), SUSPENDED)
    assert wire.executed("", 3) == (["9"], complete(1))
    assert wire.executed("", 3) == ([], complete(0))
    told["whole"].append([wire.receipt(), 10])
    wire.synced()
    # Where the last Execute took the last row, the next one says so.
    begun(wire, below(6))
    assert wire.executed("", 3) == (numbers(0, 3), SUSPENDED)
    assert wire.executed("", 3) == (numbers(3, 6), SUSPENDED)
    assert wire.executed("", 3) == ([], complete(0))
    told["whole"].append([wire.receipt(), 6])
    wire.synced()
    # Another limit each time, one of them none; a batch ends within the second.
    begun(wire, below(9_000))
    assert wire.executed("", 1) == (numbers(0, 1), SUSPENDED)
    assert wire.executed("", 8_500) == (numbers(1, 8_501), SUSPENDED)
    assert wire.executed("", 0) == (numbers(8_501, 9_000), complete(499))
    told["whole"].append([wire.receipt(), 9_000])
    wire.synced()
    # Two portals of one transaction in turn, across Sync.
    wire.send(b"Q", words("BEGIN"))
    wire.until(b"Z")
    begun(wire, below(5), "one")
    begun(wire, below(4), "other")
    assert wire.executed("one", 2) == (numbers(0, 2), SUSPENDED)
    one = wire.receipt()
    assert wire.executed("other", 3) == (numbers(0, 3), SUSPENDED)
    other = wire.receipt()
    wire.synced()
    assert wire.executed("one", 2) == (numbers(2, 4), SUSPENDED)
    assert wire.executed("other", 3) == (["3"], complete(1))
    assert wire.executed("one", 2) == (["4"], complete(1))
    told["whole"] += [[one, 5], [other, 4]]
    wire.synced()
    wire.send(b"Q", words("COMMIT"))
    wire.until(b"Z")
    # A portal that nobody goes on with ends with what belongs together.
    begun(wire, wide())
    rows, last = wire.executed("", 3)
    assert (len(rows), last) == (3, SUSPENDED), (len(rows), last)
    told["abandoned"].append([wire.receipt(), 3])
    wire.synced()
    try:
        wire.executed("", 3)
        raise AssertionError("the portal is still there")
    except Refused as error:
        assert error.fields["C"] == "34000", error.fields
    wire.synced()
    return told


def slow(wire):
    # Made beforehand, so that the time is that of the rows.
    wire.send(b"Q", words(below(1)))
    wire.until(b"Z")
    wire.send(b"Q", words(f"SET statement_timeout = {TIMEOUT_MS}"))
    wire.until(b"Z")
    told = []
    # One reads nothing for a while; the other takes a little all the time.
    stop_once = lambda count: LONGER_S if count == 1 else 0
    take_a_little = lambda count: 0.05 if count % 10 == 0 else 0
    for pause in (stop_once, take_a_little):
        wire.send(b"Q", words(wide()))
        assert wire.receive()[0] == b"T"
        count = 0
        try:
            while wire.receive()[0] == b"D":
                count += 1
                time.sleep(pause(count))
            raise AssertionError(f"the statement ended after {count} rows")
        except Refused as error:
            said = error.fields
        assert said["C"] == "57014" and said["S"] == "ERROR", said
        assert said["M"].startswith("statement_timeout: ") and f"{TIMEOUT_MS} ms" in said["M"], said
        assert 0 < count < 9_900, count
        assert wire.receive()[0] == b"Z"
        told.append([wire.receipt(), count])
        # What follows is answered on the same connection, with a time of its own.
        wire.send(b"Q", words(below(2)))
        assert [first_cell(body) for tag, body in wire.until(b"Z") if tag == b"D"] == ["0", "1"]
    return told


def circles(wire):
    # A portal that fetches from itself, and two that fetch from each other.
    for portal, other in (("p", "p"), ("q", "r")):
        begun(wire, f"FETCH ALL FROM {other}", portal)
        if other != portal:
            begun(wire, f"FETCH ALL FROM {portal}", other)
        for tag, body in ((b"D", b"P" + words(portal)), (b"E", words(portal) + struct.pack("!i", 0))):
            wire.send(tag, body)
            wire.send(b"H")
            try:
                raise AssertionError(wire.receive())
            except Refused as error:
                assert error.fields["C"] == "34000", error.fields
            wire.synced()
            if tag == b"D":
                begun(wire, f"FETCH ALL FROM {other}", portal)
    # What follows is answered on the same connection.
    begun(wire, below(2))
    assert wire.executed("", 0) == (numbers(0, 2), complete(2))
    told = [[wire.receipt(), 2]]
    wire.synced()
    return told


if __name__ == "__main__":
    connection = Wire(*sys.argv[1:5])
    print(json.dumps({"portals": portals, "slow": slow, "circles": circles}[sys.argv[5]](connection)))
