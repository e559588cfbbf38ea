"""Twisted's reactor on our loop, for daphne and for any Twisted program."""

import sys
from pathlib import Path

import pytest
from integrations.running import started

PROGRAM = """
import aioadapt.integrations.daphne
aioadapt.integrations.daphne.install()

import asyncio
from twisted.internet import defer, endpoints, protocol, reactor, threads


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
        self.transport.loseConnection()


class Ask(protocol.Protocol):
    def __init__(self):
        self.answered = defer.Deferred()

    def connectionMade(self):
        self.transport.write(b"hello")

    def dataReceived(self, data):
        self.answered.callback(data)


async def main():
    server = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await server.listen(protocol.Factory.forProtocol(Echo))
    client = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    ask = await endpoints.connectProtocol(client, Ask())
    print("echoed", await ask.answered)
    print("threads", await threads.deferToThread(sum, [1, 2]))
    await port.stopListening()
    loop = asyncio.get_running_loop()
    print("loop", type(loop).__name__)
    in_thread = defer.Deferred.fromFuture(asyncio.ensure_future(asyncio.to_thread(max, 3, 4)))
    print("asyncio", await in_thread)
    print("executor", loop._default_executor._max_workers)
    reactor.stop()


reactor.callWhenRunning(lambda: defer.ensureDeferred(main()).addErrback(print))
reactor.run()
"""


def test_a_twisted_program_runs_on_the_installed_loop(
    engine: str, engine_class: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the number of threads that daphne reads from the environment."""
    pytest.importorskip("twisted")
    monkeypatch.setenv("ASGI_THREADS", "3")

    with started([sys.executable, "-c", PROGRAM], engine, tmp_path) as running:
        assert running.ended() == 0, running.log

    assert running.log.splitlines() == [
        "echoed b'hello'",
        "threads 3",
        f"loop {engine_class}",
        "asyncio 4",
        "executor 3",
    ]
