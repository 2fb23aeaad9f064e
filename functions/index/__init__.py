"""An object an hour and camera: what was recorded, and what was seen."""
