"""Streams what a statement asks of Parquet files over Arrow Flight, from plain DataFusion: no governance, no receipt.

    fusion_flight.py DIRECTORY      prints its address, and ends when its standard input ends

The files are the table `flights`; a ticket is a statement. DataFusion hands its batches on as it makes them, in as many
partitions as it takes by default; pyarrow's server, which is C++, encodes and sends them.
"""

import sys
import threading

import datafusion
import pyarrow
from pyarrow import flight


class Server(flight.FlightServerBase):
    def __init__(self, directory: str):
        super().__init__("grpc://127.0.0.1:0")
        self.fusion = datafusion.SessionContext()
        self.fusion.register_parquet("flights", directory)

    def do_get(self, _context, ticket: flight.Ticket) -> flight.RecordBatchStream:
        found = self.fusion.sql(ticket.ticket.decode())
        return flight.RecordBatchStream(pyarrow.RecordBatchReader.from_stream(found))


def main() -> None:
    server = Server(sys.argv[1])
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    print(f"grpc://127.0.0.1:{server.port}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
