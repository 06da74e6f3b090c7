"""Tasks: data sets that are ready to learn, one file per task; the only package that may import tonic."""

from __future__ import annotations

from neurochip.tasks.registry import TaskData, TaskInfo, TaskSettings, list_tasks, load_task

__all__ = ["TaskData", "TaskInfo", "TaskSettings", "list_tasks", "load_task"]
