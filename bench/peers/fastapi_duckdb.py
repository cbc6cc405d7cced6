"""One flight by its key from DuckDB, as a small service of one's own would answer it: no governance, no receipt."""

import os

import duckdb
from fastapi import FastAPI, HTTPException

app = FastAPI()
connection = duckdb.connect(os.environ["BENCH_DUCKDB"], read_only=True, config={"threads": 1})
QUERY = "SELECT * FROM flights WHERE time_hour = CAST(? AS TIMESTAMP) AND carrier = ? AND flight = ?"


@app.get("/lookup/{time_hour},{carrier},{flight}")
async def lookup(time_hour: str, carrier: str, flight: int) -> dict:
    cursor = connection.execute(QUERY, [time_hour, carrier, flight])
    names = [column[0] for column in cursor.description]
    row = cursor.fetchone()
    if row is None:
        raise HTTPException(404)
    return {"rows": [dict(zip(names, row))]}
