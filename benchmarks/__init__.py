"""Cost of explanations, measured beside other libraries and hand-written lower bounds: ``python -m benchmarks.run``."""
