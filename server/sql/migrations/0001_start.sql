-- Moments are whole microseconds since 1970 in UTC: exact, sortable, and the same in every database. JSON is text.
-- SERIAL_KEY and UNREPEATED_KEY are replaced by what the database calls them. The second is never given again, for what
-- others outside remember by its number.

CREATE TABLE graphs (
    hash TEXT PRIMARY KEY,
    graph TEXT NOT NULL
);

CREATE TABLE flows (
    dag_id TEXT PRIMARY KEY,
    graph TEXT NOT NULL,
    is_paused INTEGER NOT NULL DEFAULT 0,
    updated BIGINT NOT NULL
);

CREATE TABLE runs (
    key SERIAL_KEY,
    dag_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    graph TEXT NOT NULL,
    state TEXT NOT NULL,
    run_type TEXT NOT NULL,
    logical_date BIGINT,
    run_after BIGINT NOT NULL,
    data_interval_start BIGINT,
    data_interval_end BIGINT,
    start_date BIGINT,
    end_date BIGINT,
    conf TEXT,
    params TEXT,
    triggering_user_name TEXT,
    partition_key TEXT,
    note TEXT,
    clear_number INTEGER NOT NULL DEFAULT 0,
    context_carrier TEXT,
    created BIGINT NOT NULL,
    due BIGINT,
    moment BIGINT NOT NULL,
    UNIQUE (dag_id, run_id)
);
CREATE INDEX runs_by_moment ON runs (dag_id, moment);
CREATE INDEX runs_by_end ON runs (end_date) WHERE end_date IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (key) WHERE state IN ('queued', 'running');
CREATE INDEX runs_due ON runs (due) WHERE due IS NOT NULL;

CREATE TABLE instances (
    key SERIAL_KEY,
    id TEXT NOT NULL UNIQUE,
    run_key BIGINT NOT NULL,
    task_id TEXT NOT NULL,
    map_index INTEGER NOT NULL,
    state TEXT NOT NULL,
    try_number INTEGER NOT NULL,
    max_tries INTEGER NOT NULL,
    queue TEXT NOT NULL,
    runtime TEXT,
    pool TEXT NOT NULL,
    pool_slots INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    fence BIGINT NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    hostname TEXT,
    unixname TEXT,
    pid BIGINT,
    queued_at BIGINT,
    start_date BIGINT,
    end_date BIGINT,
    heartbeat_at BIGINT,
    due BIGINT,
    next_method TEXT,
    next_kwargs TEXT,
    trigger_id BIGINT,
    rendered_map_index TEXT,
    kind TEXT,
    reason TEXT,
    resume_from TEXT NOT NULL DEFAULT 'latest',
    resume_stage TEXT NOT NULL DEFAULT 'latest',
    stalls INTEGER NOT NULL DEFAULT 0,
    stop TEXT,
    told TEXT,
    began_seq BIGINT NOT NULL DEFAULT 0,
    best_progress DOUBLE PRECISION,
    UNIQUE (run_key, task_id, map_index)
);
CREATE INDEX instances_tally ON instances (run_key, task_id, state);
CREATE INDEX instances_ready ON instances (queue, priority DESC, queued_at, key) WHERE state = 'queued' AND held = 0;
CREATE INDEX instances_held ON instances (pool, pool_slots) WHERE held = 1;
CREATE INDEX instances_due ON instances (due) WHERE due IS NOT NULL;

CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    instance_key BIGINT NOT NULL,
    try_number INTEGER NOT NULL,
    state TEXT NOT NULL,
    told TEXT,
    worker TEXT,
    hostname TEXT,
    pid BIGINT,
    queued_at BIGINT,
    start_date BIGINT,
    end_date BIGINT,
    kind TEXT,
    reason TEXT,
    archived BIGINT NOT NULL
);
CREATE INDEX attempts_of ON attempts (instance_key, archived);

CREATE TABLE events (
    id SERIAL_KEY,
    instance_key BIGINT NOT NULL,
    attempt_id TEXT NOT NULL,
    try_number INTEGER NOT NULL,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    why TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX events_of ON events (instance_key, id);

CREATE TABLE changed (
    id SERIAL_KEY,
    run_key BIGINT NOT NULL
);

CREATE TABLE checkpoints (
    instance_key BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    created BIGINT NOT NULL,
    progress DOUBLE PRECISION,
    fingerprint TEXT,
    data TEXT,
    blob TEXT,
    reason TEXT,
    PRIMARY KEY (instance_key, seq)
);

CREATE TABLE reschedules (
    instance_key BIGINT NOT NULL,
    try_number INTEGER NOT NULL,
    start_date BIGINT NOT NULL,
    reschedule_date BIGINT NOT NULL
);
CREATE INDEX reschedules_of ON reschedules (instance_key, try_number, start_date);

CREATE TABLE rendered_fields (
    attempt_id TEXT PRIMARY KEY,
    instance_key BIGINT NOT NULL,
    fields TEXT NOT NULL
);
CREATE INDEX rendered_fields_of ON rendered_fields (instance_key);

CREATE TABLE xcoms (
    run_key BIGINT NOT NULL,
    task_id TEXT NOT NULL,
    map_index INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    mapped_length BIGINT,
    PRIMARY KEY (run_key, task_id, map_index, key)
);

CREATE TABLE task_values (
    instance_key BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires BIGINT,
    PRIMARY KEY (instance_key, key)
);
CREATE INDEX task_values_expire ON task_values (expires) WHERE expires IS NOT NULL;

CREATE TABLE questions (
    instance_key BIGINT PRIMARY KEY,
    question TEXT NOT NULL,
    answered BIGINT
);

CREATE TABLE triggers (
    id UNREPEATED_KEY,
    instance_key BIGINT NOT NULL,
    classpath TEXT NOT NULL,
    kwargs TEXT NOT NULL,
    timeout_after BIGINT,
    created BIGINT NOT NULL,
    queue TEXT,
    triggerer BIGINT,
    fence BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX triggers_of ON triggers (triggerer);
CREATE INDEX triggers_by_instance ON triggers (instance_key);

CREATE TABLE jobs (
    id UNREPEATED_KEY,
    job_type TEXT NOT NULL,
    hostname TEXT NOT NULL,
    started BIGINT NOT NULL,
    heartbeat BIGINT NOT NULL,
    ended BIGINT
);

CREATE TABLE pools (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL
);

CREATE TABLE variables (
    key TEXT PRIMARY KEY,
    value TEXT,
    description TEXT
);

CREATE TABLE connections (
    conn_id TEXT PRIMARY KEY,
    connection TEXT NOT NULL
);

CREATE TABLE assets (
    key SERIAL_KEY,
    name TEXT NOT NULL UNIQUE,
    uri TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    extra TEXT
);

CREATE TABLE asset_aliases (
    alias TEXT NOT NULL,
    asset_key BIGINT NOT NULL,
    PRIMARY KEY (alias, asset_key)
);

CREATE TABLE asset_events (
    id SERIAL_KEY,
    asset_key BIGINT NOT NULL,
    at BIGINT NOT NULL,
    extra TEXT,
    source_dag_id TEXT,
    source_run_id TEXT,
    source_task_id TEXT,
    source_map_index INTEGER,
    partition_key TEXT
);
CREATE INDEX asset_events_of ON asset_events (asset_key, at, id);

CREATE TABLE asset_values (
    asset_key BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (asset_key, key)
);
