"""Streams the flights over Arrow Flight under their grant and, without one, from plain DataFusion: over Arrow Flight too, and
within this process.

    stream_flights.py FLIGHT_URL KEY SNAPSHOT_DIR RUNS      prints one JSON object

All are drained batch by batch in this process. The two over Arrow Flight are drained by one client, pyarrow's; the governed one
by the ADBC driver as well, as consumers would. The governed answer has the row filter and the masks of the permit; the others
have the same columns of all rows.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import datafusion
from pyarrow import flight

from flight_columns import WHOLE

HEADER = "adbc.flight.sql.rpc.call_header.delivery-mode"
GOVERNED = "SELECT * FROM flight_records"
PLAIN = f"SELECT {WHOLE} FROM flights"
PEER = Path(__file__).parent / "peers" / "fusion_flight.py"
STATEMENT = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"


def drained(runs: int, stream) -> tuple[list[float], int]:
    """Seconds of each run, and the rows of one; `stream` gives batches."""
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        rows = sum(batch.num_rows for batch in stream())
        seconds.append(time.perf_counter() - begun)
    return seconds, rows


def field(number: int, value: bytes) -> bytes:
    """A field of bytes in the encoding of protocol buffers; of fewer than 128 bytes."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def over_flight(client: flight.FlightClient, ticket: flight.Ticket, options: flight.FlightCallOptions):
    return (chunk.data for chunk in client.do_get(ticket, options))


def governed(url: str, key: str, runs: int) -> tuple[list[float], int]:
    options = flight.FlightCallOptions(
        headers=[(b"authorization", f"Bearer {key}".encode()), (b"delivery-mode", b"file")]
    )
    command = field(1, STATEMENT) + field(2, field(1, GOVERNED.encode()))
    with flight.connect(url.replace("http://", "grpc://")) as client:

        def stream():
            found = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
            return over_flight(client, found.endpoints[0].ticket, options)

        return drained(runs, stream)


def governed_by_driver(url: str, key: str, runs: int) -> tuple[list[float], int]:
    options = {"adbc.flight.sql.authorization_header": f"Bearer {key}", HEADER: "file"}
    with adbc.connect(url, db_kwargs=options) as connection, connection.cursor() as cursor:

        def stream():
            cursor.execute(GOVERNED)
            return cursor.fetch_record_batch()

        return drained(runs, stream)


def plain_over_flight(snapshot: str, runs: int) -> tuple[list[float], int]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, PEER, snapshot], **pipes) as peer:
        with flight.connect(peer.stdout.readline().strip()) as client:
            ticket = flight.Ticket(PLAIN)
            streamed = drained(runs, lambda: over_flight(client, ticket, flight.FlightCallOptions()))
        peer.stdin.close()
    return streamed


def plain(snapshot: str, runs: int) -> tuple[list[float], int]:
    context = datafusion.SessionContext()
    context.register_parquet("flights", snapshot)
    return drained(runs, lambda: (batch.to_pyarrow() for batch in context.sql(PLAIN).execute_stream()))


def main() -> None:
    url, key, snapshot, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    measured = {
        "governed": governed(url, key, runs),
        "governed_by_driver": governed_by_driver(url, key, runs),
        "plain_over_flight": plain_over_flight(snapshot, runs),
        "plain": plain(snapshot, runs),
    }
    streams = {name: {"seconds": seconds, "rows": rows} for name, (seconds, rows) in measured.items()}
    print(json.dumps({"streams": streams, "datafusion": datafusion.__version__}))


if __name__ == "__main__":
    main()
