"""What explanations cost, and how well an alarm works.

``benchmarks.run`` compares the cost with other libraries and with hand-written lower bounds; its rows are in
``benchmarks.cost``. Each of the others answers a question of its own: ``benchmarks.cue_experiments``,
``benchmarks.long_run`` and ``benchmarks.sanity``.
"""
