"""The keeper: the small process that starts children, holds the ends of their channels, and knows how they ended.

Why a process of its own. A program with an event loop, threads, connections and a hundred imports must not fork: the
copy inherits locks in unknown states, and each page of it costs. So the supervisor starts, by exec, one single-threaded
program which has the runner imported and nothing else, and that program forks (a Python child in a millisecond) or
fork-execs (anything else). It outlives the supervisor, and when it dies itself its children fall to the supervisor,
which has made itself their subreaper. Either way somebody learns each child's true exit status.

`link` is what the two say to each other; `client` is the supervisor's side. On the keeper's side `loop` listens,
`spawning` makes channels and forks, `plumbing` runs in the child between fork and its program, `reaping` knows who
ended. `trees`, `cgroups`, `identity` and `native` are used by both sides: after a keeper's death the supervisor does
its work for those who were left.
"""
