"""A transparency log by C2SP tlog-tiles with no code of Lingqu: FOLDER SIZE [CHANGED], the place of an entry that is another one.

Its key has another name than the log, which tlog-checkpoint allows. Writes the files that a web server serves as they are and prints
the log's name and key.
"""

import base64
import hashlib
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORIGIN = "foreign.example/log"
KEY_NAME = "foreign.example/key-2026"
WIDTH = 256


def sha256(data):
    return hashlib.sha256(data).digest()


def root_of(hashes):
    """The Merkle tree hash over leaf hashes (RFC 6962, 2.1)."""
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\1" + root_of(hashes[:split]) + root_of(hashes[split:]))


def path_of(folder, level, number, width):
    parts = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03}")
    path = folder.joinpath("tile", level, *parts)
    return path if width == WIDTH else path.with_name(path.name + ".p") / str(width)


def write_tiles(folder, level, items, encode):
    for start in range(0, len(items), WIDTH):
        part = items[start:start + WIDTH]
        path = path_of(folder, level, start // WIDTH, len(part))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(part))


def main():
    folder, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    changed = int(sys.argv[3]) if len(sys.argv) > 3 else None
    entries = [f"entry {at}{' again' if at == changed else ''} of somebody's log".encode() for at in range(size)]
    write_tiles(folder, "entries", entries, lambda part: b"".join(len(one).to_bytes(2, "big") + one for one in part))
    level, hashes = 0, [sha256(b"\0" + entry) for entry in entries]
    root = root_of(hashes)
    while hashes:
        write_tiles(folder, str(level), hashes, b"".join)
        whole = len(hashes) - len(hashes) % WIDTH
        hashes = [root_of(hashes[start:start + WIDTH]) for start in range(0, whole, WIDTH)]
        level += 1
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    typed = b"\1" + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = sha256(f"{KEY_NAME}\n".encode() + typed)[:4]
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"
    line = base64.b64encode(key_id + key.sign(text.encode())).decode()
    (folder / "checkpoint").write_text(f"{text}\n\u2014 {KEY_NAME} {line}\n", encoding="utf-8")
    print(ORIGIN)
    print(f"{KEY_NAME}+{key_id.hex()}+{base64.b64encode(typed).decode()}")


main()
