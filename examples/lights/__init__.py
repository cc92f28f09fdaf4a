"""Two processes that share a machine: a crossing with lights, and a pedestrian who wants to cross.

    python -m examples.lights

starts an etcd and a peer as processes, and crosses the street three times from its own process.
The peer serves the machine (`server`); the pedestrian presses the button, and waits for the
lights, as if the machine were here (`pedestrian`). `states` says which light excludes which.
"""
