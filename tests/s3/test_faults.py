"""A network that breaks a tenth of what goes over it: nothing is lost, no value is wrong, no conflict is made up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ckpt import Flow, SafeResult, task, unmapped
from ckpt.errors import AlreadyExists, CorruptRecord, StoreUnavailable
from ckpt.handlers import Meta
from ckpt_s3 import S3Connection, S3ResultHandler, S3Store
from tests.servers.proxy import FAULTS, SHARE, VALUES, Fault, Proxy, broken
from tests.servers.s3 import BUCKET, S3Server

TO_BOTH: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault not in ("stalled", "changed on its way"))


def handler(server: S3Server, proxy: Proxy, **options: float) -> S3ResultHandler:
    given = {**server.options, "endpoint_url": proxy.url, "request_timeout": 1.0, "retry_seconds": 60.0, **options}
    return S3ResultHandler(BUCKET, **given)


def store(server: S3Server, proxy: Proxy, **options: float) -> S3Store:
    made = handler(server, proxy, **options)
    return S3Store(BUCKET, made.connection, retry_seconds=made.retry_seconds)


@pytest.mark.parametrize("name", ["moto", "seaweedfs"])
def test_every_value_is_kept_and_read_through_a_network_that_breaks(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    # Only a server that compares checksums can notice what was changed on its way there.
    faults = (*TO_BOTH, "changed on its way") if server.checks else TO_BOTH
    with broken(server, *faults, stalled=0.004) as proxy:
        made = handler(server, proxy)

        def kept(number: int) -> SafeResult:
            stored = made.store({"number": number, "text": "x" * 1000}, key=f"faults/{number:04d}", meta=Meta())
            return SafeResult.of(stored, made)

        with ThreadPoolExecutor(16) as pool:
            safes = list(pool.map(kept, range(VALUES)))
            values = list(pool.map(made.fetch, safes))
        assert [value["number"] for value in values] == list(range(VALUES))  # type: ignore[index]  # they are dicts
        assert proxy.requests <= 3 * 2 * VALUES
        assert sum(proxy.broken.values()) > SHARE * VALUES
        assert set(proxy.broken) >= set(faults) - {"stalled"}, "a kind of fault never fired"


def test_a_flow_keeps_its_values_through_it(moto: S3Server) -> None:
    @task
    def shifted(number: int, by: int) -> int:
        return number + by

    with broken(moto, *TO_BOTH) as proxy:
        with Flow("broken", result_handler=handler(moto, proxy)) as flow:
            all_of_them = shifted.map(list(range(60)), unmapped(1000))
        state = flow.run(checkpointing=True)
        assert state.is_successful(), state.message
        assert [child.kept.safe_value.to_result().value for child in state.result[all_of_them].map_states] == [
            number + 1000 for number in range(60)
        ]
        assert sum(proxy.broken.values()) > 5


def test_creating_makes_no_conflict_up(moto: S3Server) -> None:
    with broken(moto, "reset after", "unavailable", share=0.3) as proxy:
        made = store(moto, proxy)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: made.put(f"create/{number}", b"x", overwrite=False), range(60)))
        assert proxy.broken["reset after"] > 3
        with pytest.raises(AlreadyExists):
            made.put("create/1", b"y", overwrite=False)


def test_the_sdk_alone_makes_conflicts_up(moto: S3Server) -> None:
    """The control of the test above: without a write id the proxy's faults are conflicts."""
    from botocore.config import Config

    with broken(moto, "reset after", "unavailable", share=0.3) as proxy:
        client = moto.client(endpoint_url=proxy.url, config=Config(retries={"mode": "standard", "max_attempts": 8}))
        conflicts = 0
        for number in range(60):
            try:
                client.put_object(Bucket=BUCKET, Key=f"control/{number}", Body=b"x", IfNoneMatch="*")
            except client.exceptions.ClientError as error:
                conflicts += error.response["Error"]["Code"] == "PreconditionFailed"
        assert conflicts > 0


def test_without_protection_reads_fail_and_are_wrong(moto: S3Server) -> None:
    """The control of the first test: one try, no checksum, and no digest."""
    from botocore.config import Config

    moto.client().put_object(Bucket=BUCKET, Key="control/body", Body=bytes(1000))
    with broken(moto, *TO_BOTH, share=0.3) as proxy:
        config = Config(retries={"total_max_attempts": 1}, response_checksum_validation="when_required")
        client = moto.client(endpoint_url=proxy.url, config=config)
        failed = wrong = 0
        for _ in range(100):
            try:
                wrong += client.get_object(Bucket=BUCKET, Key="control/body")["Body"].read() != bytes(1000)
            except Exception:  # noqa: BLE001  whatever the SDK raises
                failed += 1
        assert failed > 0
        assert wrong > 0


def test_wrong_bytes_are_read_again_and_trusted_by_their_digest_alone(moto: S3Server) -> None:
    kwargs = {"config": {"response_checksum_validation": "when_required"}}
    with broken(moto, "changed", share=0.3) as proxy:
        made = handler(moto, proxy, boto3_kwargs=kwargs)  # type: ignore[arg-type]
        safes = [SafeResult.of(made.store([n, "x" * 2000], key=f"wrong/{n}", meta=Meta()), made) for n in range(20)]
        assert [made.fetch(safe)[0] for safe in safes * 2] == [*range(20)] * 2  # type: ignore[index]
        assert proxy.broken["changed"] > 3
    with broken(moto, "changed", share=1.0) as proxy:
        made = handler(moto, proxy, boto3_kwargs=kwargs)  # type: ignore[arg-type]
        with pytest.raises(CorruptRecord):
            made.fetch(safes[0])
        assert proxy.methods["GET"] == 4, "once, and at most three times again"


@pytest.mark.parametrize("name", ["moto", "seaweedfs"])
def test_a_large_value_goes_and_comes_in_parts_through_it(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    faults = tuple(fault for fault in TO_BOTH if fault != "changed")
    value = np.arange(4_500_000)
    with broken(server, *faults, share=0.3, seed=4) as proxy:
        made = handler(server, proxy)
        safe = SafeResult.of(made.store(value, key=f"large/{name}", meta=Meta()), made)
        assert np.array_equal(made.fetch(safe), value)  # type: ignore[arg-type]
        assert proxy.broken
        assert proxy.requests > 10
    assert server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("name", ["moto", "seaweedfs"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_completed_upload_whose_answer_was_lost_is_known_again(
    name: str, overwrite: bool, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(name)
    lost: list[str] = []

    class LosesOneAnswer(S3Store):
        def ask_once(self, operation: str, key: str | None, **given: object) -> object:
            answer = super().ask_once(operation, key, **given)  # type: ignore[arg-type]
            if operation == "complete_multipart_upload" and not lost:
                lost.append(operation)
                raise StoreUnavailable("the answer was lost")
            return answer

    made = LosesOneAnswer(BUCKET, S3Connection(**server.options), retry_seconds=5)
    with made.open_write(f"lost/{overwrite}", overwrite=overwrite) as writer:
        writer.write(bytes(9 << 20))
        writer.commit()
    assert lost
    assert made.head(f"lost/{overwrite}").size == 9 << 20


def test_an_upload_that_ends_early_leaves_nothing(seaweedfs: S3Server) -> None:
    made = S3Store(BUCKET, S3Connection(**seaweedfs.options))
    client = seaweedfs.client()
    for end in (lambda writer: writer.abort(), lambda writer: writer.__exit__(None, None, None)):
        writer = made.open_write("left/over")
        writer.write(bytes(20 << 20))
        assert len(client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]) == 1
        end(writer)
        assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert list(made.list("left")) == []


def test_a_small_value_costs_one_request_each_way(moto: S3Server) -> None:
    with Proxy(moto.url) as proxy:
        made = handler(moto, proxy)
        safe = SafeResult.of(made.store("small", key="requests/one", meta=Meta()), made)
        assert (proxy.requests, proxy.methods["PUT"]) == (1, 1)
        assert made.fetch(safe) == "small"
        assert (proxy.requests, proxy.methods["GET"]) == (2, 1)


def test_throttling_ends_in_unavailable_and_a_stall_in_time(moto: S3Server) -> None:
    faults: tuple[Fault, ...] = ("throttled", "stalled", "reset before")
    for fault in faults:
        with broken(moto, fault, share=1.0) as proxy:
            made = store(moto, proxy, retry_seconds=0.5, request_timeout=0.5)
            with pytest.raises(StoreUnavailable, match="run again"):
                made.get("whatever")
            assert proxy.broken[fault] > 0
