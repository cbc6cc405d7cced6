"""Checks evidence that `lingqu audit unpack` laid out as files, with no code of Lingqu: FOLDER [VKEY of the log] [VKEY…].

Keys from elsewhere than the bundle are those of the log, which comes first, of its twin and of witnesses; each must have signed.

It reads C2SP signed-note, tlog-checkpoint and tlog-proof and follows docs/manual/evidence.md step by step. SHA-256 and SM3 are
Python's, Ed25519 is pyca's, SM2 is the `openssl` command. Prints what it proved; exits with 1 and the place where something is
wrong.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SM2_TYPE = b"\xfflingqu.node/sm2-sm3-v1"
SM2_WITNESS_TYPE = b"\xfflingqu.node/sm2-sm3-cosignature-v1"
# The name of a log's twin is that of the log and this.
TWIN_SUFFIX = "/sm3"
# SubjectPublicKeyInfo of an SM2 key up to its point (RFC 5480 with the curve 1.2.156.10197.1.301), and the signature's DER.
SM2_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def sm3(data):
    return hashlib.new("sm3", data).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def der_integer(number):
    number = number.lstrip(b"\0") or b"\0"
    number = b"\0" + number if number[0] & 0x80 else number
    return bytes([2, len(number)]) + number


def verify_sm2(point, signature, text):
    der = der_integer(signature[:32]) + der_integer(signature[32:])
    with tempfile.TemporaryDirectory() as folder:
        names = {"key": SM2_PREFIX + point, "sig": bytes([0x30, len(der)]) + der, "text": text}
        paths = {name: pathlib.Path(folder, name) for name in names}
        for name, data in names.items():
            paths[name].write_bytes(data)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths["key"], "-rawin",
                               "-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-sigfile", paths["sig"],
                               "-in", paths["text"]], capture_output=True)
    assert done.returncode == 0, "the SM2 signature is wrong"


def signature_of(note, vkey):
    """The text of a signed note, the key's bytes, and what the key's line under it holds, or None (C2SP signed-note)."""
    name, key_id, key = vkey.strip().split("+", 2)
    key = base64.b64decode(key)
    assert sha256(f"{name}\n".encode() + key)[:4].hex() == key_id, "the key does not have its id"
    text, lines = note.rsplit(b"\n\n", 1)
    for line in lines.decode().splitlines():
        dash, signer, blob = line.split(" ")
        blob = base64.b64decode(blob)
        if (dash, signer, blob[:4].hex()) == ("\u2014", name, key_id):
            return text + b"\n", key, blob[4:]
    return text + b"\n", key, None


def open_note(note, vkey):
    """The text of a signed note, once the key's signature under it was verified."""
    text, key, signature = signature_of(note, vkey)
    assert signature is not None, f"{vkey.split('+')[0]} did not sign"
    if key[0] == 1:
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, text)
    else:
        assert key.startswith(SM2_TYPE), "a key of a type that this script does not know"
        verify_sm2(key[len(SM2_TYPE):], signature, text)
    return text


def is_witness(vkey):
    key = base64.b64decode(vkey.strip().split("+", 2)[2])
    return key[0] == 4 or key.startswith(SM2_WITNESS_TYPE)


def cosigned(note, vkey):
    """When a witness saw a checkpoint, in seconds since 1970, once its line was verified (C2SP tlog-cosignature); None: it did not."""
    text, key, signature = signature_of(note, vkey)
    if signature is None:
        return None
    seconds = int.from_bytes(signature[:8], "big")
    message = f"cosignature/v1\ntime {seconds}\n".encode() + text
    if key[0] == 4:
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[8:], message)
    else:
        verify_sm2(key[len(SM2_WITNESS_TYPE):], signature[8:], message)
    return seconds


def check_witnesses(folder, trusted):
    """Checks the lines of every witness whose key is here or was brought along; answers how many there are. A key that was brought along
    must have cosigned."""
    notes = [(folder / name).read_bytes() for name in ("checkpoint", "checkpoint.sm3") if (folder / name).exists()]
    own = [file.read_text().strip() for file in sorted((folder / "keys").glob("witness-*.vkey"))]
    count = 0
    for vkey in dict.fromkeys(own + trusted):
        seen = [note for note in notes if cosigned(note, vkey) is not None]
        assert seen or vkey not in trusted, f"the witness {vkey} did not cosign"
        count += len(seen)
    return count


def root_by(hasher, index, size, leaf, path):
    """The root that an inclusion path leads to (RFC 9162, 2.1.3.2)."""
    node, last, value = index, size - 1, leaf
    for sibling in path:
        assert last > 0, "the path is too long"
        if node & 1 or node == last:
            value = hasher(b"\1" + sibling + value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = hasher(b"\1" + value + sibling)
        node, last = node >> 1, last >> 1
    assert last == 0, "the path is too short"
    return value


def check_log(folder, checkpoint, vkey, ending, hasher):
    """Checks every entry of one log; answers the entries."""
    note = (folder / checkpoint).read_bytes()
    origin, size, root = open_note(note, vkey).decode().splitlines()[:3]
    assert origin == vkey.split("+")[0], "the checkpoint is of another log than the key"
    entries = {}
    for file in sorted((folder / "entries").iterdir()):
        index = int(file.stem)
        head, under = (folder / "proofs" / f"{index}{ending}").read_bytes().split(b"\n\n", 1)
        header, *lines = head.decode().splitlines()
        assert header == "c2sp.org/tlog-proof@v1" and lines[0] == f"index {index}", f"proof {index} is of another form"
        assert under == note, f"proof {index} stands under another checkpoint"
        entry = file.read_bytes()
        path = [base64.b64decode(line) for line in lines[1:]]
        found = root_by(hasher, index, int(size), hasher(b"\0" + entry), path)
        assert base64.b64encode(found).decode() == root, f"entry {index} is not in the log"
        entries[index] = entry
    return entries, size


def main():
    folder = pathlib.Path(sys.argv[1])
    given = [vkey.strip() for vkey in sys.argv[2:]]
    logs, witnesses = [key for key in given if not is_witness(key)], [key for key in given if is_witness(key)]
    vkey = logs[0] if logs else (folder / "keys/log.vkey").read_text().strip()
    twin_keys = [key for key in logs if key.split("+")[0] == vkey.split("+")[0] + TWIN_SUFFIX]
    assert len(logs) <= 1 + len(twin_keys), "more than one key was given for the log"
    # 1. The manifest is signed, and every file that it lists has its digest.
    manifest = open_note((folder / "manifest").read_bytes(), vkey).decode().splitlines()
    items = [line.split(" ")[1:4] for line in manifest if line.startswith("item ")]
    places = {"vkey": "keys/log.vkey", "vkey.sm3": "keys/log.sm3.vkey"}
    for name, length, digest in items:
        kind, _, number = name.partition("/")
        path = {"entry": f"entries/{number}.entry", "proof": f"proofs/{number}.tlog-proof", "witness": f"keys/witness-{number}",
                "proof.sm3": f"proofs/{number}.sm3.tlog-proof"}.get(kind, places.get(name, name))
        parts = [f"records/{number}.opening", f"records/{number}.json"] if kind == "record" else [path]
        data = b"".join((folder / part).read_bytes() for part in parts)
        assert len(data) == int(length) and sha256(data).hex() == digest, f"{name} was changed"
    # 2. Every entry is in the log, and in the twin log where there is one.
    entries, size = check_log(folder, "checkpoint", vkey, ".tlog-proof", sha256)
    twin = (folder / "checkpoint.sm3").exists()
    if twin:
        twin_key = twin_keys[0] if twin_keys else (folder / "keys/log.sm3.vkey").read_text().strip()
        assert check_log(folder, "checkpoint.sm3", twin_key, ".sm3.tlog-proof", sm3)[0] == entries
    assert twin or not twin_keys, "a key of the twin log was given, and the evidence has none"
    count = check_witnesses(folder, witnesses)
    for certificate in sorted(folder.glob("certificates/*.note")):
        open_note(certificate.read_bytes(), vkey)
    # 3. Every record is what its entry commits to: SHA-256 and SM3 of salt and record.
    records = 0
    for opening in sorted((folder / "records").glob("*.opening")):
        kind, position, salt, index = opening.read_text().split()
        record = opening.with_suffix(".json").read_bytes()
        entry = entries[int(index)]
        assert entry[:4] == b"LQE\1" and entry[4] == {"journal": 1, "receipt": 2}[kind], f"{opening.name}: another kind"
        at = 15 + 64 * (int(position) - int.from_bytes(entry[5:13], "big"))
        salted = bytes.fromhex(salt) + record
        assert 15 <= at and entry[at:at + 64] == sha256(salted) + sm3(salted), f"{opening.name}: not what the entry commits to"
        json.loads(record)
        records += 1
    print(json.dumps({"items": len(items), "entries": len(entries), "records": records, "size": int(size), "twin": twin,
                      "cosigned": count}))


try:
    main()
except Exception as problem:  # Whatever is wrong with the files is one line.
    sys.exit(f"NOT VERIFIED: {type(problem).__name__}: {problem}")
