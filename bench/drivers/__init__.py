"""What is compared, each as a program with the same four lines of conversation, run by the Python it lives in.

It says who its worker is (`{"pid": …}`), hears `prepare`, `go` and `sleep`, and answers each with a line. What it costs
is measured from outside, in the same way for all: `bench.meter`.
"""
