"""Valkey nodes on loopback that make a cluster: slots given, moved under way, taken over."""

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from config.embedded.places import binaries_for
from config.embedded.processes import Account, free_port

SLOTS = 16_384
PATIENCE_SECONDS = 60


class Node:
    def __init__(self, program: Path, folder: Path, password: str) -> None:
        folder.mkdir()
        self.port, self.bus = free_port(), free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.redis = Redis(port=self.port, password=password, decode_responses=True)
        self.command = [
            *(str(program), "--port", str(self.port), "--cluster-port", str(self.bus)),
            *("--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"),
            *("--requirepass", password, "--masterauth", password),
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"),
            *("--maxmemory-policy", "noeviction"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(self.answers, "a node to answer")

    def answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its port and its keys, and answers nobody: as behind a broken network."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:
        return self.redis.execute_command(*command)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER MYID"))

    def slots_of(self, other: "Node") -> list[int]:
        """As this node believes."""
        ranges = self.ask("CLUSTER SLOTS")
        return [
            slot
            for first, last, where, *_replicas in ranges
            if where[1] == other.port
            for slot in range(first, last + 1)
        ]

    def is_sure(self) -> bool:
        """Whether the cluster is in order as this node believes."""
        return bool(self.ask("CLUSTER INFO")["cluster_state"] == "ok")


class Nodes:
    """Three primaries without replicas: what one held is lost with it, as nothing may matter."""

    def __init__(self, folder: Path, number: int = 3) -> None:
        self.password = secrets.token_urlsafe(8)
        program = binaries_for(folder, Account.for_servers()).valkey / "valkey-server"
        self.nodes = [Node(program, folder / f"node-{n}", self.password) for n in range(number)]

    @property
    def url(self) -> str:
        names = ",".join(node.name for node in self.nodes)
        return f"redis+cluster://:{self.password}@{names}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "ADDSLOTSRANGE", *self.share(number))
        self.settle()

    def share(self, number: int) -> tuple[int, int]:
        """The first and the last slot that a node begins with."""
        size = len(self.nodes)
        return number * SLOTS // size, (number + 1) * SLOTS // size - 1

    def settle(self) -> None:
        """Returns when every living node believes that all slots are served."""
        wait_for(self._agree, "the nodes to agree")

    def _agree(self) -> bool:
        living = self.living()
        shares = {tuple(tuple(n.slots_of(other)) for other in living) for n in living}
        covered = [sum(map(len, share)) for share in shares]
        return covered == [SLOTS] and all(node.is_sure() for node in living)

    def living(self) -> list[Node]:
        return [node for node in self.nodes if node.answers()]

    def owner_of(self, slot: int) -> Node:
        witness = self.living()[0]
        return next(node for node in self.nodes if slot in witness.slots_of(node))

    def move(self, slots: Sequence[int], source: Node, target: Node) -> None:
        """Key by key, while clients go on asking: they are told ASK, and in the end MOVED."""
        for slot in slots:
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
            while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
                where = ("127.0.0.1", target.port, "", 0, 5000, "REPLACE", "AUTH", self.password)
                source.ask("MIGRATE", *where, "KEYS", *keys)
            for node in (target, source):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def take_over(self, dead: Node) -> None:
        """The living share the slots of a node that will not come back; its keys are lost."""
        living = self.living()
        slots = living[0].slots_of(dead)
        for node in living:
            node.ask("CLUSTER", "DELSLOTS", *slots)
        for number, node in enumerate(living):
            node.ask("CLUSTER", "BUMPEPOCH")
            node.ask("CLUSTER", "ADDSLOTS", *slots[number :: len(living)])
        self.settle()

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()
            node.redis.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@contextmanager
def running(folder: Path) -> Iterator[Nodes]:
    nodes = Nodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
