"""What compacting a memory costs: fewer patterns in place of many, on images and on keys."""
