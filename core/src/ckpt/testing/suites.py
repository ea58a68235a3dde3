"""What both suites share: who asks what, what is not asked and why, and the one way out of a test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, NoReturn, ParamSpec, TypeVar, get_args

import pytest

from ckpt.errors import CkptError
from ckpt.serializers import pickled, unpickle
from ckpt.testing import processes, reporting

__all__ = ["LEVELS", "Level", "Suite", "asks", "check_cause"]

Level = Literal["basic", "complete", "proven"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)

T = TypeVar("T")
E = TypeVar("E", bound=CkptError)
Given = ParamSpec("Given")
Test = TypeVar("Test", bound=Callable[..., object])

_ASKED: Final[dict[object, Level]] = {}


def asks(level: Level) -> Callable[[Test], Test]:
    """Make a method a test of the kit, which counts for `level` and cannot be overridden silently."""

    def mark(test: Test) -> Test:
        _ASKED[test] = level
        return test

    return mark


class Suite:
    """Subclass one of its two kinds, `ResultHandlerTests` or `ObjectStoreTests`, and give the fixtures it names."""

    does_not_apply: ClassVar[Mapping[str, str]] = {}
    """Optional fixtures that cannot be given here, each with the reason: `{"secret": "files need no credentials"}`."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """The optional fixtures of the suite."""
    large: ClassVar[int] = 16 << 20
    """Bytes in the largest values that are tried."""
    kills: ClassVar[int] = 8
    """How many writers are killed at a random moment."""

    _facts: reporting.Facts

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, kit in _kit_tests(cls).items():
            if getattr(cls, name, None) is not kit and not _reason(getattr(cls, name, None)):
                raise TypeError(
                    f"{cls.__qualname__}.{name} overrides a test of the conformance kit. If the promise cannot be "
                    f"kept, mark the override: @pytest.mark.xfail(reason='why'), and call super().{name}(...) in it; "
                    "if the test is wrong, tell the authors of ckpt; otherwise give it another name"
                )
        if unknown := sorted(cls.does_not_apply.keys() - cls.optional):
            raise TypeError(
                f"{cls.__qualname__}.does_not_apply names {', '.join(map(repr, unknown))}, but the optional fixtures "
                f"are {', '.join(sorted(cls.optional))}"
            )
        if empty := sorted(name for name, reason in cls.does_not_apply.items() if not reason.strip()):
            raise TypeError(f"{cls.__qualname__}.does_not_apply gives no reason for {', '.join(empty)}")

    @pytest.fixture(autouse=True)
    def _reported(self, request: pytest.FixtureRequest) -> None:
        kind = type(self)
        name = str(request.function.__name__)
        kit = _kit_tests(kind)
        if name not in kit:
            return
        reporting.reporter(request.config)
        self._facts = reporting.Facts(
            suite=request.node.nodeid.rsplit("::", 1)[0],
            kit=next(each.__name__ for each in kind.__mro__ if each.__module__.startswith("ckpt.testing.")),
            test=name,
            level=_ASKED[kit[name]],
            tests=sorted(kit),
            overridden=_reason(getattr(kind, name)) if getattr(kind, name) is not kit[name] else None,
            skipped=None,
            answers=[],
        )
        request.node.user_properties.append((reporting.NAME, self._facts))

    @pytest.fixture
    def place(self) -> str:
        """What the keys of this test begin with: the storage may hold those of others."""
        return f"ckpt-kit/{uuid.uuid4().hex}"

    def given(self, value: T | None, fixture: str) -> T:
        """An optional fixture, or the end of the test where it is not given."""
        if value is None and fixture in self.does_not_apply:
            self.pointless(self.does_not_apply[fixture])
        if value is None:
            self.unasked(f"give the fixture `{fixture}` to have it asked")
        return value

    def unasked(self, reason: str) -> NoReturn:
        """End the test: it could be asked, but not with what was given."""
        self._facts["skipped"] = "not asked"
        pytest.skip(f"not asked: {reason}")

    def pointless(self, reason: str) -> NoReturn:
        """End the test: what it asks has no meaning here."""
        self._facts["skipped"] = "does not apply"
        pytest.skip(f"does not apply: {reason}")

    def note(self, kind: str, what: str, why: str = "") -> None:
        """List an answer that is right, and that a reader should know of; the reason is in the written report."""
        answer = reporting.Answer(kind=kind, what=what, why=why if len(why) <= 300 else why[:300] + "…")
        self._facts["answers"].append(answer)

    def shipped(self, subject: object) -> bytes:
        """The subject as it goes to another process; not asked where it cannot be pickled, which has its own test."""
        try:
            return processes.shipped(subject)
        except CkptError as error:
            self.unasked(f"{subject!r} cannot be pickled: {error}")

    def refusal(
        self, kind: type[E], what: str, call: Callable[Given, object], *given: Given.args, **named: Given.kwargs
    ) -> E:
        """The error of `kind` that the call has to raise: an error of ckpt, and one that can travel."""
        try:
            got = call(*given, **named)
        except kind as error:
            check_error(error)
            return error
        except Exception as error:
            foreign = "" if isinstance(error, CkptError) else ", and never a foreign error"
            raise AssertionError(f"{what}: {kind.__name__} is due, not {error!r}{foreign}") from error
        if isinstance(got, Iterator):
            got = list(got)
        raise AssertionError(f"{what}: {kind.__name__} is due, but {str(got)[:100]!r} was returned")


def check_cause(error: CkptError) -> None:
    """Assert that an error which stands for another one, of an SDK or the system, keeps it as its cause."""
    hidden = error.__context__
    assert error.__cause__ is not None or hidden is None or isinstance(hidden, CkptError), (
        f"{error!r} hides its cause {hidden!r}: raise it `from` the error that it stands for"
    )


def check_error(error: CkptError) -> None:
    """Assert that an error says something and can travel to another process."""
    assert str(error).strip(), f"{type(error).__name__} without a message"
    copy = unpickle(pickled(error))
    assert (type(copy), str(copy)) == (type(error), str(error)), f"{error!r} does not survive pickling"


def _kit_tests(cls: type) -> dict[str, object]:
    """The kit's own tests that `cls` inherits, by name."""
    kit = [base for base in reversed(cls.__mro__) if base.__module__.startswith("ckpt.testing.")]
    return {name: test for base in kit for name, test in vars(base).items() if _is_asked(test)}


def _is_asked(test: object) -> bool:
    return callable(test) and test in _ASKED


def _reason(test: object) -> str | None:
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "xfail" and str(mark.kwargs.get("reason", "")).strip():
            return str(mark.kwargs["reason"])
    return None
