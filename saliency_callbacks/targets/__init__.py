"""From what a user writes for ``target`` to the score that is explained."""
