"""The command line: ``hopcore``, or ``python -m hopcore``."""
