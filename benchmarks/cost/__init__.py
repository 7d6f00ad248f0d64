"""What explanations cost, one module a topic; `benchmarks.run` measures them all."""
