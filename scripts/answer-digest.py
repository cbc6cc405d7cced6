#!/usr/bin/env python3
"""The digest that a receipt has of an answer, made of what its recipient holds, with nothing of Lingqu.

    answer-digest.py SALT FILE                  of the bytes of a file (form "bytes")
    answer-digest.py SALT --value-blocks FILE   of the values of a Parquet file (form "value_blocks"; needs pyarrow)
    answer-digest.py SALT --values FILE         the same for receipts of earlier versions (form "values")

SALT is what came with the answer as `Answer-Salt`. Compare what is printed with `totals.answer.sha256` of the receipt.
The forms are described in docs/manual/receipts.md.
"""

import datetime
import decimal
import hashlib
import struct
import sys

EPOCH = datetime.datetime(1970, 1, 1)
BLOCK_ROWS = 1024
DECIMAL, FLOAT = 4, 3


def salted(salt, form, plain):
    """The digest of an answer whose plain SHA-256 is `plain`."""
    return hashlib.sha256(b"lingqu answer v1\n" + bytes.fromhex(salt) + form.encode() + b"\n" + plain).hexdigest()


def read(value):
    """A value that is there as its kind, its number (of a text its length), its scale, and its contents."""
    if isinstance(value, bool):
        return 1, int(value), 0, b""
    if isinstance(value, int):
        return 2, value, 0, b""
    if isinstance(value, float):
        return FLOAT, struct.unpack(">q", struct.pack(">d", value))[0], 0, b""
    if isinstance(value, decimal.Decimal):
        sign, digits, exponent = value.as_tuple()
        unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
        return DECIMAL, unscaled, -exponent, b""
    if isinstance(value, str):
        return 5, len(value.encode()), 0, value.encode()
    if isinstance(value, bytes):
        return 6, len(value), 0, value
    if isinstance(value, datetime.datetime):
        kind = 8 if value.tzinfo is None else 9
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return kind, (value - EPOCH) // datetime.timedelta(microseconds=1), 0, b""
    if isinstance(value, datetime.date):
        return 7, (value - EPOCH.date()).days, 0, b""
    raise SystemExit(f"values of the type {type(value).__name__} are digested as Arrow prints them; not done here")


def written(value):
    """A value in the form "values"."""
    if value is None:
        return b"\x00"
    kind, number, scale, contents = read(value)
    if kind == 1:
        return bytes([kind, number])
    if kind == DECIMAL:
        return bytes([kind]) + struct.pack(">b", scale) + number.to_bytes(16, "big", signed=True)
    return bytes([kind]) + struct.pack(">q", number) + contents


def block(values):
    """Some values in the form "value_blocks", their contents left out."""
    there = [read(value) for value in values if value is not None]
    if not there:
        return b"\x00"
    kind, _, scale, _ = there[0]
    text = bytes([kind]) + (struct.pack(">b", scale) if kind == DECIMAL else b"")
    text += bytes([len(there) < len(values)])
    if len(there) < len(values):
        bits = sum((value is not None) << place for place, value in enumerate(values))
        text += bits.to_bytes((len(values) + 7) // 8, "little")
    numbers = [0 if value is None else read(value)[1] for value in values]
    widths = [8] if kind == FLOAT else [1, 2, 4, 8, 16]
    width = next(w for w in widths if all(-(1 << 8 * w - 1) <= n < 1 << 8 * w - 1 for n in numbers))
    return text + bytes([width]) + b"".join(n.to_bytes(width, "little", signed=True) for n in numbers)


def in_blocks(values):
    """A column in the form "value_blocks"."""
    blocks = b"".join(block(values[at : at + BLOCK_ROWS]) for at in range(0, len(values), BLOCK_ROWS))
    there = [read(value) for value in values if value is not None]
    if there and there[0][0] in (5, 6):
        blocks += hashlib.sha256(b"".join(contents for _, _, _, contents in there)).digest()
    return blocks


def values_digest(columns, form):
    """The plain digest of values: a list of (name, values). Without rows there are no columns in it."""
    rows = len(columns[0][1]) if columns else 0
    if rows == 0:
        columns = []
    whole = hashlib.sha256(f"lingqu answer {form.replace('_', ' ')} v1\n".encode() + struct.pack(">QQ", rows, len(columns)))
    for name, values in columns:
        whole.update(struct.pack(">Q", len(name.encode())) + name.encode())
        column = in_blocks(values) if form == "value_blocks" else b"".join(map(written, values))
        whole.update(hashlib.sha256(column).digest())
    return whole.digest()


def main():
    if len(sys.argv) == 3:
        with open(sys.argv[2], "rb") as file:
            print(salted(sys.argv[1], "bytes", hashlib.sha256(file.read()).digest()))
    elif len(sys.argv) == 4 and sys.argv[2] in ("--values", "--value-blocks"):
        import pyarrow.parquet

        form = sys.argv[2].removeprefix("--").replace("-", "_")
        table = pyarrow.parquet.read_table(sys.argv[3])
        columns = [(name, table.column(name).to_pylist()) for name in table.column_names]
        print(salted(sys.argv[1], form, values_digest(columns, form)))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
