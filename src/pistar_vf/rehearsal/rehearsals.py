"""The questions that code can be asked by running it, by the names that they have where it is read."""

from collections.abc import Callable

from pistar_vf.faults.finding import Finding
from pistar_vf.rehearsal import arrays, configs, frames, loaders, names

REHEARSALS: dict[str, Callable[..., Finding | None]] = {
    rehearsal.__name__: rehearsal
    for rehearsal in (
        configs.folder_keyword,
        configs.value_dataset,
        configs.action_sequences,
        configs.labelling_data,
        frames.tokenizer_arguments,
        frames.camera_names,
        loaders.loader_size,
        loaders.loader_items,
        arrays.state_leaf,
        arrays.step_number,
        names.missing_name,
        names.missing_module,
        names.missing_member,
    )
}
"""Each takes a world and the fields of a patch's `[fault]`; None where it cannot tell."""
