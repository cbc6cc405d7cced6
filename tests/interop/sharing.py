"""What `delta-sharing`, the client of Databricks, makes of an order with file mode.

Arguments: the folder for profiles, the address of Delta Sharing, that of REST, the key of an order with file mode, the key
of one without. The last line that it prints is one JSON object.
"""

import datetime
import json
import pathlib
import sys
import time

import delta_sharing
import pandas
import requests

folder, sharing, rest, key, key_without = sys.argv[1:6]


def profile_of(service_key):
    """The profile file as the node gives it, or what it says instead."""
    response = requests.get(f"{sharing}/profile", headers={"Authorization": f"Bearer {service_key}"}, timeout=60)
    if response.status_code != 200:
        return response.status_code, response.json()["errorCode"]
    path = pathlib.Path(folder) / "order.share"
    path.write_text(response.text)
    return str(path), response.json()


def refusal(work):
    """The status by which the node refuses, and whether it was asked but once."""
    begun = time.monotonic()
    try:
        work()
    except requests.exceptions.HTTPError as error:
        return [error.response.status_code, error.response.json()["errorCode"], time.monotonic() - begun < 30]
    return None


def plain(value):
    """A value of a frame as JSON has it."""
    if value is None or value is pandas.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat().replace("+00:00", "Z")
    return value.item() if hasattr(value, "item") else value


def rows_of(frame):
    return [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


profile, content = profile_of(key)
client = delta_sharing.SharingClient(profile)
tables = client.list_all_tables()
table = tables[0]
url = f"{profile}#{table.share}.{table.schema}.{table.name}"
frame = delta_sharing.load_as_pandas(url)
rows = rows_of(frame)
exported = requests.get(
    f"{rest}/{table.name}/export?format=ndjson", headers={"Authorization": f"Bearer {key}"}, timeout=120
)
exported.raise_for_status()
expected = [json.loads(line) for line in exported.text.splitlines()]
columns = list(frame.columns)
different = [
    number
    for number, (row, known) in enumerate(zip(rows, expected))
    if set(known) - set(columns) or any(row[name] != known.get(name) for name in columns)
]
metadata = delta_sharing.get_table_metadata(url)
hinted = delta_sharing.load_as_pandas(url, limit=5, jsonPredicateHints='{"op":"isNull","children":[]}')
empty = delta_sharing.load_as_pandas(url, limit=0)
in_batches = delta_sharing.load_as_pandas(url, convert_in_batches=True)

print(
    json.dumps(
        {
            "shares": [share.name for share in client.list_shares()],
            "schemas": [schema.name for share in client.list_shares() for schema in client.list_schemas(share)],
            "tables": [[known.share, known.schema, known.name] for known in tables],
            "profile": content,
            "version": delta_sharing.get_table_version(url),
            "protocol": delta_sharing.get_table_protocol(url).min_reader_version,
            "columns": columns,
            "declared": [field["name"] for field in json.loads(metadata.schema_string)["fields"]],
            "comments": {
                field["name"]: field["metadata"].get("comment") for field in json.loads(metadata.schema_string)["fields"]
            },
            "description": metadata.description,
            "rows": len(rows),
            "exported": len(expected),
            "different": different[:10],
            "hinted": rows_of(hinted) == rows[:5],
            "empty": [len(empty), list(empty.columns)],
            "in_batches": in_batches.equals(frame),
            "without": profile_of(key_without),
            "refused": {
                "delta": refusal(lambda: delta_sharing.load_as_pandas(url, use_delta_format=True)),
                "past": refusal(lambda: delta_sharing.load_as_pandas(url, version=99)),
                "changes": refusal(lambda: delta_sharing.load_table_changes_as_pandas(url, starting_version=0)),
                "other": refusal(lambda: delta_sharing.load_as_pandas(f"{profile}#{table.share}.data.other")),
            },
        }
    )
)
