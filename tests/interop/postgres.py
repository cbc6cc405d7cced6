"""What psycopg 3 gets of an order over the PostgreSQL protocol. Arguments: the connection's address, and the part to play.

Parts: `rows` asks and checks; `stopped` cancels and times out; `suspended` waits for a line on stdin, before which the grant
is suspended.
"""

import datetime
import sys
import threading
import time

import psycopg

TABLE = "trip_records"


def trip(number):
    """The trip of a number, as the scenario makes it."""
    line = "L9" if number % 1000 == 999 else f"L{number % 5}"
    delay = None if number % 7 == 3 else number % 120
    return (number, line, datetime.date(2025, 3, number % 28 + 1), delay)


def receipt(connection):
    return connection.info.parameter_status("lingqu.receipt")


def refused(connection, statement, code, sqlstate, parameters=None):
    try:
        connection.execute(statement, parameters)
    except psycopg.Error as error:
        said = str(error)
        assert said.startswith(code + ": "), said
        assert error.sqlstate == sqlstate, (error.sqlstate, said)
        assert error.diag.message_detail, said
        for word in ("DataFusion", "Arrow error", "Error during"):
            assert word not in said, said
        return said
    raise AssertionError(f"{statement} was answered")


def rows(address):
    receipts = []
    columns = f"SELECT trip_id, line, day, delay FROM {TABLE}"
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.info.server_version == 160009
        assert receipt(connection) is None
        # Values of every kind as parameters of the server, in text and in binary.
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            cursor.execute(columns + " WHERE trip_id = %s", (41,))
            assert cursor.fetchall() == [trip(41)]
            receipts.append(receipt(connection))
            cursor.execute(
                columns + " WHERE trip_id < %s AND line = %s AND day >= %s AND delay > %s ORDER BY trip_id",
                (200, "L1", datetime.date(2025, 3, 5), 20.5),
            )
            expected = [trip(number) for number in range(200)]
            expected = [t for t in expected if t[1] == "L1" and t[2].day >= 5 and t[3] is not None and t[3] > 20.5]
            assert cursor.fetchall() == expected and expected
            receipts.append(receipt(connection))
            cursor.execute(
                "SELECT sum(delay), avg(delay), count(*) = %s, max(day), min(line), sum(delay) / %s "
                f"FROM {TABLE} WHERE trip_id < 100",
                (100, 2),
            )
            delays = [trip(number)[3] for number in range(100) if trip(number)[3] is not None]
            total, average, counted, day, line, half = cursor.fetchone()
            assert (total, counted, line, half) == (sum(delays), True, "L0", sum(delays) // 2), (total, counted, half)
            assert abs(float(average) - sum(delays) / len(delays)) < 1e-9
            assert day == datetime.date(2025, 3, 28)
            receipts.append(receipt(connection))
            cursor.execute(f"SELECT CAST(trip_id AS decimal(20, 3)) FROM {TABLE} WHERE trip_id = 7")
            assert str(cursor.fetchone()[0]) == "7.000"
            receipts.append(receipt(connection))
            cursor.execute(f"SELECT CAST(day AS timestamp) FROM {TABLE} WHERE trip_id = 7")
            assert cursor.fetchone()[0] == datetime.datetime(2025, 3, 8)
            receipts.append(receipt(connection))
        # A statement that is prepared on the server and used again.
        for number in range(8):
            cursor = connection.execute(columns + " WHERE trip_id = %s", (number,), prepare=True)
            assert cursor.fetchall() == [trip(number)]
            receipts.append(receipt(connection))
        assert connection.execute("SHOW lingqu.receipt").fetchone() == (receipts[-1],)
        assert connection.execute("SHOW lingqu.nature").fetchone() == ("REAL",)

        # The catalogue, and what is not answered: none of it leaves a receipt.
        found = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", ("public",))
        assert found.fetchall() == [(TABLE,)]
        # What it and its columns mean, as SQLAlchemy and others ask for it.
        asked = connection.execute(
            "SELECT pg_catalog.obj_description(c.oid, 'pg_class'), pg_catalog.col_description(c.oid, %s) "
            "FROM pg_catalog.pg_class c WHERE c.relname = %s",
            (2, TABLE),
        )
        assert asked.fetchall() == [(f"{TABLE}：测试产品", "line 的含义")]
        asked = connection.execute(
            "SELECT objsubid, description FROM pg_catalog.pg_description WHERE objoid = %s::regclass ORDER BY objsubid", (TABLE,)
        )
        names = ["trip_id", "line", "day", "delay", "vehicle", "note"]
        assert asked.fetchall() == [(0, f"{TABLE}：测试产品")] + [(n, f"{name} 的含义") for n, name in enumerate(names, 1)]
        connection.execute("SET statement_timeout = '30s'")
        assert connection.execute("SHOW statement_timeout").fetchone() == ("30000ms",)
        refused(connection, f"SELECT secret FROM {TABLE}", "column_not_granted", "42703")
        refused(connection, "SELECT * FROM trips", "table_not_granted", "42P01")
        refused(connection, f"SELECT * FROM {TABLE} JOIN pg_catalog.pg_class ON true", "schema_asked_with_data", "0A000")
        refused(connection, f"SELECT * FROM {TABLE}, information_schema.tables", "schema_asked_with_data", "0A000")
        refused(connection, f"SELECT repeat(line, 5) FROM {TABLE}", "function_not_allowed", "42883")
        refused(connection, f"DELETE FROM {TABLE}", "statement_not_allowed", "0A000")
        refused(connection, f"COPY {TABLE} TO STDOUT", "statement_not_allowed", "0A000")
        refused(connection, "EXPLAIN ANALYZE SELECT 1", "statement_not_allowed", "0A000")
        refused(connection, f"SELEC * FROM {TABLE}", "statement_not_allowed", "0A000")
        refused(connection, f"SELECT line FROM {TABLE} WHERE", "statement_not_understood", "42601")
        # The value is in no message.
        said = refused(connection, f"SELECT 1 FROM {TABLE} WHERE trip_id = %s", "malformed_request", "22P02", ("x-secret",))
        assert "secret" not in said
        assert receipt(connection) == receipts[-1]
        # Two statements of one message.
        cursor = connection.execute(f"SELECT trip_id FROM {TABLE} WHERE trip_id = 1; SELECT line FROM {TABLE} WHERE trip_id = 2")
        assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == ("L2",)
        receipts.append(receipt(connection))

    # A cursor on the server takes a few rows at a time.
    with psycopg.connect(address) as connection:
        with connection.cursor(name="big") as cursor:
            cursor.itersize = 100
            cursor.execute(columns + " WHERE trip_id < %s ORDER BY trip_id", (250,))
            assert cursor.fetchmany(7) == [trip(number) for number in range(7)]
            assert [row for row in cursor] == [trip(number) for number in range(7, 250)]
        receipts.append(receipt(connection))
        # In a transaction that failed nothing is answered until its end.
        refused(connection, "SELECT * FROM nothing", "table_not_granted", "42P01")
        refused(connection, columns, "malformed_request", "25P02")
        connection.rollback()
        assert connection.execute(columns + " WHERE trip_id = 3").fetchall() == [trip(3)]
        receipts.append(receipt(connection))
    print("\n".join(receipts))


def stopped(address):
    # The pairs of two are gone through as they come; what is held in memory are the rows of the third.
    pairs = f"SELECT a.note AS note FROM {TABLE} a JOIN {TABLE} b ON a.note < b.note"
    long = f"SELECT count(*) FROM {TABLE} c JOIN ({pairs}) d ON c.note < d.note"
    with psycopg.connect(address, autocommit=True) as connection:
        before = time.monotonic()
        # Again and again: a request that comes before the statement begins stops nothing.
        over = threading.Event()

        def cancel():
            while not over.wait(0.2):
                connection.cancel_safe()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        said = refused(connection, long, "cancelled", "57014")
        over.set()
        canceller.join()
        connection.execute("SET statement_timeout = 300")
        said = refused(connection, long, "statement_timeout", "57014")
        assert "300 ms" in said, said
        assert time.monotonic() - before < 50, "the node's own limit ended them"
        connection.execute("SET statement_timeout = 0")
        # Both have given their places back.
        assert connection.execute(f"SELECT line FROM {TABLE} WHERE trip_id = 1").fetchone() == ("L1",)
    # A cancel request with another secret stops nothing; a key of another order opens nothing.
    for user, password in (("ord_" + "0" * 32, None), (None, "lqk_" + "A" * 43), ("", None)):
        options = {"user": user} if user is not None else {"password": password}
        try:
            psycopg.connect(address, **options)
            raise AssertionError(f"{options} was let in")
        except psycopg.OperationalError as error:
            assert "bad_service_key" in str(error), error


def suspended(address):
    prepared = f"SELECT line FROM {TABLE} WHERE trip_id = %s"
    with psycopg.connect(address, autocommit=True) as connection, psycopg.connect(address) as running:
        for _ in range(2):
            assert connection.execute(prepared, (1,), prepare=True).fetchone() == ("L1",)
        before = receipt(connection)
        cursor = running.cursor(name="running")
        cursor.execute(f"SELECT trip_id, note FROM {TABLE} WHERE trip_id < 9900")
        taken = len(cursor.fetchmany(50))
        assert taken == 50
        print("ready", flush=True)
        sys.stdin.readline()
        # What was prepared is refused at its next use, and so is everything else.
        refused(connection, prepared, "grant_suspended", "42501", (1,))
        refused(connection, "SELECT table_name FROM information_schema.tables", "grant_suspended", "42501")
        assert receipt(connection) == before
        # What is running ends at its next batch.
        try:
            while part := cursor.fetchmany(500):
                taken += len(part)
            raise AssertionError(f"{taken} rows were given")
        except psycopg.Error as error:
            assert str(error).startswith("grant_suspended: "), error
        print(taken)
        print(receipt(running))
        running.rollback()
    try:
        psycopg.connect(address)
        raise AssertionError("a connection was let in")
    except psycopg.OperationalError as error:
        assert "grant_suspended" in str(error), error


if __name__ == "__main__":
    {"rows": rows, "stopped": stopped, "suspended": suspended}[sys.argv[2]](sys.argv[1])
