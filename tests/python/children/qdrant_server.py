"""A server that speaks Qdrant's REST interface, over the engine that Qdrant itself is made of.

Every body is read by the request models of the official client, which know the whole interface and refuse what they do
not know. What is asked is then done by `qdrant_edge`, the shard of Qdrant's server as a library, and answered in the
client's response models. What of a server is not the shard (names of collections, statuses, keys) is written here.

Prints its port. `POST /_faults/<collection>` has a list of faults to come, `GET /_log/<collection>` tells what was
asked.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import qdrant_edge as edge
from pydantic import ValidationError
from qdrant_client.http import models

DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
}
SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
}
#: What a server answers of itself and no test is about.
CONFIG: dict[str, Any] = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
    "optimizer_config": {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1000,
        "default_segment_number": 0,
        "flush_interval_sec": 5,
    },
}
#: The largest body, as of a server that nobody told otherwise.
LARGEST = 32 << 20


class Refusal(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def listed(conditions: Any) -> list[Any] | None:
    if conditions is None:
        return None
    return [
        condition(one) for one in (conditions if isinstance(conditions, list) else [conditions])
    ]


def filtered(given: models.Filter | None) -> edge.Filter | None:
    if given is None:
        return None
    assert given.min_should is None
    return edge.Filter(
        must=listed(given.must), should=listed(given.should), must_not=listed(given.must_not)
    )


def condition(given: Any) -> Any:
    if isinstance(given, models.Filter):
        return filtered(given)
    if isinstance(given, models.HasIdCondition):
        return edge.HasIdCondition(set(given.has_id))
    assert isinstance(given, models.FieldCondition), given
    match: Any = None
    if isinstance(given.match, models.MatchValue):
        match = edge.MatchValue(given.match.value)
    elif isinstance(given.match, models.MatchAny):
        match = edge.MatchAny(given.match.any)
    elif isinstance(given.match, models.MatchPrefix):
        match = edge.MatchPrefix(given.match.prefix)
    else:
        assert given.match is None, given
    bounds: Any = None
    if given.range is not None:
        assert isinstance(given.range, models.Range), given
        bounds = edge.RangeFloat(
            gte=given.range.gte, gt=given.range.gt, lte=given.range.lte, lt=given.range.lt
        )
    return edge.FieldCondition(given.key, match=match, range=bounds)


def vector(given: Any) -> Any:
    if isinstance(given, models.SparseVector):
        return edge.SparseVector(given.indices, given.values)
    return given


def shown(point: Any, kind: type[models.Record | models.ScoredPoint]) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": point.id, "payload": point.payload, "vector": point.vector}
    if kind is models.ScoredPoint:
        fields |= {"score": point.score, "version": point.version}
    return kind(**fields).model_dump(mode="json")


class Collection:
    """A collection of one shard."""

    def __init__(self, given: models.CreateCollection) -> None:
        assert isinstance(given.vectors, dict)
        self.params = models.CollectionParams(
            vectors=given.vectors,
            sparse_vectors=given.sparse_vectors,
            shard_number=given.shard_number or 1,
            replication_factor=given.replication_factor or 1,
        )
        self.folder = tempfile.mkdtemp(prefix="gbqd")
        self.schema: dict[str, Any] = {}
        self.lock = threading.Lock()
        vectors = {
            name: edge.EdgeVectorParams(size=one.size, distance=DISTANCES[one.distance.value])
            for name, one in given.vectors.items()
        }
        sparse = {
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if one.modifier else None)
            for name, one in (given.sparse_vectors or {}).items()
        }
        self.shard = edge.EdgeShard.create(
            self.folder,
            edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse, wal_enabled=False),
        )

    def close(self) -> None:
        self.shard.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def described(self) -> dict[str, Any]:
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            points_count=self.shard.info().points_count,
            segments_count=1,
            config={"params": self.params, **CONFIG},
            payload_schema=self.schema,
        ).model_dump(mode="json", exclude_none=True)

    def update(self, operation: Any) -> dict[str, Any]:
        self.shard.update(operation)
        return {"operation_id": 0, "status": "completed"}

    def index(self, given: models.CreateFieldIndex) -> Any:
        kind = models.PayloadSchemaType(given.field_schema).value
        self.schema[given.field_name] = {"data_type": kind, "points": 0}
        return self.update(edge.UpdateOperation.create_field_index(given.field_name, SCHEMAS[kind]))

    def upsert(self, given: models.PointsList) -> Any:
        points = [
            edge.Point(
                one.id,
                {name: vector(value) for name, value in one.vector.items()},
                one.payload,
            )
            for one in given.points
        ]
        return self.update(edge.UpdateOperation.upsert_points(points))

    def delete(self, given: models.PointIdsList | models.FilterSelector) -> Any:
        if isinstance(given, models.PointIdsList):
            return self.update(edge.UpdateOperation.delete_points(given.points))
        chosen = filtered(given.filter)
        return self.update(edge.UpdateOperation.delete_points_by_filter(chosen))

    def retrieve(self, given: models.PointRequest) -> Any:
        found = self.shard.retrieve(given.ids, given.with_payload, given.with_vector)
        return [shown(one, models.Record) for one in found]

    def scroll(self, given: models.ScrollRequest) -> Any:
        order = None
        if given.order_by is not None:
            assert given.offset is None
            order = edge.OrderBy(given.order_by.key, edge.Direction.Asc, given.order_by.start_from)
        found, offset = self.shard.scroll(
            edge.ScrollRequest(
                offset=given.offset,
                limit=given.limit,
                filter=filtered(given.filter),
                with_payload=given.with_payload,
                with_vector=given.with_vector,
                order_by=order,
            )
        )
        points = [shown(one, models.Record) for one in found]
        return {"points": points, "next_page_offset": offset}

    def query(self, given: models.QueryRequest) -> Any:
        # Both forms of the same question.
        query = given.query.nearest if isinstance(given.query, models.NearestQuery) else given.query
        params = given.params and edge.SearchParams(hnsw_ef=given.params.hnsw_ef)
        found = self.shard.query(
            edge.QueryRequest(
                limit=given.limit,
                query=edge.Query.Nearest(vector(query), using=given.using),
                filter=filtered(given.filter),
                params=params,
                with_payload=given.with_payload,
                with_vector=given.with_vector,
            )
        )
        return {"points": [shown(one, models.ScoredPoint) for one in found]}

    def count(self, given: models.CountRequest) -> Any:
        asked = edge.CountRequest(exact=given.exact, filter=filtered(given.filter))
        return {"count": self.shard.count(asked)}


COLLECTIONS: dict[str, Collection] = {}
MAKING = threading.Lock()
#: Of each collection: faults to come, what was asked, and the key that must be shown.
FAULTS: dict[str, list[dict[str, Any]]] = {}
LOG: dict[str, list[dict[str, Any]]] = {}
KEYS: dict[str, str] = {}

#: Method and what follows the collection's name: the models of the body, and what is done with it.
ROUTES: dict[tuple[str, str], tuple[list[Any], Any]] = {
    ("PUT", "index"): ([models.CreateFieldIndex], Collection.index),
    ("PUT", "points"): ([models.PointsList], Collection.upsert),
    ("POST", "points"): ([models.PointRequest], Collection.retrieve),
    ("POST", "points/delete"): ([models.PointIdsList, models.FilterSelector], Collection.delete),
    ("POST", "points/scroll"): ([models.ScrollRequest], Collection.scroll),
    ("POST", "points/query"): ([models.QueryRequest], Collection.query),
    ("POST", "points/count"): ([models.CountRequest], Collection.count),
}


def parsed(kinds: list[Any], body: bytes) -> Any:
    for kind in kinds:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            wrong = error
    raise Refusal(400, f"Format error in JSON body: {wrong}")


def answer(method: str, name: str, what: str, body: bytes) -> Any:
    if (method, what) == ("PUT", ""):
        given = parsed([models.CreateCollection], body)
        with MAKING:
            if name in COLLECTIONS:
                raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
            COLLECTIONS[name] = Collection(given)
        return True
    collection = COLLECTIONS.get(name)
    if collection is None:
        raise Refusal(404, f"Not found: Collection `{name}` doesn't exist!")
    if (method, what) == ("GET", ""):
        return collection.described()
    kinds, action = ROUTES[method, what]
    given = parsed(kinds, body)
    try:
        with collection.lock:
            return action(collection, given)
    except AssertionError:
        raise
    except Exception as error:
        raise Refusal(400, f"Wrong input: {error}") from error


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None: ...

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def cut(self) -> None:
        self.close_connection = True
        # What has not been read makes a reset of it.
        self.connection.shutdown(socket.SHUT_RDWR)

    def handle_any(self) -> None:
        path, _, query = self.path.partition("?")
        steps = [urllib.parse.unquote(step) for step in path.strip("/").split("/")]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if steps[0].startswith("_"):
            self.reply(200, json.dumps(self.control(steps, body)).encode())
            return
        assert steps[0] == "collections", self.path
        name, what = steps[1], "/".join(steps[2:])
        call = f"{self.command} {what}".strip()
        LOG.setdefault(name, []).append({"call": call, "bytes": len(body), "query": query})
        fault = self.fault(name, call)
        time.sleep(fault.get("seconds", 0))
        if fault and not fault.get("done") and ("cut" in fault or "status" in fault):
            if "cut" in fault:
                self.cut()
            else:
                text = fault.get("body") or json.dumps(
                    {"status": {"error": "told to fail"}, "time": 0}
                )
                self.reply(fault["status"], text.encode(), fault.get("headers"))
            return
        started = time.perf_counter()
        if self.headers.get("api-key", "") != KEYS.get(name, ""):
            self.reply(401, b"Must provide an API key or an Authorization bearer token")
            return
        try:
            if len(body) > LARGEST:
                raise Refusal(413, "Payload Too Large")
            result = answer(self.command, name, what, body)
        except Refusal as refusal:
            status, told = refusal.status, {"status": {"error": str(refusal)}}
        except Exception as error:
            # Of this server, or a request that no server takes: either way a test is wrong or finds something.
            status, told = 418, {"status": {"error": f"{type(error).__name__}: {error}"}}
        else:
            status, told = 200, {"result": result, "status": "ok"}
        if "cut" in fault:
            self.cut()
            return
        told["time"] = time.perf_counter() - started
        self.reply(status, json.dumps(told, ensure_ascii=False).encode())

    def __getattr__(self, name: str) -> Any:
        """Every method of HTTP is the same one here."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    @staticmethod
    def fault(name: str, call: str) -> dict[str, Any]:
        """The next fault that is meant for this call."""
        for fault in FAULTS.get(name, []):
            if fault.get("call") in (None, call) and fault.get("times", 1) > 0:
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    continue
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return {}

    @staticmethod
    def control(steps: list[str], body: bytes) -> Any:
        name = steps[1]
        if steps[0] == "_faults":
            FAULTS[name] = json.loads(body)
        elif steps[0] == "_key":
            KEYS[name] = json.loads(body)
        elif steps[0] == "_log":
            return LOG.pop(name, [])
        elif steps[0] == "_drop":
            collection = COLLECTIONS.pop(name, None)
            if collection is not None:
                collection.close()
            FAULTS.pop(name, None)
        return True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
# Ends with whoever started it, who holds the other end.
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
for one in COLLECTIONS.values():
    shutil.rmtree(one.folder, ignore_errors=True)
