"""Streams the flights over Arrow Flight SQL under their grant, and the raw Parquet files from plain DataFusion without one.

    stream_flights.py FLIGHT_URL KEY SNAPSHOT_DIR RUNS      prints one JSON object

Both sides are drained batch by batch in this process. The governed answer has the row filter and the masks of the permit; the
plain one has the same columns of all rows.
"""

import json
import sys
import time

import adbc_driver_flightsql.dbapi as adbc
import datafusion

from flight_columns import WHOLE

HEADER = "adbc.flight.sql.rpc.call_header.delivery-mode"


def governed(url: str, key: str, runs: int) -> tuple[list[float], int]:
    options = {"adbc.flight.sql.authorization_header": f"Bearer {key}", HEADER: "file"}
    seconds = []
    with adbc.connect(url, db_kwargs=options) as connection, connection.cursor() as cursor:
        for _ in range(runs):
            begun = time.perf_counter()
            cursor.execute("SELECT * FROM flight_records")
            rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
            seconds.append(time.perf_counter() - begun)
    return seconds, rows


def plain(snapshot: str, runs: int) -> tuple[list[float], int]:
    context = datafusion.SessionContext()
    context.register_parquet("flights", snapshot)
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        stream = context.sql(f"SELECT {WHOLE} FROM flights").execute_stream()
        rows = sum(batch.to_pyarrow().num_rows for batch in stream)
        seconds.append(time.perf_counter() - begun)
    return seconds, rows


def main() -> None:
    url, key, snapshot, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    governed_seconds, governed_rows = governed(url, key, runs)
    plain_seconds, plain_rows = plain(snapshot, runs)
    print(
        json.dumps(
            {
                "governed": governed_seconds,
                "governed_rows": governed_rows,
                "plain": plain_seconds,
                "plain_rows": plain_rows,
                "datafusion": datafusion.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
