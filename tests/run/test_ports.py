from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from run.errors import PlanError
from run.ports import check, next_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_taken_port_is_one_line_that_names_the_setting(taken: int) -> None:
    with pytest.raises(PlanError) as caught:
        check({"server.listen_addr": f"127.0.0.1:{taken}"})
    assert str(caught.value) == (
        f"127.0.0.1:{taken} is taken by another program; end that, or change server.listen_addr"
    )


def test_free_ports_pass(free_port: Callable[[], int]) -> None:
    check({"server.listen_addr": f"127.0.0.1:{free_port()}", "exporter.listen_addr": f"[::1]:{free_port()}"})


def test_no_two_services_have_one_address(free_port: Callable[[], int]) -> None:
    port = free_port()
    check({"server.listen_addr": f"127.0.0.1:{port}", "exporter.listen_addr": f"127.0.0.2:{port}"})
    with pytest.raises(PlanError, match="listen_addr and exporter"):
        check({"server.listen_addr": f"[::1]:{port}", "exporter.listen_addr": f"[::1]:{port}"})


def test_a_port_that_only_waits_for_old_connections_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as client, listening.accept()[0] as answered:
            answered.close()  # who closes first waits
            client.recv(1)
    check({"server.listen_addr": f"127.0.0.1:{address[1]}"})


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:0", "server.listen_addr: port 0 is any port; name the one to use"),
        ("192.0.2.1:8787", "server.listen_addr = '192.0.2.1:8787' cannot be listened on: "),
        (
            "no-such-host.invalid:8787",
            "server.listen_addr = 'no-such-host.invalid:8787' cannot be listened on",
        ),
    ],
)
def test_an_address_that_is_no_use_is_refused(address: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        check({"server.listen_addr": address})
    assert str(caught.value).startswith(message)
    assert "None" not in str(caught.value)


def test_next_free_passes_over_what_is_taken(taken: int) -> None:
    assert taken < next_free(taken) < taken + 100


def test_next_free_gives_up_in_one_line(taken: int) -> None:
    with pytest.raises(PlanError, match=f"none of the ports {taken} to {taken} is free"):
        next_free(taken, tries=1)
