"""Probes of which most samples are not shown: these are read anew at every observation, a few at a time."""
