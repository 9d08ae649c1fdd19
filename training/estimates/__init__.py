"""The parts of an estimate: a rehearsal of the run, what is measured of it, and how it is told."""
