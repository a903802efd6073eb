"""A consumer in Python: it answers what a record's value asks for.

Build it with an absolute path to the WIT package:

    componentize-py -d "$PWD/wit" -w consumer-module componentize consumer -p tests/guests/python -o consumer.wasm
"""

import json
import random
import sys
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import clock, log
from wit_world.imports.log import Level
from wit_world.imports.types import (
    Output,
    RetryRequest,
    Verdict_DeadLetter,
    Verdict_Done,
    Verdict_Drop,
    Verdict_Retry,
)

settings = {}


class Consumer(exports.Consumer):
    def init(self, config):
        settings.update(config)
        if settings.get("init") == "err":
            raise Err("init was told to fail")

    def handle(self, message):
        try:
            asked = json.loads(message.value or b"null")
        except ValueError as error:
            return Verdict_DeadLetter(f"not JSON: {error}")
        match asked.get("do") if isinstance(asked, dict) else None:
            case None:
                return Verdict_Drop("asks for nothing")
            case "echo":
                log.write(Level.INFO, f"echo at {clock.now()}")
                return Verdict_Done([Output(None, message.key, message.value, message.headers)])
            case "retry":
                return Verdict_Retry(RetryRequest(asked.get("after_ms"), "asked to"))
            case "err":
                raise Err("asked to fail")
            case "raise":
                raise RuntimeError("asked to raise")
            case "print":
                print("to stdout")
                print("to stderr", file=sys.stderr)
                return Verdict_Done([])
            case "random":
                value = str(random.SystemRandom().getrandbits(64)).encode()
                return Verdict_Done([Output(None, None, value, [])])
            case "time":
                value = f"{time.time_ns() // 1_000_000}".encode()
                return Verdict_Done([Output(None, None, value, [])])
            case "sleep":
                time.sleep(asked["seconds"])
                return Verdict_Done([])
            case "loop":
                while True:
                    pass
            case "grow":
                hoard = []
                while True:
                    hoard.append(bytearray(1 << 20))
            case "recurse":
                def deeper(depth):
                    return deeper(depth + 1)

                deeper(0)
            case "open":
                open(asked["path"], "rb")
                return Verdict_Done([])
            case "connect":
                import socket

                socket.create_connection((asked["host"], asked["port"]), timeout=1)
                return Verdict_Done([])
            case other:
                return Verdict_DeadLetter(f"unknown: {other}")
