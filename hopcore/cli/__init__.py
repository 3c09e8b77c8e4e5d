"""The command line: ``hopcore``, or ``python -m hopcore``; one module for each group of commands."""
