"""From settings to a run: presets, data, model, the value run and the alignment run."""
