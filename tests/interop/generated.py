"""Generates a client from each order's OpenAPI document with pip's openapi-python-client, imports it, and asks through it by its
types alone.

Arguments: the address of REST, a folder to generate into, then product and key of an order of records, of verification and of
statistics. Prints one JSON object: what the generator said, and what each call was answered.
"""

import datetime
import importlib
import json
import pathlib
import subprocess
import sys

import requests

rest, folder, *orders = sys.argv[1:]
folder = pathlib.Path(folder)
sys.path.insert(0, str(folder))
# Formatters and linters are not needed to run the code.
CONFIGURATION = {"post_hooks": [], "http_timeout": 60}


class Generated:
    """A client that was generated for an order."""

    def __init__(self, product, service_key):
        address = f"{rest}/{product}"
        response = requests.get(f"{address}/openapi.json", headers={"Authorization": f"Bearer {service_key}"}, timeout=60)
        response.raise_for_status()
        self.name = f"client_of_{product}"
        document, configuration = folder / f"{product}.json", folder / "configuration.json"
        document.write_bytes(response.content)
        configuration.write_text(json.dumps(CONFIGURATION))
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--path", str(document)]
        command += ["--config", str(configuration), "--output-path", str(folder / self.name)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.said = ended.stdout + ended.stderr
        if ended.returncode != 0:
            raise RuntimeError(f"the generator failed: {self.said}")
        importlib.invalidate_caches()
        self.models = importlib.import_module(f"{self.name}.models")
        client = importlib.import_module(self.name).AuthenticatedClient
        self.client = client(base_url=address, token=service_key, httpx_args={"trust_env": False})

    def ask(self, operation, **arguments):
        """The status and the typed answer."""
        asked = importlib.import_module(f"{self.name}.api.default.{operation}")
        answer = asked.sync_detailed(client=self.client, **arguments)
        return answer.status_code.value, answer.parsed

    def warnings(self):
        """What the generator can't use of the document: the lines that name a cause."""
        causes = ("unsupported", "cannot parse", "could not", "invalid", "missing", "conflict", "duplicate")
        return sorted({line.strip() for line in self.said.splitlines() if line.strip().lower().startswith(causes)})


def plain(value):
    """A typed value as JSON, with the name of its class in front where it is a model's."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if hasattr(value, "to_dict"):
        return {type(value).__name__: value.to_dict()}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return {type(value).__name__: value.isoformat()}
    return value


def refusal(answer):
    status, problem = answer
    return [status, type(problem).__name__, problem.code]


def records(product, service_key):
    generated = Generated(product, service_key)
    models, told = generated.models, {}
    chosen = [models.RowsColumnsItem("trip_id"), models.RowsColumnsItem("day"), models.RowsColumnsItem("delay")]
    falling = [models.RowsSortItem("-delay"), models.RowsSortItem("trip_id")]
    conditions = ["trip_id:lt:20", "line:eq:L1"]
    status, page = generated.ask("rows", columns=chosen, filter_=conditions, sort=falling, limit=3)
    told["rows"] = [status, type(page).__name__, page.columns, [[row.trip_id, plain(row.day), row.delay] for row in page.rows]]
    told["nature"] = [type(page.nature).__name__, page.nature.value]
    status, rest_of_it = generated.ask(
        "rows", columns=chosen, filter_=conditions, sort=falling, limit=3, cursor=page.next_cursor
    )
    told["next"] = [status, [row.trip_id for row in rest_of_it.rows], rest_of_it.next_cursor]
    status, found = generated.ask("lookup", trip_id=60)
    told["lookup"] = [status, type(found.rows[0]).__name__, found.rows[0].line, plain(found.rows[0].day)]
    keys = [models.Key(trip_id=trip) for trip in (61, 999_999, 62)]
    status, found = generated.ask("lookup_batch", body=models.LookupBatchBody(keys=keys))
    told["batch"] = [status, [None if row is None else [row.trip_id, row.line] for row in found.rows]]
    sql = f"SELECT line, count(*) AS n FROM {product} GROUP BY line ORDER BY line LIMIT 2"
    status, counted = generated.ask("query", body=models.QueryJsonBody(sql=sql, mode=models.QueryJsonBodyMode("rows")))
    told["query"] = [status, type(counted).__name__, [[row["line"], row["n"]] for row in counted.rows]]
    told["refused"] = refusal(generated.ask("query", body=models.QueryJsonBody(sql=f"SELECT secret FROM {product}")))
    status, text = generated.ask("export", columns=[models.ExportColumnsItem("line")], format_=models.ExportFormat("csv"))
    told["export"] = [status, type(text).__name__, text.splitlines()[:3]]
    return told, generated.warnings()


def verification(product, service_key):
    generated = Generated(product, service_key)
    models, told = generated.models, {}

    def one(trip, late):
        return models.VerifyBodyType0(key=models.Key(trip_id=trip), claim=models.Claim(late=late))

    for name, body in (("match", one(61, True)), ("mismatch", one(61, False)), ("not_found", one(999_999, True))):
        status, answer = generated.ask("verify", body=body)
        told[name] = [status, type(answer).__name__, answer.result.value]
    claims = [
        models.VerifyBodyType1ClaimsItem(key=models.Key(trip_id=trip), claim=models.Claim(late=late))
        for trip, late in ((61, True), (5, True))
    ]
    status, answer = generated.ask("verify", body=models.VerifyBodyType1(claims=claims))
    told["several"] = [status, [result.value for result in answer.results]]
    return told, generated.warnings()


def statistics(product, service_key):
    generated = Generated(product, service_key)
    models, told = generated.models, {}
    sql = f"SELECT line, count(*) AS n FROM {product} GROUP BY line ORDER BY line LIMIT 1"
    body = models.QueryJsonBody(sql=sql, mode=models.QueryJsonBodyMode("statistics"))
    status, answer = generated.ask("query", body=body)
    told["query"] = [status, [[row["line"], row["n"]] for row in answer.rows], answer.groups_suppressed]
    told["refused"] = refusal(generated.ask("query", body=models.QueryJsonBody(sql=f"SELECT * FROM {product}")))
    return told, generated.warnings()


report = {}
parts = {"records": records, "verification": verification, "statistics": statistics}
for (name, part), product, service_key in zip(parts.items(), orders[::2], orders[1::2]):
    told, warnings = part(product, service_key)
    report[name] = {**told, "warnings": warnings}
print(json.dumps(report, ensure_ascii=False))
