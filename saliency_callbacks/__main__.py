"""``python -m saliency_callbacks`` is the command ``saliency-callbacks``."""

import sys

from saliency_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
