"""What made the data needs the package as it was then, and is no test."""

collect_ignore_glob = ["version_*/make.py"]
