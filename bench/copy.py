"""Copies the flights with DuckDB as the governed export gives them, and compares the two files.

    copy.py SNAPSHOT_DIR GOVERNED_FILE OWN_FILE RUNS      prints one JSON object

The same row filter and masks as the permit's: SkyWest (OO) left out, the air time rounded down to five minutes, the tail
number replaced by a salted hash of 128 bits. Both read Parquet of the same rows and write Parquet compressed by zstd.
"""

import json
import sys
import time

import duckdb

COLUMNS = """time_hour, carrier, flight, year, month, day, sched_dep_time, dep_time, dep_delay, sched_arr_time, arr_time,
    arr_delay, left(sha256('a salt of thirty-two bytes, no less' || tailnum), 32) AS tailnum, origin, dest,
    CAST(floor(air_time / 5) * 5 AS BIGINT) AS air_time, distance"""
SUMS = """count(*), sum(distance), sum(air_time), sum(arr_delay), count(tailnum), count(DISTINCT tailnum),
    max(length(tailnum)), count(DISTINCT carrier)"""


def main() -> None:
    snapshot, governed, own, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    connection = duckdb.connect()
    copy = (
        f"COPY (SELECT {COLUMNS} FROM read_parquet('{snapshot}/*.parquet') WHERE carrier <> 'OO') "
        f"TO '{own}' (FORMAT parquet, COMPRESSION zstd)"
    )
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        connection.execute(copy)
        seconds.append(time.perf_counter() - begun)
    sums = [connection.execute(f"SELECT {SUMS} FROM read_parquet('{file}')").fetchone() for file in (governed, own)]
    if sums[0] != sums[1]:
        sys.exit(f"the governed file holds {sums[0]}, DuckDB's {sums[1]}: they are not the same data")
    threads = connection.execute("SELECT current_setting('threads')").fetchone()[0]
    print(json.dumps({"version": duckdb.__version__, "threads": threads, "seconds": seconds, "rows": sums[0][0]}))


if __name__ == "__main__":
    main()
