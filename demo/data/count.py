#!/usr/bin/env python3
"""Counts the defects of the real data with nothing but Python's csv module: a second opinion on the quality room.

    python3 demo/data/count.py        prints one JSON object: rule id -> [rows looked at, failing rows, failing keys]

The rules are those of demo/data/rules/flights.json and divisions.json, written here once more by hand and not read
from there. Rules about the age or existence of a whole table are left out. `crates/quality/tests` holds the figures.
"""

import csv
import io
import json
import pathlib
import re
import subprocess
from collections import Counter

FOLDER = pathlib.Path(__file__).resolve().parent


def main() -> None:
    flights, weather, planes = read("flights"), read("weather"), read("planes")
    airports, airlines = read("airports"), read("airlines")
    counts = {}

    def rows(rule, table, looked_at, fails):
        looked = [row for row in table if looked_at(row)]
        counts[rule] = [len(looked), sum(1 for row in looked if fails(row)), None]

    def keys(rule, table, key, fails, looked_at=lambda row: True):
        found = Counter(key(row) for row in table if looked_at(row) and None not in key(row))
        failing = {value: count for value, count in found.items() if fails(value, count)}
        counts[rule] = [sum(found.values()), sum(failing.values()), len(failing)]

    def every(row):
        return True

    for column in ("dep_time", "arr_time", "arr_delay", "tailnum"):
        rows(f"flights.{column}.present", flights, every, lambda row: row[column] is None)
    rows("flights.air_time.present", flights, lambda row: row["arr_time"] is not None, lambda row: row["air_time"] is None)
    natural = ("year", "month", "day", "carrier", "flight", "origin", "dest")
    keys("flights.key.unique", flights, of(*natural), lambda value, count: count > 1)
    shape = re.compile(r"N[0-9A-Z]{2,5}")
    rows("flights.tailnum.form", flights, has("tailnum"), lambda row: not shape.fullmatch(row["tailnum"]))
    for column in ("dep_time", "arr_time"):
        rows(f"flights.{column}.range", flights, has(column), lambda row: not 0 <= int(row[column]) <= 2359)
    rows("flights.distance.range", flights, has("distance"), lambda row: int(row["distance"]) < 1)
    known = {row["tailnum"] for row in planes}
    keys("flights.tailnum.registered", flights, of("tailnum"), lambda value, count: value[0] not in known)
    places = {row["faa"] for row in airports}
    keys("flights.dest.registered", flights, of("dest"), lambda value, count: value[0] not in places)
    keys("flights.origin.registered", flights, of("origin"), lambda value, count: value[0] not in places)
    carriers = {row["carrier"] for row in airlines}
    keys("flights.carrier.registered", flights, of("carrier"), lambda value, count: value[0] not in carriers)
    hours = {(row["origin"], row["time_hour"]) for row in weather}
    keys("flights.weather.registered", flights, of("origin", "time_hour"), lambda value, count: value not in hours)

    for column in ("temp", "wind_dir", "wind_speed", "pressure"):
        rows(f"weather.{column}.present", weather, every, lambda row: row[column] is None)
    keys("weather.utc_hour.unique", weather, of("origin", "time_hour"), lambda value, count: count > 1)
    local = ("origin", "year", "month", "day", "hour")
    keys("weather.local_hour.unique", weather, of(*local), lambda value, count: count > 1)
    rows("weather.wind_speed.range", weather, has("wind_speed"), lambda row: not 0 <= float(row["wind_speed"]) <= 250)
    rows("weather.humid.range", weather, has("humid"), lambda row: not 0 <= float(row["humid"]) <= 100)
    both = lambda row: row["wind_gust"] is not None and row["wind_speed"] is not None
    rows("weather.wind_gust.at_least", weather, both, lambda row: float(row["wind_gust"]) < float(row["wind_speed"]))
    keys("weather.origin.registered", weather, of("origin"), lambda value, count: value[0] not in places)

    keys("planes.tailnum.unique", planes, of("tailnum"), lambda value, count: count > 1)
    rows("planes.year.present", planes, every, lambda row: row["year"] is None)
    rows("planes.speed.present", planes, every, lambda row: row["speed"] is None)
    rows("planes.year.range", planes, has("year"), lambda row: not 1903 <= int(row["year"]) <= 2013)
    rows("planes.seats.range", planes, has("seats"), lambda row: not 1 <= int(row["seats"]) <= 900)
    keys("airports.faa.unique", airports, of("faa"), lambda value, count: count > 1)
    rows("airports.tzone.present", airports, every, lambda row: row["tzone"] is None)
    rows("airports.lat.range", airports, has("lat"), lambda row: not 18 <= float(row["lat"]) <= 71.5)
    rows(
        "airports.lon.range", airports, lambda row: row["tz"] != "-9", lambda row: not -180 <= float(row["lon"]) <= -60
    )
    rows("airports.tz.code", airports, has("tz"), lambda row: not -10 <= int(row["tz"]) <= -5)
    keys("airlines.carrier.unique", airlines, of("carrier"), lambda value, count: count > 1)
    rows("airlines.name.present", airlines, every, lambda row: row["name"] is None)

    here, there = read("divisions_statistical", ""), read("divisions_gb2260", "")
    counties = [row for row in here if row["level"] == "county"]
    in_force = [row for row in there if row["revision"] == "2014"]
    six = re.compile(r"45[0-9]{4}")
    keys("divisions_statistical.code.unique", here, of("code"), lambda value, count: count > 1)
    rows("divisions_statistical.code.present", here, every, lambda row: None in (row["code"], row["name"], row["level"]))
    upper = lambda row: row["level"] != "township"
    rows("divisions_statistical.code.form", here, upper, lambda row: not six.fullmatch(row["code"]))
    codes = {row["code"] for row in here}
    keys("divisions_statistical.parent.registered", here, of("parent"), lambda value, count: value[0] not in codes)
    standard = {row["code"] for row in in_force}
    keys("divisions_statistical.code.in_gb2260", counties, of("code"), lambda value, count: value[0] not in standard)
    named = {(row["code"], row["name"]) for row in in_force}
    keys("divisions_statistical.name.in_gb2260", counties, of("code", "name"), lambda value, count: value not in named)
    keys("divisions_gb2260.code.unique", there, of("code"), lambda value, count: count > 1)
    rows("divisions_gb2260.code.form", there, every, lambda row: not six.fullmatch(row["code"]))
    rows("divisions_gb2260.code.in_force", there, every, lambda row: row["revision"] != "2014")
    used = {row["code"] for row in counties}
    below = [row for row in in_force if not row["code"].endswith("00")]
    real = [row for row in below if row["name"] != "市辖区"]
    headings = [row for row in below if row["name"] == "市辖区"]
    keys("divisions_gb2260.code.in_statistical", real, of("code"), lambda value, count: value[0] not in used)
    keys("divisions_gb2260.heading.in_statistical", headings, of("code"), lambda value, count: value[0] not in used)

    lines = [f"  {json.dumps(rule)}: {json.dumps(values)}" for rule, values in counts.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


def read(table: str, missing: str = "NA") -> list:
    content = subprocess.run(
        ["zstd", "-d", "--quiet", "--stdout", str(FOLDER / f"{table}.csv.zst")], stdout=subprocess.PIPE, check=True
    ).stdout
    reader = csv.DictReader(io.StringIO(content.decode("utf-8")))
    return [{name: None if value in ("", missing) else value for name, value in row.items()} for row in reader]


def of(*columns):
    return lambda row: tuple(row[column] for column in columns)


def has(column):
    return lambda row: row[column] is not None


if __name__ == "__main__":
    main()
