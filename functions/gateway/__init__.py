"""The gateway: playlists, recordings, cameras and events over HTTP, for whoever shows a token."""
