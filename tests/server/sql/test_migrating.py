from server.sql.migrating import migrations, statements


def test_migrations_are_numbered_without_gaps() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


def test_statements_are_cut_without_comments_in_the_words_of_the_database() -> None:
    text = "-- why; really\nCREATE TABLE a (\n    -- this\n    key SERIAL_KEY\n);\n\nCREATE INDEX b ON a (key);\n"
    assert statements(text, {"SERIAL_KEY": "INTEGER PRIMARY KEY"}) == [
        "CREATE TABLE a (\n    key INTEGER PRIMARY KEY\n)",
        "CREATE INDEX b ON a (key)",
    ]
