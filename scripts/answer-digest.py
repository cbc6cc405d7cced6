#!/usr/bin/env python3
"""The digest that a receipt has of an answer, made of what its recipient holds, with nothing of Lingqu.

    answer-digest.py SALT FILE             of the bytes of a file (form "bytes")
    answer-digest.py SALT --values FILE    of the values of a Parquet file (form "values"; needs pyarrow)

SALT is what came with the answer as `Answer-Salt`. Compare what is printed with `totals.answer.sha256` of the receipt.
The forms are described in docs/manual/receipts.md.
"""

import datetime
import decimal
import hashlib
import struct
import sys

EPOCH = datetime.datetime(1970, 1, 1)


def salted(salt, form, plain):
    """The digest of an answer whose plain SHA-256 is `plain`."""
    return hashlib.sha256(b"lingqu answer v1\n" + bytes.fromhex(salt) + form.encode() + b"\n" + plain).hexdigest()


def written(value):
    """A value as it is digested."""
    if value is None:
        return b"\x00"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, int):
        return b"\x02" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\x03" + struct.pack(">d", value)
    if isinstance(value, decimal.Decimal):
        sign, digits, exponent = value.as_tuple()
        unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
        return b"\x04" + struct.pack(">b", -exponent) + unscaled.to_bytes(16, "big", signed=True)
    if isinstance(value, str):
        text = value.encode()
        return b"\x05" + struct.pack(">Q", len(text)) + text
    if isinstance(value, bytes):
        return b"\x06" + struct.pack(">Q", len(value)) + value
    if isinstance(value, datetime.datetime):
        kind = b"\x08" if value.tzinfo is None else b"\x09"
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return kind + struct.pack(">q", (value - EPOCH) // datetime.timedelta(microseconds=1))
    if isinstance(value, datetime.date):
        return b"\x07" + struct.pack(">q", (value - EPOCH.date()).days)
    raise SystemExit(f"values of the type {type(value).__name__} are digested as Arrow prints them; not done here")


def values_digest(columns):
    """The plain digest of values: a list of (name, values). Without rows there are no columns in it."""
    rows = len(columns[0][1]) if columns else 0
    if rows == 0:
        columns = []
    whole = hashlib.sha256(b"lingqu answer values v1\n" + struct.pack(">QQ", rows, len(columns)))
    for name, values in columns:
        whole.update(struct.pack(">Q", len(name.encode())) + name.encode())
        whole.update(hashlib.sha256(b"".join(map(written, values))).digest())
    return whole.digest()


def main():
    if len(sys.argv) == 3:
        with open(sys.argv[2], "rb") as file:
            print(salted(sys.argv[1], "bytes", hashlib.sha256(file.read()).digest()))
    elif len(sys.argv) == 4 and sys.argv[2] == "--values":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(sys.argv[3])
        columns = [(name, table.column(name).to_pylist()) for name in table.column_names]
        print(salted(sys.argv[1], "values", values_digest(columns)))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
