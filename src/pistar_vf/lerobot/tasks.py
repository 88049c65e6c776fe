"""Writing the table of tasks, in either layout."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.lerobot import v21, v30


def write_tasks(version: str, folder: Path, tasks: Mapping[int, str]) -> None:
    """Writes `meta/tasks.jsonl`, or for v3.0 `meta/tasks.parquet`.

    Args:
        version: of the layout.
        folder: the dataset.
        tasks: `task_index` to prompt.
    """
    if version == v30.CODEBASE_VERSION:
        _write_table(tasks, folder / v30.TASKS_PATH)
        return
    path = folder / v21.TASKS_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [v21.json_line({"task_index": index, "task": tasks[index]}) for index in sorted(tasks)]
    path.write_text("".join(lines), encoding="utf-8")


def _write_table(tasks: Mapping[int, str], path: Path) -> None:
    """The texts as a pandas index, which is how LeRobot looks them up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    indices = sorted(tasks)
    table = pa.table({"task_index": pa.array(indices, pa.int64()), v30.PANDAS_INDEX: [tasks[i] for i in indices]})
    column = {"metadata": None, "field_name": "task_index", "name": "task_index"}
    text = {"metadata": None, "field_name": v30.PANDAS_INDEX, "name": None}
    pandas = {
        "index_columns": [v30.PANDAS_INDEX],
        "column_indexes": [],
        "columns": [
            column | {"pandas_type": "int64", "numpy_type": "int64"},
            text | {"pandas_type": "unicode", "numpy_type": "object"},
        ],
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
