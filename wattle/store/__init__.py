"""The only room that speaks SQL: peewee models, migrations, records (writes), queries (reads).

    rows.py        the values it takes and gives
    ids.py         UUIDv7
    models.py      the tables as peewee models
    migrations.py  the schema's history, run at start
    database.py    the one writing connection, the reading ones, and what their errors mean
    records.py     writes, inside a transaction, by the supervisor's one thread
    queries.py     reads, by any thread

It keeps what it is told and decides nothing. Log bytes are never in the database.
"""
