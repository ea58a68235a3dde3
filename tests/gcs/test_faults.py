"""A network that breaks a tenth of what goes over it: nothing is lost, no value is wrong, no conflict is made up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ckpt import Flow, SafeResult, task, unmapped
from ckpt.errors import AlreadyExists, CkptError, CorruptRecord, StoreUnavailable
from ckpt.handlers import Meta
from ckpt_gcs import GCSResultHandler, GCSStore
from ckpt_gcs.upload import GCSUpload
from tests.servers.gcs import BUCKET, GCSServer
from tests.servers.proxy import FAULTS, SHARE, VALUES, Fault, Proxy, broken

# fake-gcs-server compares no checksums, so it cannot notice what was changed on its way there.
FIRED: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault not in ("stalled", "changed on its way"))


def handler(server: GCSServer, proxy: Proxy, **options: float) -> GCSResultHandler:
    given = {**server.options, "api_endpoint": proxy.url, "request_timeout": 1.0, "retry_seconds": 60.0, **options}
    return GCSResultHandler(BUCKET, **given)


def store(server: GCSServer, proxy: Proxy, **options: float) -> GCSStore:
    return handler(server, proxy, **options).open_store()


def test_every_value_is_kept_and_read_through_a_network_that_breaks(gcs: GCSServer) -> None:
    with broken(gcs, *FIRED, stalled=0.004) as proxy:
        made = handler(gcs, proxy)

        def kept(number: int) -> SafeResult:
            stored = made.store({"number": number, "text": "x" * 1000}, key=f"faults/{number:04d}", meta=Meta())
            return SafeResult.of(stored, made)

        with ThreadPoolExecutor(16) as pool:
            safes = list(pool.map(kept, range(VALUES)))
            values = list(pool.map(made.fetch, safes))
        assert [value["number"] for value in values] == list(range(VALUES))  # type: ignore[index]  # they are dicts
        assert proxy.requests <= 3 * 2 * VALUES
        assert sum(proxy.broken.values()) > SHARE * VALUES
        assert set(proxy.broken) >= set(FIRED), "a kind of fault never fired"


def test_a_flow_keeps_its_values_through_it(gcs: GCSServer) -> None:
    @task
    def shifted(number: int, by: int) -> int:
        return number + by

    with broken(gcs, *FIRED) as proxy:
        with Flow("broken", result_handler=handler(gcs, proxy)) as flow:
            all_of_them = shifted.map(list(range(60)), unmapped(1000))
        state = flow.run(checkpointing=True)
        assert state.is_successful(), state.message
        assert [child.kept.safe_value.to_result().value for child in state.result[all_of_them].map_states] == [
            number + 1000 for number in range(60)
        ]
        assert sum(proxy.broken.values()) > 5


def test_creating_makes_no_conflict_up(gcs: GCSServer) -> None:
    with broken(gcs, "reset after", "unavailable", share=0.3) as proxy:
        made = store(gcs, proxy)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: made.put(f"create/{number}", b"x", overwrite=False), range(60)))
        assert proxy.broken["reset after"] > 3
        with pytest.raises(AlreadyExists):
            made.put("create/1", b"y", overwrite=False)


def test_the_sdk_alone_makes_conflicts_up(gcs: GCSServer) -> None:
    """The control of the test above: the SDK tries again, and without a write id the proxy's faults are conflicts."""
    from google.api_core.exceptions import PreconditionFailed

    with broken(gcs, "reset after", "unavailable", share=0.3) as proxy:
        bucket = gcs.client(proxy.url).bucket(BUCKET)
        conflicts = 0
        for number in range(30):
            try:
                bucket.blob(f"control/{number}").upload_from_string(b"x", if_generation_match=0, timeout=1)
            except PreconditionFailed:
                conflicts += 1
        assert conflicts > 0


def test_without_protection_reads_fail_and_are_wrong(gcs: GCSServer) -> None:
    """The control of the first test: one try, no checksum, and no digest."""
    blob = gcs.client().bucket(BUCKET).blob("control/body")
    blob.upload_from_string(bytes(1000))
    with broken(gcs, *FIRED, share=0.3) as proxy:
        blob = gcs.client(proxy.url).bucket(BUCKET).blob("control/body")
        failed = wrong = 0
        for _ in range(100):
            try:
                wrong += blob.download_as_bytes(checksum=None, retry=None, timeout=1) != bytes(1000)
            except Exception:  # noqa: BLE001  whatever the SDK raises
                failed += 1
        assert failed > 0
        assert wrong > 0


def test_wrong_bytes_are_read_again(gcs: GCSServer) -> None:
    with broken(gcs, "changed", share=0.3) as proxy:
        made = handler(gcs, proxy)
        safes = [SafeResult.of(made.store([n, "x" * 2000], key=f"wrong/{n}", meta=Meta()), made) for n in range(20)]
        assert [made.fetch(safe)[0] for safe in safes * 2] == [*range(20)] * 2  # type: ignore[index]
        assert proxy.broken["changed"] > 3
    with broken(gcs, "changed", share=1.0) as proxy:
        made = handler(gcs, proxy)
        with pytest.raises(CorruptRecord):
            made.fetch(safes[0])
        assert proxy.methods["GET"] == 4, "once, and at most three times again"


def test_wrong_bytes_of_a_large_value_are_known_by_the_digest_alone(gcs: GCSServer) -> None:
    """The SDK compares nothing where a part of an object is asked for."""
    value = np.arange(1_200_000)
    with Proxy(gcs.url, seed=2) as proxy:
        made = handler(gcs, proxy)
        safe = SafeResult.of(made.store(value, key="wrong/large", meta=Meta()), made)
        proxy.rates = {"changed": 0.2}
        assert np.array_equal(made.fetch(safe), value)  # type: ignore[arg-type]
        assert proxy.broken["changed"] > 0
        proxy.rates = {"changed": 1.0}
        with pytest.raises(CorruptRecord):
            made.fetch(safe)


def test_a_large_value_goes_and_comes_in_parts_through_it(gcs: GCSServer) -> None:
    faults = tuple(fault for fault in FIRED if fault != "changed")
    value = np.arange(9_000_000)
    with broken(gcs, *faults, share=0.4, seed=4) as proxy:
        made = handler(gcs, proxy)
        safe = SafeResult.of(made.store(value, key="large/array", meta=Meta()), made)
        assert proxy.methods["PUT"] > 10, "the parts go another way"
        assert proxy.broken["reset after"] > 0
        assert np.array_equal(made.fetch(safe), value)  # type: ignore[arg-type]


class LosesAnswers(GCSUpload):
    """Loses the answer to each `PUT` with data once; `half` of what it carried arrived."""

    def __init__(self, *given: Any, half: bool = False, **options: Any) -> None:
        self.lost: list[str] = []
        self.asked = 0
        self.half = half
        super().__init__(*given, **options)

    def _request(self, method: str, data: Any, headers: dict[str, str]) -> Any:
        place = headers.get("Content-Range", "")
        self.asked += place.startswith("bytes */") and not len(data)
        if method != "PUT" or place.startswith("bytes */*") or place in self.lost:
            return super()._request(method, data, headers)
        self.lost.append(place)
        if self.half and place.endswith("/*"):
            begin, end = map(int, place.removeprefix("bytes ").removesuffix("/*").split("-"))
            middle = (begin + end + 1) // 2
            super()._request(method, data[: middle - begin], {"Content-Range": f"bytes {begin}-{middle - 1}/*"})
        else:
            super()._request(method, data, headers)
        raise ConnectionResetError("the answer was lost")


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("size", [3 << 19, 2 << 20, (2 << 20) + 1])
def test_a_part_whose_answer_was_lost_is_not_there_twice(
    gcs: GCSServer, size: int, half: bool, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads: list[LosesAnswers] = []

    def begin(*given: Any, **options: Any) -> LosesAnswers:
        uploads.append(LosesAnswers(*given, half=half, **options))
        return uploads[-1]

    monkeypatch.setattr("ckpt_gcs.store.GCSUpload", begin)
    monkeypatch.setattr(GCSStore, "part", 1 << 20)
    made = GCSResultHandler(BUCKET, **gcs.options, retry_seconds=5).open_store()
    data = np.random.default_rng(1).bytes(size)
    key = f"lost/{size}-{half}-{overwrite}"
    with made.open_write(key, overwrite=overwrite) as writer:
        writer.write(data)
        writer.commit()
    assert uploads[0].lost
    assert uploads[0].asked >= len(uploads[0].lost), "what is there already was sent again"
    assert made.get(key) == data


@pytest.mark.parametrize("size", [3 << 20, 1])
def test_an_object_replaced_while_it_is_read_is_not_read_in_parts_of_both(gcs: GCSServer, size: int) -> None:
    made = GCSResultHandler(BUCKET, **gcs.options).open_store()
    made.put("replaced", bytes(3 << 20))
    with made.open_read("replaced") as source:
        source.read(1)
        made.put("replaced", b"x" * size)
        with pytest.raises(CorruptRecord, match="read it again"):
            source.read()


def test_a_session_that_the_server_forgot_is_told_at_once(gcs: GCSServer) -> None:
    made = GCSResultHandler(BUCKET, **gcs.options, retry_seconds=60).open_store()
    upload = GCSUpload(made, "forgotten", "mark", overwrite=True)
    made.session.delete(upload._url)
    with pytest.raises(StoreUnavailable, match="forgot the upload"):
        upload.send(1, bytearray(1 << 20))
    with pytest.raises(StoreUnavailable, match="forgot the upload"):
        upload.send(2, bytearray(1 << 20))
    upload.abort()


def test_an_upload_that_ends_early_leaves_nothing(gcs: GCSServer) -> None:
    with Proxy(gcs.url) as proxy:
        made = store(gcs, proxy)
        for number, end in enumerate((lambda writer: writer.abort(), lambda writer: writer.__exit__(None, None, None))):
            writer = made.open_write("left/over")
            writer.write(bytes(20 << 20))
            end(writer)
            assert proxy.methods["DELETE"] == number + 1
        assert list(made.list("left")) == []


def test_a_large_value_conflicts_as_a_small_one_does(gcs: GCSServer) -> None:
    made = GCSResultHandler(BUCKET, **gcs.options).open_store()
    with made.open_write("large/taken", overwrite=False) as writer:
        writer.write(bytes(9 << 20))
        made.put("large/taken", b"of somebody else")
        with pytest.raises(AlreadyExists):
            writer.commit()
    assert made.get("large/taken") == b"of somebody else"


def test_a_value_costs_one_request_each_way(gcs: GCSServer) -> None:
    with Proxy(gcs.url) as proxy:
        made = handler(gcs, proxy)
        safe = SafeResult.of(made.store("small", key="requests/one", meta=Meta()), made)
        assert (proxy.requests, proxy.methods["POST"]) == (1, 1)
        assert made.fetch(safe) == "small"
        assert (proxy.requests, proxy.methods["GET"]) == (2, 1)
        with pytest.raises(CkptError):
            made.read("requests/none")
        assert proxy.requests == 3, "the SDK asks for more by itself"


def test_throttling_ends_in_unavailable_and_a_stall_in_time(gcs: GCSServer) -> None:
    faults: tuple[Fault, ...] = ("throttled", "stalled", "reset before")
    for fault in faults:
        with broken(gcs, fault, share=1.0) as proxy:
            made = store(gcs, proxy, retry_seconds=0.5, request_timeout=0.5)
            with pytest.raises(StoreUnavailable, match="run again"):
                made.get("whatever")
            assert proxy.broken[fault] > 0
