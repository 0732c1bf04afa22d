"""What `faulthandler` writes, as the author of a task should read it."""

from supervisor.logs_stacks import OURS
from supervisor.logs_stacks import shaped as shaped_bytes

_, RUNNER, SUPERVISOR = OURS
LIB = "/usr/lib/python3.11/threading.py"
INSTALLED = "/usr/lib/python3.11/site-packages/drivers/wire.py"


def shaped(text: str) -> str:
    return shaped_bytes(text.encode()).decode()


def thread(number: int, *files: str, current: bool = False) -> str:
    word = "Current thread" if current else "Thread"
    frames = [f'  File "{file}", line {line} in f' for line, file in enumerate(files, 1)]
    return "\n".join([f"{word} 0x{number:016x} (most recent call first):", *frames])


def dump(*threads: str) -> str:
    return "\n\n".join(threads)


LED = [f"{RUNNER}execute.py", f"{SUPERVISOR}keeper/loop.py", "<frozen runpy>", "<frozen runpy>"]
OWN = thread(1, LIB, f"{RUNNER}interrupts.py")
THEIRS = thread(2, LIB, "/flows/f.py", LIB)
MAIN = thread(3, f"{RUNNER}client.py", "/flows/f.py", "/flows/f.py", *LED, current=True)
LEFT_OUT = "  … 4 frames of Taskhand's, which led to the task, left out …"
MAIN_SHAPED = "\n".join([*MAIN.split("\n")[:4], LEFT_OUT])
OWN_SHAPED = OWN.replace("first):", "first): Taskhand's own")


def test_the_tasks_threads_are_first_the_main_one_before_all_and_ours_last() -> None:
    assert shaped(dump(OWN, THEIRS, MAIN)) == dump(MAIN_SHAPED, THEIRS, OWN_SHAPED)


def test_what_the_task_calls_of_ours_stays_and_so_do_libraries() -> None:
    main = thread(1, INSTALLED, "/flows/f.py", current=True)
    assert shaped(main) == main
    assert shaped(MAIN).split("\n")[1] == f'  File "{RUNNER}client.py", line 1 in f'
    library = thread(1, f"{RUNNER}client.py", INSTALLED, f"{RUNNER}execute.py")
    assert shaped(library).split("\n")[3] == "  … 1 frames of Taskhand's, which led to the task, left out …"


def test_a_main_thread_that_is_ours_alone_is_last_and_whole() -> None:
    main = thread(3, *LED, current=True)
    assert shaped(dump(main, THEIRS)) == dump(THEIRS, main.replace("first):", "first): Taskhand's own"))


def test_a_program_of_somebody_elses_is_left_as_it_is() -> None:
    other = thread(3, "/flows/f.py", "<frozen runpy>", current=True)
    idle = thread(4, LIB)
    assert shaped(dump(idle, thread(5), other)) == dump(other, idle, thread(5))
    without = thread(5) + "\n  <no Python frame>\n  ..."
    assert shaped(without) == without


def test_what_stands_around_a_dump_keeps_its_place() -> None:
    text = dump(OWN, MAIN)
    shape = dump(MAIN_SHAPED, OWN_SHAPED)
    assert shaped(f"before\n\n{text}\n\nafter\n{text}\nend") == f"before\n\n{shape}\n\nafter\n{shape}\nend"
    assert shaped(f"{text}\n\n") == f"{shape}\n\n"


def test_a_dump_that_is_torn_loses_nothing() -> None:
    torn = MAIN.replace("in f\n", "in printed in between f\n", 1).replace("  File", "x  File", 1)
    lines = shaped(dump(OWN, torn)).split("\n")
    assert {*torn.split("\n")[1:]} <= {*lines}
    for text in ("", "\n", "no dump\n\n  File", '  File "x", line 3 in f', "Thread 0xq (most recent call first):"):
        assert shaped(text) == text
    assert shaped_bytes(b"\xff\n" + MAIN.encode()) == b"\xff\n" + MAIN_SHAPED.encode()
