"""Keep-alive POST requests as fast as one Python process can, where wrk is missing.

python -m tests.benchmarks.generator -c 16 -d 2 URL TOKEN RUN EVENTS VERB ORGANIZATIONS
"""

import argparse
import asyncio
import json
import sys
import time
from itertools import count, cycle
from pathlib import Path
from urllib.parse import urlsplit


class Load:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.until = time.monotonic() + asked.d
        self.organizations = cycle(Path(asked.organizations).read_text().split())
        self.numbers = count(1)
        self.took: list[int] = []
        self.errors = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self.asked.c)))

    async def _connection(self) -> None:
        url = urlsplit(self.asked.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = (
            f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.asked.token}\r\nContent-Length: "
        )
        while time.monotonic() < self.until:
            body = self._body()
            began = time.perf_counter_ns()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(_length(answer))
            self.took.append((time.perf_counter_ns() - began) // 1000)
            self.errors += not answer.startswith(b"http/1.1 200")
        writer.close()

    def _body(self) -> bytes:
        if not int(self.asked.events):
            return json.dumps(self._one()).encode()
        events = [self._one() for _ in range(int(self.asked.events))]
        return json.dumps({"events": events}).encode()

    def _one(self) -> dict[str, object]:
        one: dict[str, object] = {
            "organization": next(self.organizations),
            "meter": "ai_queries",
            "amount": 1,
        }
        if self.asked.verb != "check":
            one["idempotency_key"] = f"{self.asked.run}-{next(self.numbers)}"
            if int(self.asked.events):
                one["type"] = self.asked.verb
        return one


def _length(head: bytes) -> int:
    return int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", type=int, default=1)
    parser.add_argument("-d", type=float, default=1)
    for name in ("url", "token", "run", "events", "verb", "organizations"):
        parser.add_argument(name)
    load = Load(parser.parse_args())
    began = time.monotonic()
    asyncio.run(load.run())
    took = sorted(load.took)
    found = {
        "requests": len(took),
        "microseconds": int((time.monotonic() - began) * 1e6),
        "errors": load.errors,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
    }
    sys.stdout.write(f"RESULT {json.dumps(found)}\n")


if __name__ == "__main__":
    main()
