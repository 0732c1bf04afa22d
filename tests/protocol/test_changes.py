from protocol.changes import both, drop, within


def test_dropping_leaves_the_original_alone() -> None:
    body = {"a": 1, "b": 2, "c": 3}
    assert drop("a", "c", "never there")(body) == {"b": 2}
    assert body == {"a": 1, "b": 2, "c": 3}


def test_a_step_reaches_into_a_map_a_list_of_maps_and_nothing_else() -> None:
    step = within("inner", drop("new"))
    assert step({"inner": {"new": 1, "old": 2}}) == {"inner": {"old": 2}}
    assert step({"inner": [{"new": 1}, {"old": 2}]}) == {"inner": [{}, {"old": 2}]}
    assert step({"inner": None}) == {"inner": None}
    assert step({"other": 1}) == {"other": 1}


def test_steps_are_taken_in_order() -> None:
    assert both(lambda body: body | {"n": 1}, lambda body: body | {"n": body["n"] + 1})({}) == {"n": 2}
