"""What `discover_shortcuts` finds of what was planted, and what it accuses where nothing was.

Usage::

    python -m benchmarks.discovery [--records PATH] [--only ROW] [--write docs/evidence]
"""
