"""What happened, one line for each thing that somebody would want to read: when, who, what."""


class Story:
    """The lines of one history."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str, str]] = []

    def tell(self, when: float, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append((when, who, what))

    def __str__(self) -> str:
        width = max((len(who) for _, who, _ in self.lines), default=0)
        return "\n".join(f"{when:9.3f}  {who:{width}}  {what}" for when, who, what in self.lines)
