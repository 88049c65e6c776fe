"""What `pistar-vf doctor` looks at: versions, combinations known to fail, devices, and checks that really run.

Nothing here imports JAX, PyArrow or PyAV at its top: a broken installation must be reported, not stumble over.
"""
