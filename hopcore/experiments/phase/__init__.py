"""The analysis that ``hopcore phase`` makes of one memory, with its tables and its picture."""
