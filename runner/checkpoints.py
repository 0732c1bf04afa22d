"""Checkpoints as a task sees them: the record it resumes from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from protocol.messages.checkpoints import CheckpointRecord
from runner.blobs import checked


class Checkpoint(Mapping[str, Any]):
    """What to resume from. A mapping of the saved data when that was one; empty, and false, when there is none."""

    def __init__(self, record: CheckpointRecord | None = None, note: str | None = None) -> None:
        self.record = record
        self.note = note
        """Why there is no record, or not the latest, although there was one to choose."""
        self._blob: Path | None = None

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """The saved data, whatever it is."""
        return self.record.data if self.record else None

    @property
    def progress(self) -> float | None:
        """How far the task had come."""
        return self.record.progress if self.record else None

    @property
    def seq(self) -> int:
        """How many saves there were over the life of the task instance."""
        return self.record.seq if self.record else 0

    @property
    def blob(self) -> Path | None:
        """The saved file, checked. It must not be changed: copy it to work on it."""
        reference = self.record.blob if self.record else None
        if self._blob is None and reference is not None:
            self._blob = checked(reference)
        return self._blob

    def __bool__(self) -> bool:
        return self.record is not None

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return self._mapping[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __repr__(self) -> str:
        return f"Checkpoint(seq={self.seq}, progress={self.progress}, data={self.data!r})" if self else "Checkpoint()"

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return self.data if isinstance(self.data, dict) else {}
