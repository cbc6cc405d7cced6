#!/usr/bin/env python3
"""Recomputes the accusations of a trace from its evidence, with nothing of Lingqu: EVIDENCE. Needs pyca/cryptography.

It opens the bundle, opens the journal's commitments with the disclosed keys (SHA-256 and SM3), draws each code at the positions that
the file shows (AES or SM4), and scores them by one score alone, the symmetric one of Škorić, Katzenbeisser and Celik (2008). Given the
observations an innocent's score is a sum of independent two-point variables of known law, so Chernoff's bound on its tail, times
the number of those who are registered, bounds the probability that any of them is innocent and scores so high. The program tries
further decoders and has a sharper bound, so its numbers are smaller; both accuse, or this script says which does not.

Those who are registered are as many as the journal's record of the trace says, from before the report was shown, and the report is the
one that the record commits to: else the script says so (`held`). What it does not check it says too (`not_checked`): of the log it
checks nothing, since that the records stand in it is shown by `lingqu trace --verify`, or as docs/manual/evidence.md does it for records
and proofs. Prints JSON; exits with 1 where something does not follow, or no record bears the report out.
"""

import hashlib
import json
import math
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import SM4
except ImportError:
    SM4 = algorithms.SM4

HEAD = b"lingqu-observations v1\n"
# Kind and number of the channel, whether an order's, row, bias times 2^32, residual, point; the lowest byte first.
OBSERVATION = struct.Struct("<BHBIId16s")
CIPHERS = {"aes-sha256": algorithms.AES, "sm4-sm3": SM4}


def items_of(bundle):
    """The items by name, each held against its digest in the manifest."""
    blank = bundle.index(b"\n\n")
    end = bundle.index(b"\n", blank + 2) + 1
    items, at = {}, end
    for line in bundle[:blank].decode().splitlines():
        words = line.split(" ")
        if words[0] == "item":
            name, length, digest = words[1], int(words[2]), words[3]
            items[name] = bundle[at:at + length]
            at += length
            assert hashlib.sha256(items[name]).hexdigest() == digest, f"{name} was changed"
    assert at == len(bundle), "bytes follow the last item"
    return items


class Number(str):
    """A number as it is written: read and written again it may be another."""


def canonical(value):
    """The canonical JSON of what was read with numbers as they are written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def journal_of(items):
    """The journal's records, in its order."""
    records = []
    for name, item in items.items():
        if name.startswith("record/"):
            line, record = item.split(b"\n", 1)
            kind, position, _, _ = line.decode().split(" ")
            if kind == "journal":
                records.append((int(position), json.loads(record)))
    return [record for _, record in sorted(records, key=lambda found: found[0])]


def committed_in(journal):
    """Of each order and epoch of its code its consumer, product and commitments."""
    placed, committed = {}, {}
    for record in journal:
        event = record["body"].get("order")
        if not isinstance(event, dict):
            continue
        order = record["stream"]
        if "placed" in event:
            placed[order] = event["placed"]["consumer"], event["placed"]["details"]["product"]
        elif "mark_keys_committed" in event:
            commitments = event["mark_keys_committed"]["commitments"]
            committed[order, commitments.get("code_epoch", 0)] = *placed[order], commitments
    return committed


def held_against(journal, text):
    """How far a case is what the journal's record of the trace says, and what it says otherwise."""
    case, as_written = json.loads(text), json.loads(text, parse_float=Number, parse_int=Number)
    report, wrong = case["report"], []
    marks = {product["product"]: product["marks"] for product in report["products"] if product.get("marks")}
    before = (report.get("tries") or {"before": 0})["before"]
    stated = sum(product[of]["bound"] for product in case["products"] for of in ("recipients", "orders"))
    if stated > report["bound"] / ((before + 1) * (before + 2)) * (1 + 1e-9):
        wrong.append("its tests together have a larger bound than is left for this try")
    each = report["bound"] / ((before + 1) * (before + 2)) / (2 * max(len(marks), 1))
    if any(abs(product[of]["bound"] - each) > 1e-9 * each for product in case["products"] for of in ("recipients", "orders")):
        wrong.append("its tests don't have an even share of the bound that is left for this try")
    for product in case["products"]:
        registered, of = product["recipients"]["registered"], marks.get(product["product"])
        if of is None or registered != of["registered"] or not of["tested"] <= registered <= product["orders"]["registered"]:
            wrong.append(f"the numbers of registered do not fit what was tested of {product['product']}")
    details = None
    for record in journal:
        if record["stream"] == case.get("recorded") and "trace" in record["body"]:
            details = record["body"]["trace"]["recorded"]["details"]
    if details is None:
        return "nothing", wrong
    if "tries" not in report or before != details.get("tries_before", 0) or report["bound"] != float(details["bound"]):
        wrong.append("the journal's record of the trace says otherwise: bound or tries")
    if report["tested"] != details["recipients_tested"] or report["tested"] != sum(of["tested"] for of in marks.values()):
        wrong.append("the journal's record of the trace says otherwise: number of recipients")
    if report.get("journal_position") != details.get("journal_position"):
        wrong.append("the journal's record of the trace says otherwise: position in the journal")
    digest, tested = details.get("shown_report_digest"), details.get("tested")
    if digest is None or tested is None:
        return "totals", wrong
    if hashlib.sha256(canonical(as_written["report"]).encode()).hexdigest() != digest:
        wrong.append("the journal's record of the trace says otherwise: report")
    for product in case["products"]:
        counts = {of: product[of]["registered"] for of in ("recipients", "orders")}
        if tested.get(product["product"]) != counts:
            wrong.append(f"the journal's record of the trace says otherwise: codes of {product['product']}")
    return "nothing" if wrong else "report", wrong


def opens(key, committed):
    """Whether a disclosed key and its salt are what was committed to, for this use."""
    consumer, product, commitments = committed
    epoch, whose = key.get("code_epoch", 0), key.get("recipient")
    kind, name, logged = ("order", key["order"], "order") if whose is None else ("recipient", whose, "recipient")
    if product != key["product"] or whose not in (None, consumer) or commitments["profile"] != key["profile"]:
        return False
    parts = ["lingqu/fingerprint/v1", key["profile"], kind if epoch == 0 else f"renewed {kind}", product, name]
    parts += [str(epoch)] if epoch else []
    use = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    opened = bytes.fromhex(key["salt"]) + b"lingqu/fingerprint/commitment/v1\0" + use + bytes.fromhex(key["key"])
    return ":".join(hashlib.new(name, opened).hexdigest() for name in ("sha256", "sm3")) == commitments[logged]


def observed(item):
    """What the file shows at each point, once, the mean where it shows it several times: of recipients, of orders."""
    assert item.startswith(HEAD) and (len(item) - len(HEAD)) % OBSERVATION.size == 0, "observations can't be read"
    found = ({}, {})
    for _, _, order, _, threshold, residual, point in OBSERVATION.iter_unpack(item[len(HEAD):]):
        shown = found[order].setdefault(point, [threshold, 0.0, 0])
        shown[1] += residual
        shown[2] += 1
    return [{point: (threshold, total / count) for point, (threshold, total, count) in of.items()} for of in found]


def log_p_value(shown, key):
    """The logarithm of Chernoff's bound on an innocent's score being as high as that of this key."""
    cipher = Cipher(CIPHERS[key["profile"]](bytes.fromhex(key["key"])[:16]), modes.ECB()).encryptor()
    drawn = cipher.update(b"".join(shown))
    terms, score = [], 0.0
    for place, (threshold, residual) in enumerate(shown.values()):
        # What is between the two delivered values, or far from both, says nothing clear.
        if not 0.5 <= abs(residual) <= 1.5:
            continue
        p = threshold / 2**32
        one, zero = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))
        if residual < 0:
            one, zero = -one, -zero
        bit = int.from_bytes(drawn[16 * place:16 * place + 4], "little") < threshold
        score += one if bit else zero
        terms.append((p, one, zero))
    if not terms:
        return 0.0, 0

    def bound(rate):
        return sum(math.log(p * math.exp(rate * one) + (1 - p) * math.exp(rate * zero)) for p, one, zero in terms) - rate * score

    # Every rate gives a bound; the best is looked for by thirds, since it is convex.
    low, high = 0.0, 2.0
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if bound(left) < bound(right):
            high = right
        else:
            low = left
    return min(bound(low), 0.0), len(terms)


def main(path):
    items = items_of(open(path, "rb").read())
    case, keys = json.loads(items["trace/case.json"]), json.loads(items["trace/keys.json"])
    journal = journal_of(items)
    committed = committed_in(journal)
    told, (held, wrong) = [], held_against(journal, items["trace/case.json"])
    for product in case["products"]:
        of_recipients, of_orders = observed(items[product["observations"]])
        for key in (key for key in keys if key["product"] == product["product"]):
            name = f"{key['order']} epoch {key.get('code_epoch', 0)}"
            logged = committed.get((key["order"], key.get("code_epoch", 0)))
            if logged is None or not opens(key, logged):
                wrong.append(f"the key of {name} is not what the journal commits to")
                continue
            is_order = key.get("recipient") is None
            settings = product["orders" if is_order else "recipients"]
            log, positions = log_p_value(of_orders if is_order else of_recipients, key)
            log = min(0.0, log + math.log(settings["registered"]))
            told.append({
                "consumer": logged[0], "order": key["order"] if is_order else None, "product": product["product"],
                "code_epoch": key.get("code_epoch", 0), "positions": positions, "registered": settings["registered"],
                "log10_p_value": log / math.log(10), "bound": settings["bound"],
            })
            if log > math.log(settings["bound"]):
                wrong.append(f"by the symmetric score alone {name} is not accused")
    not_checked = [
        "that the records stand in the log, and who signed it: `lingqu trace --verify`, docs/manual/evidence.md",
        "that the observations are the file's: an expert with the sealed annex",
        "that the report accuses nobody besides, and that its names, permits and deliveries are the records': `lingqu trace --verify`",
    ]
    if held != "report":
        not_checked.append("that this report, its tries and the numbers of registered stood in the journal before it was shown")
    fragment = case["report"]["fragment"]["digest"]
    found = {"fragment": fragment, "accused": told, "held": held, "wrong": wrong, "not_checked": not_checked}
    print(json.dumps(found, indent=2))
    return 0 if told and not wrong and held == "report" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
