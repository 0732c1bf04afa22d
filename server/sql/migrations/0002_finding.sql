-- What people look for by a worker's name, and which graphs no run has any more.

CREATE INDEX instances_by_worker ON instances (worker, run_key) WHERE worker IS NOT NULL;
CREATE INDEX runs_by_graph ON runs (graph);
