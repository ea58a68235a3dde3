"""A network that breaks a tenth of what goes over it: nothing is lost, no value is wrong, no conflict is made up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ckpt import Flow, SafeResult, task, unmapped
from ckpt.errors import AlreadyExists, CorruptRecord, StoreUnavailable
from ckpt.handlers import Meta
from ckpt_azure import AzureConnection, AzureResultHandler, AzureStore
from ckpt_azure.upload import AzureUpload
from tests.servers.azure import ACCOUNT, CONTAINER, AzureServer
from tests.servers.proxy import FAULTS, SHARE, VALUES, Fault, Proxy, broken

QUICK: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault != "stalled")


def options(server: AzureServer, proxy: Proxy) -> dict[str, Any]:
    return {**server.options, "account_url": f"{proxy.url}/{ACCOUNT}"}


def handler(server: AzureServer, proxy: Proxy, **given: float) -> AzureResultHandler:
    return AzureResultHandler(
        CONTAINER, **{**options(server, proxy), "request_timeout": 1.0, "retry_seconds": 60.0, **given}
    )


def store(server: AzureServer, proxy: Proxy, **given: float) -> AzureStore:
    made = handler(server, proxy, **given)
    return AzureStore(CONTAINER, made.connection, retry_seconds=made.retry_seconds)


def test_every_value_is_kept_and_read_through_a_network_that_breaks(azurite: AzureServer) -> None:
    with broken(azurite, *QUICK, stalled=0.004) as proxy:
        made = handler(azurite, proxy)

        def kept(number: int) -> SafeResult:
            stored = made.store({"number": number, "text": "x" * 1000}, key=f"faults/{number:04d}", meta=Meta())
            return SafeResult.of(stored, made)

        with ThreadPoolExecutor(16) as pool:
            safes = list(pool.map(kept, range(VALUES)))
            values = list(pool.map(made.fetch, safes))
        assert [value["number"] for value in values] == list(range(VALUES))  # type: ignore[index]  # they are dicts
        assert proxy.requests <= 3 * 2 * VALUES
        assert sum(proxy.broken.values()) > SHARE * VALUES
        assert set(proxy.broken) >= set(QUICK), "a kind of fault never fired"


def test_a_flow_keeps_its_values_through_it(azurite: AzureServer) -> None:
    @task
    def shifted(number: int, by: int) -> int:
        return number + by

    with broken(azurite, *QUICK) as proxy:
        with Flow("broken", result_handler=handler(azurite, proxy)) as flow:
            all_of_them = shifted.map(list(range(60)), unmapped(1000))
        state = flow.run(checkpointing=True)
        assert state.is_successful(), state.message
        assert [child.kept.safe_value.to_result().value for child in state.result[all_of_them].map_states] == [
            number + 1000 for number in range(60)
        ]
        assert sum(proxy.broken.values()) > 5


def test_creating_makes_no_conflict_up(azurite: AzureServer) -> None:
    with broken(azurite, "reset after", "unavailable", share=0.3) as proxy:
        made = store(azurite, proxy)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: made.put(f"create/{number}", b"x", overwrite=False), range(60)))
        assert proxy.broken["reset after"] > 3
        with pytest.raises(AlreadyExists):
            made.put("create/1", b"y", overwrite=False)


def test_the_sdk_alone_makes_conflicts_up(azurite: AzureServer) -> None:
    """The control of the test above: without a write id the proxy's faults are conflicts."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import LinearRetry

    again = LinearRetry(backoff=0, random_jitter_range=0, retry_total=8, retry_connect=8, retry_read=8, retry_status=8)
    with broken(azurite, "reset after", "unavailable", share=0.3) as proxy:
        client = azurite.client(**options(azurite, proxy), retry_policy=again)
        conflicts = 0
        for number in range(60):
            try:
                client.upload_blob(f"control/{number}", b"x")
            except ResourceExistsError:
                conflicts += 1
        assert conflicts > 0


def test_without_protection_reads_fail_and_are_wrong(azurite: AzureServer) -> None:
    """The control of the first test: one try, and no digest."""
    azurite.client().upload_blob("control/body", bytes(1000), overwrite=True)
    with broken(azurite, "changed", "unavailable", "reset before", share=0.3) as proxy:
        client = azurite.client(**options(azurite, proxy))
        failed = wrong = 0
        for _ in range(100):
            try:
                wrong += client.download_blob("control/body").readall() != bytes(1000)
            except Exception:  # noqa: BLE001  whatever the SDK raises
                failed += 1
        assert failed > 0
        assert wrong > 0


def test_wrong_bytes_are_read_again_and_trusted_by_their_digest_alone(azurite: AzureServer) -> None:
    with broken(azurite, "changed", share=0.3) as proxy:
        made = handler(azurite, proxy)
        safes = [SafeResult.of(made.store([n, "x" * 2000], key=f"wrong/{n}", meta=Meta()), made) for n in range(20)]
        assert [made.fetch(safe)[0] for safe in safes * 2] == [*range(20)] * 2  # type: ignore[index]
        assert proxy.broken["changed"] > 3
    with broken(azurite, "changed", share=1.0) as proxy:
        made = handler(azurite, proxy)
        with pytest.raises(CorruptRecord):
            made.fetch(safes[0])
        assert proxy.methods["GET"] == 4, "once, and at most three times again"


def test_what_is_changed_on_its_way_is_never_acknowledged(azurite: AzureServer) -> None:
    class SmallBlocks(AzureStore):
        part = 1 << 20

    with broken(azurite, "changed on its way", share=0.3) as proxy:
        made = SmallBlocks(CONTAINER, AzureConnection(**options(azurite, proxy)))
        for number in range(20):
            made.put(f"sent/{number}", bytes([number]) * 1000)
        small = proxy.broken["changed on its way"]
        with made.open_write("sent/large") as writer:
            writer.write(bytes(30 << 20))
            writer.commit()
        assert 3 < small < proxy.broken["changed on its way"] - 3
    client = azurite.client()
    assert all(client.download_blob(f"sent/{n}").readall() == bytes([n]) * 1000 for n in range(20))
    assert client.download_blob("sent/large").readall() == bytes(30 << 20)


def test_a_large_value_goes_and_comes_in_parts_through_it(azurite: AzureServer) -> None:
    faults = tuple(fault for fault in QUICK if fault != "changed")
    value = np.arange(4_500_000)
    with broken(azurite, *faults, share=0.3, seed=4) as proxy:
        made = handler(azurite, proxy)
        safe = SafeResult.of(made.store(value, key="large/value", meta=Meta()), made)
        assert np.array_equal(made.fetch(safe), value)  # type: ignore[arg-type]
        assert proxy.broken
        assert proxy.requests > 10


def test_ranges_of_two_versions_are_never_one_value(azurite: AzureServer) -> None:
    made = AzureStore(CONTAINER, AzureConnection(**azurite.options))
    made.put("replaced/large", b"1" * (1 << 20))
    with made.open_read("replaced/large") as source:
        assert source.read(10) == b"1" * 10
        made.put("replaced/large", b"2" * (1 << 20))
        with pytest.raises(CorruptRecord, match="replaced while"):
            source.read()


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_committed_upload_whose_answer_was_lost_is_known_again(azurite: AzureServer, overwrite: bool) -> None:
    lost: list[str] = []

    class LosesOneAnswer(AzureStore):
        def ask_once(self, operation: str, key: str, **given: object) -> object:
            answer = super().ask_once(operation, key, **given)  # type: ignore[arg-type]
            if operation == "commit_block_list" and not lost:
                lost.append(operation)
                raise StoreUnavailable("the answer was lost")
            return answer

    made = LosesOneAnswer(CONTAINER, AzureConnection(**azurite.options), retry_seconds=5)
    with made.open_write(f"lost/{overwrite}", overwrite=overwrite) as writer:
        writer.write(bytes(9 << 20))
        writer.commit()
    assert lost
    assert made.head(f"lost/{overwrite}").size == 9 << 20


def test_of_two_uploads_of_one_key_none_gets_blocks_of_the_other(azurite: AzureServer) -> None:
    """Azure removes the blocks of the second when the first is through: that one has to be told."""
    made = AzureStore(CONTAINER, AzureConnection(**azurite.options), retry_seconds=5)
    first, second = (AzureUpload(made, "two/writers", mark * 32, overwrite=True) for mark in "ab")
    for upload, byte in ((first, b"1"), (second, b"2")):
        for number in (1, 2):
            upload.send(number, bytearray(byte * 1000))
    first.complete(2000)
    with pytest.raises(StoreUnavailable, match="another write of this key"):
        second.complete(2000)
    assert made.get("two/writers") == b"1" * 2000


def test_an_upload_that_ends_early_leaves_nothing_to_be_seen(azurite: AzureServer) -> None:
    made = AzureStore(CONTAINER, AzureConnection(**azurite.options))
    made.put("left/there", b"old")
    for key in ("left/over", "left/there"):
        for end in (lambda writer: writer.abort(), lambda writer: writer.__exit__(None, None, None)):
            writer = made.open_write(key)
            writer.write(bytes(20 << 20))
            end(writer)
    assert [info.key for info in made.list("left")] == ["left/there"]
    assert made.get("left/there") == b"old"
    with made.open_write("left/over", overwrite=False) as writer:
        writer.write(bytes(20 << 20))
        writer.commit()
    assert made.head("left/over").size == 20 << 20


def test_a_small_value_costs_one_request_each_way(azurite: AzureServer) -> None:
    with Proxy(azurite.url) as proxy:
        made = handler(azurite, proxy)
        safe = SafeResult.of(made.store("small", key="requests/one", meta=Meta()), made)
        assert (proxy.requests, proxy.methods["PUT"]) == (1, 1)
        assert made.fetch(safe) == "small"
        assert (proxy.requests, proxy.methods["GET"]) == (2, 1)


def test_throttling_ends_in_unavailable_and_a_stall_in_time(azurite: AzureServer) -> None:
    faults: tuple[Fault, ...] = ("throttled", "stalled", "reset before", "cut")
    azurite.client().upload_blob("whatever", bytes(1000), overwrite=True)
    for fault in faults:
        with broken(azurite, fault, share=1.0) as proxy:
            made = store(azurite, proxy, retry_seconds=0.5, request_timeout=0.5)
            with pytest.raises(StoreUnavailable, match="run again"):
                made.get("whatever")
            assert proxy.broken[fault] > 0
