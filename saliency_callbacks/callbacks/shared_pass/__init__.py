"""One pass for all callbacks of a run: what several want explained of the model is explained once.

A callback that is about to explain the model asks those that stand after it in the list, and are due at this moment,
what they want explained. Who wants the same (module, probe, target, layers, reading, precision, seed, chunks) is
explained together with it, each distinct pass once, and takes its part at its own turn. Nobody joins for whom that
would change a bit of a map, as `saliency_callbacks.engine.wants` tells: so no order of the list changes a number.

Whatever changes the model between two turns, as averages that are swapped in do, is noticed, and what was explained of
others is not taken. If explaining together fails, each tries alone, and whoever fails then is named and left out; a
Ctrl-C meanwhile ends the observation of all who were explained together. All processes decide by vote. Each pays for
its own passes, in equal parts with who else wanted them; ``max_seconds_per_observation`` looks at that. Once the last
who wants it has had its turn, or an exception ends the run, nothing is kept. A streamed probe shares what it shows;
its other samples, random copies, and the pictures of a cue each callback explains for itself.
"""
