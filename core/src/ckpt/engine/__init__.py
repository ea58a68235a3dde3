"""The engine: takes a flow's graph through a run. One loop schedules, executors run, writers keep.

runs        what one run knows, in columns         plans       what one call needs, decided once a run
loop        the scheduling loop                    choices     which handler, and is checkpointing on
maps        how a mapped call becomes children     task_runner computes one value and turns it into bytes
executors   where tasks run                        writers     brings staged bytes to storage, behind the flow
"""
