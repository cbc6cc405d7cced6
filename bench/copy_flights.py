"""Copies the flights with DuckDB and with plain DataFusion beside the governed export, and compares the files.

    copy_flights.py SNAPSHOT_DIR GOVERNED_FILE OUT_DIR RUNS      prints one JSON object

`masked` are copies under the row filter and the masks of the permit: SkyWest (OO) left out, the air time rounded down to five
minutes and the distance to ten miles, the tail number replaced by a salted hash of 128 bits. `whole` are copies of the same columns without any of that.
All read the snapshot's Parquet files and write Parquet as the governed export does: zstd at level 1, row groups of 131,072
rows, dictionaries by default.
"""

import json
import sys
import time

import datafusion
import duckdb

from flight_columns import PLAIN, WHOLE

AIR_TIME = "CAST(floor(air_time / 5) * 5 AS BIGINT) AS air_time"
DISTANCE = "CAST(floor(distance / 10) * 10 AS BIGINT) AS distance"
SALT = "'a salt of thirty-two bytes, no less'"
SUMS = """count(*), sum(distance), sum(air_time), sum(arr_delay), count(tailnum), count(DISTINCT tailnum),
    max(length(tailnum)), count(DISTINCT carrier)"""
ROW_GROUP_ROWS = 131_072


def timed(run, runs: int) -> list[float]:
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    snapshot, governed, out, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    duck = duckdb.connect()
    fusion = datafusion.SessionContext(
        datafusion.SessionConfig().with_target_partitions(duck.execute("SELECT current_setting('threads')").fetchone()[0])
    )
    fusion.register_parquet("flights", snapshot)

    def by_duckdb(columns: str, where: str, to: str):
        options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
        return lambda: duck.execute(
            f"COPY (SELECT {columns} FROM read_parquet('{snapshot}/*.parquet') {where}) TO '{to}' ({options})"
        )

    def by_datafusion(columns: str, where: str, to: str):
        options = f"'format.compression' 'zstd(1)', 'format.max_row_group_size' {ROW_GROUP_ROWS}"
        return lambda: fusion.sql(
            f"COPY (SELECT {columns} FROM flights {where}) TO '{to}' STORED AS PARQUET OPTIONS ({options})"
        ).collect()

    filtered = "WHERE carrier <> 'OO'"
    rounded = {"air_time": AIR_TIME, "distance": DISTANCE}
    duck_masked = PLAIN.format(tailnum=f"left(sha256({SALT} || tailnum), 32) AS tailnum", **rounded)
    hashed = f"left(encode(sha256({SALT} || tailnum), 'hex'), 32) AS tailnum"
    fusion_masked = PLAIN.format(tailnum=hashed, **rounded)
    masked = {"duckdb": f"{out}/duckdb.parquet", "datafusion": f"{out}/datafusion.parquet"}
    seconds = {
        "duckdb_masked": timed(by_duckdb(duck_masked, filtered, masked["duckdb"]), runs),
        "datafusion_masked": timed(by_datafusion(fusion_masked, filtered, masked["datafusion"]), runs),
        "duckdb_whole": timed(by_duckdb(WHOLE, "", f"{out}/whole.parquet"), runs),
        "datafusion_whole": timed(by_datafusion(WHOLE, "", f"{out}/whole.parquet"), runs),
    }
    files = {"governed": governed, **masked}
    sums = {name: duck.execute(f"SELECT {SUMS} FROM read_parquet('{file}')").fetchone() for name, file in files.items()}
    if len(set(sums.values())) > 1:
        sys.exit(f"the files are not the same data: {sums}")
    threads = duck.execute("SELECT current_setting('threads')").fetchone()[0]
    versions = {"duckdb": duckdb.__version__, "datafusion": datafusion.__version__}
    print(json.dumps({"versions": versions, "threads": threads, "seconds": seconds, "rows": sums["governed"][0]}))


if __name__ == "__main__":
    main()
