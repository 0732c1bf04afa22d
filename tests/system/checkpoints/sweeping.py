"""The flow of the second proof: save again and again, and write down what was asked, acknowledged and begun from."""

import os
import threading
from pathlib import Path

from runner import Context, flow, task


def note(word: str, step: int) -> None:
    with Path(os.environ["WORK"]).with_name("notes").open("a") as file:
        file.write(f"{word} {step}\n")


@task
def steps(ctx: Context) -> str:
    work = os.open(os.environ["WORK"], os.O_WRONLY)
    step: int = ctx.checkpoint.get("step", 0)
    file = ctx.checkpoint.blob
    assert file is None or file.read_text() == f"{step}" * 1000
    note("began", step)
    while step < ctx.params["to"]:
        step += 1
        kept = Path(f"file-{step}")
        kept.write_text(f"{step}" * 1000)
        note("asked", step)
        os.write(work, b".")
        ctx.save({"step": step}, progress=step, blob=kept)
        note("acknowledged", step)
        threading.Event().wait(0.01)
    return "done"


@flow
def sweeping() -> None:
    steps()
