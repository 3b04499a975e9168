"""What running workers use, and how Wattle itself does: sampling of process trees, their history, Prometheus."""
