#!/usr/bin/env python3
"""Vectors of SM2, SM3 and SM4 by an implementation that is not ours: the package gmssl of PyPI, version 3.2.2.

    pip install gmssl==3.2.2
    scripts/gmssl-vectors.py write > crates/crypto/golden/gmssl.txt
    scripts/gmssl-vectors.py check < crates/crypto/golden/sm2-signatures.txt

`write` prints the vectors that the tests of crates/crypto read; they are the same on every run. `check` lets gmssl verify
the signatures that our code made, and fails on the first that it does not accept. Nothing else uses this script.
"""

import hashlib
import sys

from gmssl import sm2, sm3, sm4

ORDER = int(sm2.default_ecc_table["n"], 16)
SM3_LENGTHS = [0, 1, 3, 16, 31, 32, 33, 54, 55, 56, 57, 63, 64, 65, 100, 119, 120, 127, 128, 129, 200, 255, 256, 257, 1000]
SM4_COUNT = 24
SM2_COUNT = 16


def stream(label, count):
    """Bytes that anybody can make again: SHA-256 over label and counter."""
    out = b""
    number = 0
    while len(out) < count:
        out += hashlib.sha256(f"{label}/{number}".encode()).digest()
        number += 1
    return out[:count]


def public_of(private):
    point = sm2.CryptSM2(private_key="", public_key="")._kg(private, sm2.default_ecc_table["g"])
    return point


def signer(private, public):
    # gmssl strips every leading 0 and 4 of a key that begins with 04, so keys whose x begins so are not used.
    assert not public.startswith("04")
    return sm2.CryptSM2(private_key="%064x" % private, public_key=public)


def write():
    print("# Made by scripts/gmssl-vectors.py with gmssl 3.2.2 of PyPI; see there. Fields are hexadecimal, `-` is empty.")
    print("# sm3 MESSAGE DIGEST")
    for length in SM3_LENGTHS:
        message = stream(f"sm3/{length}", length)
        print("sm3", message.hex() or "-", sm3.sm3_hash(list(message)))
    print("# sm4 KEY BLOCK CIPHERTEXT")
    for number in range(SM4_COUNT):
        key, block = stream(f"sm4/key/{number}", 16), stream(f"sm4/block/{number}", 16)
        cipher = sm4.CryptSM4()
        cipher.set_key(key, sm4.SM4_ENCRYPT)
        out = [0] * 16
        out = cipher.one_round(cipher.sk, list(block))
        print("sm4", key.hex(), block.hex(), bytes(out).hex())
    print("# sm2 PRIVATE PUBLIC MESSAGE SIGNATURE")
    number = 0
    written = 0
    while written < SM2_COUNT:
        private = int.from_bytes(stream(f"sm2/private/{number}", 32), "big") % (ORDER - 2) + 1
        public = public_of(private)
        number += 1
        if public.startswith("04"):
            continue
        message = stream(f"sm2/message/{number}", 17 * written + 1)
        k = "%064x" % (int.from_bytes(stream(f"sm2/k/{number}", 32), "big") % (ORDER - 1) + 1)
        signature = signer(private, public).sign_with_sm3(message, k)
        print("sm2", "%064x" % private, "04" + public, message.hex(), signature)
        written += 1


def check():
    count = 0
    for line in sys.stdin:
        if line.startswith("#") or not line.strip():
            continue
        name, public, message, signature = line.split()
        assert name == "sm2", f"unknown line {name}"
        public = public[2:]
        if public.startswith("04"):
            continue
        if not signer(0, public).verify_with_sm3(signature, bytes.fromhex(message)):
            sys.exit(f"gmssl refuses the signature of {message}")
        count += 1
    if count == 0:
        sys.exit("no signature was read")
    print(f"gmssl accepts all {count} signatures")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
