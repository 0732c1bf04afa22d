"""What is said over HTTP: the bodies that the server, the supervisor and the command line share.

`TIRunContext`, `DagRun`, `SaveCheckpoint`, `CheckpointSaved`, `CheckpointResult` and the other results are the messages
of `protocol.messages`: over HTTP they are the same structs, and here is only what has no frame.

- `workloads`: what a worker claims. `POST /execution/workloads/claim` takes a `ClaimRequest` and gives a `ClaimReply`.
- `instances`: what is told about an attempt: run, heartbeat, and `TIEnd`, the union of its ends.
- `values`: bodies for variables, state stores and runs.
- `errors`: every answer from 400 on.
- `people`: the routes under `/api`.

Routes of ours beside Airflow's, under `/execution/task-instances/{id}`: `PUT checkpoint` takes a `SaveCheckpoint` and
gives a `CheckpointSaved`; `GET checkpoint` gives a `CheckpointResult`; `PUT log?offset=N` takes bytes of the attempt's
log that begin at N, 204; bytes that are already there are not taken twice, and a gap is refused with 409 `log_gap` and
`expected`, the offset to go on from.
"""
