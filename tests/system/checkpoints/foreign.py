"""A foreign program that speaks frames: it counts, saves each ten, and stops on a save that says so."""

import json
import os
import select
import socket
import struct
import sys
from typing import Any

import msgspec

TO = int(sys.argv[1])
DECODE = msgspec.msgpack.Decoder()
channel = socket.socket(fileno=int(os.environ["TASKHAND_FD"]))
work = os.open(os.environ["WORK"], os.O_WRONLY)


def read() -> Any:
    size = struct.unpack(">I", channel.recv(4, socket.MSG_WAITALL))[0]
    return DECODE.decode(channel.recv(size, socket.MSG_WAITALL))


def ask(number: int, **body: object) -> Any:
    data = msgspec.msgpack.encode([number, body])
    channel.sendall(struct.pack(">I", len(data)) + data)
    return read()[1]


read()
found = ask(1, type="GetCheckpoint")["checkpoint"]
step, number = (found["data"]["step"] if found else 0), 2
while step < TO:
    select.select([], [], [], 0.001)
    os.write(work, b".")
    step += 1
    if step % 10 == 0:
        saved = ask(number, type="SaveCheckpoint", data={"step": step}, progress=step)
        number += 1
        if saved["stopping"]:
            ask(number, type="TaskState", state="checkpointed")
            sys.exit(0)
json.dump(step, sys.stdout)
