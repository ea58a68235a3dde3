"""The flows that are measured: a chain, and a fan-out with a reduce at its end."""

from __future__ import annotations

from typing import Any

from ckpt import Flow, task

__all__ = ["chain", "fan_out", "mapped"]


@task
def add_one(x: int) -> int:
    return x + 1


@task
def total(values: list[int]) -> int:
    return sum(values)


def chain(tasks: int, **settings: Any) -> Flow:
    """`tasks` tasks, each of which takes the value before it."""
    with Flow("chain", **settings) as flow:
        value: Any = 0
        for _ in range(tasks):
            value = add_one(value)
    return flow


def fan_out(tasks: int, **settings: Any) -> Flow:
    """`tasks - 1` tasks that depend on nothing, and one that takes all their values."""
    with Flow("fan-out", **settings) as flow:
        total([add_one(number) for number in range(tasks - 1)])
    return flow


def mapped(tasks: int, **settings: Any) -> Flow:
    """One task mapped over a range, and one that takes all values."""
    with Flow("mapped", **settings) as flow:
        total(add_one.map(range(tasks - 2)))
    return flow
