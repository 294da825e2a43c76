"""Judges documents by the schema of chimerctl, with the jsonschema package.

On standard input: {"schema": the schema, "documents": [[the name of the definition, the document], ...]}. Prints one line for each
fault; nothing: there is none. Three questions are answered:

1. Is each document valid?
2. Is each document invalid with a key more, or with one of its required keys less, at any place in it?
3. Does each key of the schema occur in some document, and each word of a list of words that the schema calls for?
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator, validators

given = json.load(sys.stdin)
schema = given["schema"]
seen = set()


def properties(validator, properties, instance, schema):
    if validator.is_type(instance, "object"):
        seen.update((id(properties), key) for key in properties if key in instance)
    yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema)


Judge = validators.extend(Draft202012Validator, {"properties": properties})
Draft202012Validator.check_schema(schema)
judges = {}


def judge(name):
    if name not in judges:
        judges[name] = Judge({"$defs": schema["$defs"], "$ref": "#/$defs/" + name})
    return judges[name]


def objects(value, place=()):
    if isinstance(value, dict):
        yield place
        for key, inner in value.items():
            yield from objects(inner, place + (key,))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from objects(inner, place + (index,))


def at(document, place):
    for step in place:
        document = document[step]
    return document


for name, document in given["documents"]:
    faults = sorted(judge(name).iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    for fault in faults:
        print(f"{name}: {'/'.join(map(str, fault.absolute_path))}: {fault.message}")
occurred = set(seen)

mutated = set()
for name, document in given["documents"]:
    for place in objects(document):
        kind = (name, tuple(step for step in place if isinstance(step, str)))
        if kind in mutated:
            continue
        mutated.add(kind)
        more = copy.deepcopy(document)
        at(more, place)["colour"] = "blue"
        if judge(name).is_valid(more):
            print(f"{name}: {'/'.join(map(str, place))}: any key is allowed there")

optional = {
    (name, key)
    for name, definition in schema["$defs"].items()
    for key in definition.get("properties", {})
    if key not in definition.get("required", [])
}
allowed = {("reload", "certificate")} | {pair for pair in optional if pair[0] == "auditRecord"}
for name, key in sorted(optional - allowed):
    print(f"{name}: {key} is not required")


def unseen(value, place):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "properties" and "type" in value:
                for name in inner:
                    if (id(inner), name) not in occurred:
                        yield "/".join(place + (name,))
            yield from unseen(inner, place + (key,))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unseen(inner, place + (str(index),))


for key in unseen(schema["$defs"], ()):
    print(f"{key} is in the schema and in no document")
