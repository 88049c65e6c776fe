"""The colour of the progress bars."""


def sync_pbar_color(pbar) -> None:
    """Turns a bar green when it is full; bars without a colour are left alone."""
    total = getattr(pbar, "total", None)
    if hasattr(pbar, "colour") and total and pbar.n >= total:
        pbar.colour = "green"
