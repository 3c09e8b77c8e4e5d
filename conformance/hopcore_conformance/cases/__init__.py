"""What the checks draw: memories, graphs, layers and schedules, as strategies of hypothesis."""
