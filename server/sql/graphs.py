"""Graphs, by their hash. Ten thousand runs of one flow keep its graph once, and decode it once per process."""

import hashlib
from collections import OrderedDict
from threading import Lock

import msgspec

from protocol.flows import FlowGraph, TaskSpec
from server.engine import Plan, plan
from server.faults import StoreBroken
from server.sql.transaction import Transaction

_KEPT = 256
"""Decoded graphs. A graph never changes under its hash, so one may be dropped at any time and never be stale."""

_decode = msgspec.json.Decoder(FlowGraph).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Graph(msgspec.Struct, frozen=True):
    """A graph with its tasks by name, in an order that can be decided."""

    graph: FlowGraph
    plan: Plan

    def task(self, task_id: str) -> TaskSpec:
        """Give a task's policy. An instance without one cannot be: both were written in one transaction."""
        try:
            return self.plan.tasks[task_id]
        except KeyError:
            raise StoreBroken(f"flow {self.graph.dag_id!r} has an instance of {task_id!r} and no such task") from None


class Graphs:
    """The decoded graphs of one store. Used by many threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Graph] = OrderedDict()
        self._lock = Lock()

    def get(self, tx: Transaction, digest: str) -> Graph:
        """Give a graph that was put."""
        with self._lock:
            if (kept := self._kept.get(digest)) is not None:
                self._kept.move_to_end(digest)
                return kept
        row = tx.row("SELECT graph FROM graphs WHERE hash = ?", digest)
        if row is None:
            raise StoreBroken(f"graph {digest} is missing")
        graph = _decode(row[0])
        return self._keep(digest, Graph(graph, plan(graph)))

    def put(self, tx: Transaction, graph: FlowGraph) -> str:
        """Keep a graph; gives its hash."""
        text = _encode(graph)
        digest = hashlib.sha256(text).hexdigest()[:32]
        # Locked, so that nobody who found no run of it removes it before ours is there.
        if tx.row(f"SELECT 1 FROM graphs i WHERE i.hash = ?{tx.lock}", digest) is None:
            sql = "INSERT INTO graphs (hash, graph) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING"
            tx.run(sql, digest, text.decode())
        return digest

    def _keep(self, digest: str, graph: Graph) -> Graph:
        with self._lock:
            self._kept[digest] = graph
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return graph
