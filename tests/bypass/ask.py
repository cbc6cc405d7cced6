"""Asks an order's door each statement of a file and prints, for each, the rows or what was said instead.

The file is a JSON object: door (`flight` or `postgres`), address, order, key, statements. Everything the client can show of
an error is printed, so that the test can search it; the stable code and the protocol's own are also given by themselves.
"""

import json
import re
import sys


def through_flight(asked):
    import adbc_driver_flightsql.dbapi as adbc
    from adbc_driver_flightsql import DatabaseOptions

    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {asked['key']}"}
    with adbc.connect(asked["address"], db_kwargs=options, autocommit=True) as connection:
        for statement in asked["statements"]:
            with connection.cursor() as cursor:
                try:
                    cursor.execute(statement)
                    yield {"rows": [[text(cell) for cell in row] for row in cursor.fetchall()]}
                except Exception as error:
                    yield told(error)


def through_postgres(asked):
    import psycopg

    where = asked["address"].removeprefix("postgres://")
    address = f"postgres://{asked['order']}:{asked['key']}@{where}"
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in asked["statements"]:
            try:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
                yield {"rows": [[text(cell) for cell in row] for row in rows]}
            except Exception as error:
                yield told(error)


def text(cell):
    return {True: "true", False: "false"}[cell] if isinstance(cell, bool) else str(cell)


# The stable code stands in front of the sentence, whatever the client puts before it.
CODE = re.compile(r"\b([a-z]+(?:_[a-z]+)*): ")


def told(error):
    said = f"{type(error).__name__}: {error}"
    for name in ("details", "vendor_code", "sqlstate", "status_code"):
        said += f" {getattr(error, name, '')}"
    diagnostics = getattr(error, "diag", None)
    if diagnostics is not None:
        said += f" {diagnostics.message_primary} {diagnostics.message_detail} {diagnostics.message_hint}"
    found = CODE.search(str(error))
    # What the protocol itself has for an error: an SQLSTATE, or the name of what ADBC makes of a gRPC status.
    state = error.sqlstate if diagnostics is not None else getattr(getattr(error, "status_code", None), "name", None)
    return {"code": found.group(1) if found else "", "state": str(state), "said": said}


with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)
doors = {"flight": through_flight, "postgres": through_postgres}
print(json.dumps(list(doors[asked["door"]](asked)), ensure_ascii=False))
