"""A client that asks for more than it waits for, and is killed while it waits: `gone.py ADBC|FLIGHT ARGUMENTS`."""

import json
import sys

import flight as beside

check, given = sys.argv[1], json.loads(sys.argv[2])
if check == "adbc":
    with beside.connect(given) as connection:
        with connection.cursor() as cursor:
            cursor.execute(given["sql"])
            cursor.fetch_arrow_table()
else:
    opened, options, _ = beside.client(given)
    command = beside.packed("CommandStatementQuery", beside.field(1, given["sql"]))
    beside.asked(opened, options, command)
