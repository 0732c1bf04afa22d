"""The execution API: who may run what, and what became of it.

It is installed by the extra `taskhand[server]`, and imports neither `supervisor` nor `runner`, so that an API server
can be deployed, upgraded and reasoned about alone.
"""
