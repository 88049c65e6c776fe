"""The engine of a run: state, step, loop, optimiser, augmentation, records. It knows no flags."""
