"""Uses Confluent's client for Python as an application would; prints "done" at the end."""

import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

FIRST = """{"type": "record", "name": "Order", "namespace": "shop",
 "fields": [{"name": "id", "type": "long"}]}"""
SECOND = """{"type": "record", "name": "Order", "namespace": "shop",
 "fields": [{"name": "id", "type": "long"},
            {"name": "note", "type": ["null", "string"], "default": null}]}"""
INCOMPATIBLE = """{"type": "record", "name": "Order", "namespace": "shop",
 "fields": [{"name": "number", "type": "long"}]}"""

client = SchemaRegistryClient({"url": sys.argv[1]})


def refused(code, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except SchemaRegistryError as error:
        assert error.error_code == code, error
        return
    raise AssertionError(f"{call} was not refused")


# A producer and a consumer with a schema of their own.
context = SerializationContext("orders", MessageField.VALUE)
payload = AvroSerializer(client, FIRST)({"id": 7}, context)
assert payload[:5] == b"\0\0\0\0\1", payload
newer = AvroSerializer(client, SECOND)({"id": 8, "note": "a/b ü"}, context)
assert newer[:5] == b"\0\0\0\0\2", newer
reading = AvroDeserializer(SchemaRegistryClient({"url": sys.argv[1]}), SECOND)
assert reading(payload, context) == {"id": 7, "note": None}
assert reading(newer, context) == {"id": 8, "note": "a/b ü"}

# What administrators do.
assert client.get_subjects() == ["orders-value"]
assert client.get_versions("orders-value") == [1, 2]
latest = client.get_latest_version("orders-value")
assert (latest.schema_id, latest.version) == (2, 2), latest
assert client.get_version("orders-value", 1).schema_id == 1
assert client.lookup_schema("orders-value", Schema(FIRST, "AVRO")).version == 1
assert client.get_schema(1).schema_str == FIRST
wrong = Schema(INCOMPATIBLE, "AVRO")
assert client.test_compatibility("orders-value", Schema(SECOND, "AVRO"))
assert not client.test_compatibility("orders-value", wrong)
refused(40901, client.register_schema, "orders-value", wrong)
refused(42201, client.register_schema, "orders-value", Schema("{}", "AVRO"))
refused(42201, client.register_schema, "p", Schema('syntax = "proto3";', "PROTOBUF"))
refused(40401, client.get_latest_version, "none")
refused(40402, client.get_version, "orders-value", 9)
refused(40403, client.get_schema, 99)
refused(40408, client.get_compatibility, "orders-value")
client.set_compatibility("orders-value", "NONE")
assert client.get_compatibility("orders-value") == "NONE"
assert client.register_schema("orders-value", wrong) == 3
odd = "a/b ü%2F?"
assert client.register_schema(odd, Schema(FIRST, "AVRO"), normalize_schemas=True) == 1
assert client.get_versions(odd) == [1]
assert client.delete_version("orders-value", 3) == 3
assert client.delete_subject("orders-value") == [1, 2]
assert client.delete_subject("orders-value", permanent=True) == [1, 2, 3]
assert client.get_subjects() == [odd]
print("done")
