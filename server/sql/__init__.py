"""The store in SQL, once for all databases: plain statements beside the method that runs them.

What differs between databases is behind `Transaction` and `Database`; `server.sqlite` and `server.postgres` are these.
"""
