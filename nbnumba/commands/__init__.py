"""Commands other than a simulation, each a module with ``main(argv) -> exit status``."""
