"""Prepares statements at an order's door, waits for a line on stdin before which the right is taken away, and executes them.

The argument is a file as for `ask.py`; its statements are prepared. Before: `ready`. After: for each way of executing what
was prepared, the rows or what was said, as JSON.
"""

import json
import sys


def attempt(work):
    try:
        return {"rows": [[str(cell) for cell in row] for row in work()]}
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        for name in ("details", "sqlstate", "status_code"):
            said += f" {getattr(error, name, '')}"
        return {"said": said}


def wait():
    print("ready", flush=True)
    sys.stdin.readline()


def through_flight(asked):
    import adbc_driver_flightsql.dbapi as adbc
    from adbc_driver_flightsql import DatabaseOptions

    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {asked['key']}"}
    with adbc.connect(asked["address"], db_kwargs=options, autocommit=True) as connection:
        cursors = []
        for statement in asked["statements"]:
            cursor = connection.cursor()
            cursor.adbc_prepare(statement)
            # Once as it may be: so that what follows is refused for what has happened since.
            cursor.execute(statement)
            assert cursor.fetchone() is not None, statement
            cursors.append((cursor, statement))
        wait()

        def again(cursor, statement):
            cursor.execute(statement)
            return cursor.fetchall()

        for cursor, statement in cursors:
            yield attempt(lambda cursor=cursor, statement=statement: again(cursor, statement))
        # Prepared anew.
        for statement in asked["statements"]:

            def anew(statement=statement):
                with connection.cursor() as cursor:
                    cursor.adbc_prepare(statement)
                    cursor.execute(statement)
                    return cursor.fetchall()

            yield attempt(anew)


def through_postgres(asked):
    import psycopg

    where = asked["address"].removeprefix("postgres://")
    address = f"postgres://{asked['order']}:{asked['key']}@{where}"
    with psycopg.connect(address, autocommit=True) as connection, psycopg.connect(address) as transaction:
        for statement in asked["statements"]:
            for _ in range(2):
                assert connection.execute(statement, prepare=True).fetchone() is not None, statement
        # A cursor on the server of which a part was taken.
        server = transaction.cursor(name="held")
        server.execute(asked["statements"][0])
        assert server.fetchone() is not None
        wait()
        for statement in asked["statements"]:
            yield attempt(lambda statement=statement: connection.execute(statement, prepare=True).fetchall())
            yield attempt(lambda statement=statement: connection.execute(statement).fetchall())
        # What was drawn before is no more handed out.
        yield attempt(server.fetchall)
        transaction.rollback()
        yield attempt(lambda: transaction.execute(asked["statements"][0]).fetchall())
        yield attempt(lambda: psycopg.connect(address).execute(asked["statements"][0]).fetchall())


with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)
doors = {"flight": through_flight, "postgres": through_postgres}
print(json.dumps(list(doors[asked["door"]](asked)), ensure_ascii=False))
