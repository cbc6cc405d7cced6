"""Is a product's OpenAPI document one, and does the node answer as it says?

Arguments: the address of REST, then product and key of each order. Prints one JSON object: by product what is wrong with its
document and what was asked and answered by it.
"""

import json
import pathlib
import sys

import jsonschema
import referencing
import referencing.jsonschema
import requests

# The schema of OpenAPI 3.1 documents, as published (https://spec.openapis.org/oas/3.1/schema/2022-10-07).
OPENAPI = json.loads((pathlib.Path(__file__).parent / "openapi-3.1.json").read_text())
DRAFT = referencing.jsonschema.DRAFT202012

rest, *orders = sys.argv[1:]


def pointed(document, reference):
    """What a reference within a document leads to."""
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def walk(part, path=()):
    yield path, part
    if isinstance(part, dict):
        for name, inner in part.items():
            yield from walk(inner, (*path, name))
    elif isinstance(part, list):
        for at, inner in enumerate(part):
            yield from walk(inner, (*path, str(at)))


def validator(document, pointer):
    """A validator of the schema at a pointer into the document."""
    resource = DRAFT.create_resource(document)
    registry = referencing.Registry().with_resource("urn:document", resource)
    return jsonschema.Draft202012Validator({"$ref": f"urn:document#{pointer}"}, registry=registry)


def faults_of(document):
    """What is wrong with a document in itself."""
    faults = [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(OPENAPI).iter_errors(document)]
    for path, part in walk(document):
        if path and path[-1] == "$ref":
            try:
                pointed(document, part)
            except (KeyError, TypeError):
                faults.append(f"{part} leads nowhere")
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            faults.append(f"schema {name}: {error.message}")
        for example in schema.get("examples", []):
            faults += [f"example of {name}: {e.message}" for e in validator(document, f"/components/schemas/{name}").iter_errors(example)]
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    if len(names) != len(set(names)):
        faults.append("two operations have one name")
    return faults


def example_of(document, schema):
    """A value that a schema describes."""
    if "$ref" in schema:
        return example_of(document, pointed(document, schema["$ref"]))
    if "examples" in schema:
        return schema["examples"][0]
    if "oneOf" in schema:
        return example_of(document, schema["oneOf"][0])
    if schema["type"] == "object":
        return {name: example_of(document, schema["properties"][name]) for name in schema["required"]}
    if schema["type"] == "array":
        return [example_of(document, schema["items"])]
    raise ValueError(f"no example of {schema}")


def asked(document, service_key, path, method, operation):
    """Asks as an operation says; answers the status and what is wrong with the answer."""
    query, headers = [], {"Authorization": f"Bearer {service_key}"}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "header":
            headers[parameter["name"]] = parameter["example"]
        elif parameter.get("required") or parameter["name"] == "filter":
            values = parameter["example"]
            query += [(parameter["name"], value) for value in (values if isinstance(values, list) else [values])]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    content = example_of(document, body["schema"]) if body else None
    url = rest.removesuffix("/data/v1") + document["servers"][0]["url"] + path
    response = requests.request(method, url, params=query, headers=headers, json=content, timeout=60)
    status = str(response.status_code)
    described = operation["responses"].get(status) or operation["responses"]["default"]
    if "$ref" in described:
        described = pointed(document, described["$ref"])
    media = response.headers["content-type"].split(";")[0]
    if media not in described["content"]:
        return [status, [f"{media} is not announced"]]
    faults = [f"header {name} is missing" for name in described.get("headers", {}) if name.lower() not in response.headers]
    schema = described["content"][media].get("schema")
    if schema and media.endswith("json"):
        holder = {**document, "answer": schema}
        faults += [f"{e.json_path}: {e.message}" for e in validator(holder, "/answer").iter_errors(response.json())]
    return [status, faults]


report = {}
for product, service_key in zip(orders[::2], orders[1::2]):
    response = requests.get(
        f"{rest}/{product}/openapi.json", headers={"Authorization": f"Bearer {service_key}"}, timeout=60
    )
    response.raise_for_status()
    document = response.json()
    answers = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers[operation["operationId"]] = asked(document, service_key, path, method, operation)
    report[product] = {"faults": faults_of(document), "answers": answers}
print(json.dumps(report))
