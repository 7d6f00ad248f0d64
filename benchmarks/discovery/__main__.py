"""``python -m benchmarks.discovery``."""

from benchmarks.discovery.run import main

if __name__ == "__main__":
    main()
