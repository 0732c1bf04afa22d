import msgspec
import pytest

from protocol.messages.shape import Message, Model, SparseMessage, SparseModel, StrictMessage, StrictModel
from tests.protocol.samples import as_map


class Loose(Message, frozen=True):
    inner: int = 1


class Strict(StrictMessage, frozen=True):
    inner: int = 1


class Sparse(SparseMessage, frozen=True):
    inner: int = 1


def test_the_type_is_the_name_of_the_class() -> None:
    assert [as_map(message())["type"] for message in (Loose, Strict, Sparse)] == ["Loose", "Strict", "Sparse"]


def test_only_the_sparse_leave_out_what_is_as_it_was() -> None:
    assert [set(as_map(message())) for message in (Loose, Strict, Sparse)] == [
        {"type", "inner"},
        {"type", "inner"},
        {"type"},
    ]


@pytest.mark.parametrize(
    ("shape", "strict"),
    [(Message, False), (StrictMessage, True), (SparseMessage, False), (Model, False), (StrictModel, True)],
)
def test_only_the_strict_refuse_what_they_do_not_know(shape: type[msgspec.Struct], *, strict: bool) -> None:
    assert shape.__struct_config__.forbid_unknown_fields is strict


def test_all_are_values() -> None:
    assert all(shape.__struct_config__.frozen for shape in (Message, Model, StrictModel, SparseModel))
