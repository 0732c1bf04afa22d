"""Side-by-side measurements, one module a row: `python -m bench.NAME [--quick] [--json]`.

Each module measures ours, its peers and the machine's own limit in one run, interleaved, because ratios taken in one
run survive a change of machine and absolute numbers do not.
"""
