"""What was recorded, by time: indexes of closed hours, and the listing where there is none."""
