"""``python -m benchmarks.cue_experiments``."""

from benchmarks.cue_experiments.run import main

if __name__ == "__main__":
    main()
