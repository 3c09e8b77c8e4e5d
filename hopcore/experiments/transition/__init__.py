"""The temperature transition of memories of real images, and the states beyond it."""
