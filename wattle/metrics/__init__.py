"""What running workers use: sampling of process trees, and the documented strings (W-23)."""
