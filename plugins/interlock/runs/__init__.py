"""A run of a train as its tasks and its waits see it, in a worker and in the triggerer alike."""
