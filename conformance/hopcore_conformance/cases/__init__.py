"""Inputs of the checks: memories, graphs, layers and schedules, as strategies of hypothesis."""
