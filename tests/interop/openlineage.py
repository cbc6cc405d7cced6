"""Are these lines events of OpenLineage, by the schemas as published?

The argument is a file of one event a line. Each event is validated as a whole, and each of its facets by the schema that the
facet names itself. Prints one JSON object: what is wrong, how many events there are of each kind, the facets that were
validated, and the runs that do not begin and end once.
"""

import collections
import json
import pathlib
import sys

import jsonschema
import referencing
import referencing.jsonschema

FOLDER = pathlib.Path(__file__).parent / "openlineage"
DRAFT = referencing.jsonschema.DRAFT202012

schemas = [json.loads(path.read_text()) for path in [FOLDER / "OpenLineage.json", *sorted((FOLDER / "facets").glob("*.json"))]]
registry = referencing.Registry().with_resources([(schema["$id"], DRAFT.create_resource(schema)) for schema in schemas])
checker = jsonschema.Draft202012Validator.FORMAT_CHECKER


def faults_by(url, value):
    """What is wrong with a value by the schema at an address, which must be one of those that are published here."""
    if url.split("#")[0] not in {schema["$id"] for schema in schemas}:
        return [f"{url} is not a published schema"]
    validator = jsonschema.Draft202012Validator({"$ref": url}, registry=registry, format_checker=checker)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def facets_of(event):
    """Every facet with the name under which it stands."""
    datasets = [*event.get("inputs", []), *event.get("outputs", [])]
    for holder in [event.get("run", {}), event["job"], *datasets]:
        for place in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(place, {}).items()


def faults_of(event):
    faults = faults_by(event["schemaURL"], event)
    faults += faults_by("https://openlineage.io/spec/2-0-2/OpenLineage.json", event)
    for name, facet in facets_of(event):
        faults += [f"{name}: {fault}" for fault in faults_by(facet["_schemaURL"], facet)]
        # The published file also says under which name the facet stands.
        faults += [f"{name}: {fault}" for fault in faults_by(facet["_schemaURL"].split("#")[0], {name: facet})]
    return faults


with open(sys.argv[1], encoding="utf-8") as lines:
    events = [json.loads(line) for line in lines]

report = {
    "faults": [f"event {number}: {fault}" for number, event in enumerate(events) for fault in faults_of(event)],
    "kinds": collections.Counter(event.get("eventType", "JOB") for event in events),
    "facets": sorted({name for event in events for name, _ in facets_of(event)}),
}
runs = collections.defaultdict(list)
for event in events:
    if "run" in event:
        runs[event["run"]["runId"]].append(event["eventType"])
report["runs"] = len(runs)
report["broken_runs"] = {
    run: kinds for run, kinds in runs.items() if len(kinds) != 2 or kinds[0] != "START" or kinds[1] == "START"
}
# A schema that takes anything would find no fault: it must find these.
broken = []
for event in events[:1]:
    for change in (
        lambda e: e.pop("job"),
        lambda e: e.update(eventTime=7),
        lambda e: e["outputs"][0].pop("name"),
        lambda e: e["outputs"][0]["facets"]["schema"].pop("_producer"),
        lambda e: e["outputs"][0]["facets"]["schema"].update(fields=[{"type": "text"}]),
    ):
        copy = json.loads(json.dumps(event))
        change(copy)
        found = faults_by(copy["schemaURL"], copy)
        if not found:
            found = [fault for _, facet in facets_of(copy) for fault in faults_by(facet["_schemaURL"], facet)]
        broken.append(len(found))
report["found_in_broken"] = broken
print(json.dumps(report))
