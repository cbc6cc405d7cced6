"""One flight by its key from PostgreSQL, as a small service of one's own would answer it: no governance, no receipt."""

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

pool = AsyncConnectionPool(os.environ["BENCH_POSTGRES"], min_size=8, max_size=8, open=False)
QUERY = "SELECT * FROM flights WHERE time_hour = %s::timestamp AND carrier = %s AND flight = %s"


@asynccontextmanager
async def opened(_app: FastAPI):
    await pool.open(wait=True)
    yield
    await pool.close()


app = FastAPI(lifespan=opened)


@app.get("/lookup/{time_hour},{carrier},{flight}")
async def lookup(time_hour: str, carrier: str, flight: int) -> dict:
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(QUERY, (time_hour, carrier, flight), prepare=True)
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404)
    return {"rows": [row]}
