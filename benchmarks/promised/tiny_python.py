"""`python script.py words` on stand-ins: the published variants by their names, at a width that takes seconds.

`DOCUMENTS_LAYERS` is the number of layers of the language model, of which the number of leaves depends.
"""

import dataclasses
import os
import runpy
import sys

from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS
from pistar_vf.testing.tiny import tiny_model_config


def shrink(layers: int) -> None:
    """The published names mean a tiny model from now on, in this process."""
    tiny = tiny_model_config()
    gemma = dataclasses.replace(tiny.gemma, depth=layers, vocab_size=512)
    GEMMA_VARIANTS["gemma3_270m"] = gemma
    SIGLIP_VARIANTS["So400m/14"] = tiny.siglip
    SIGLIP_VARIANTS["So400m/14-384"] = dataclasses.replace(tiny.siglip, image_size=42)


if __name__ == "__main__":
    shrink(int(os.environ.get("DOCUMENTS_LAYERS", "2")))
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
